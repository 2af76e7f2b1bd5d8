package comms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// queue folds events as the Engine does.
type queue struct {
	mu      sync.Mutex
	in      *state.Incident
	changed chan struct{}
	full    bool // the journal takes nothing
}

func newQueue() *queue {
	in := incident()
	in.Declared = time.Now().UTC()
	return &queue{in: in, changed: make(chan struct{})}
}

func (q *queue) Incident() *state.Incident { q.mu.Lock(); defer q.mu.Unlock(); return q.in.Clone() }
func (q *queue) Now() time.Time            { return q.in.Clock.At(time.Now()) }
func (q *queue) Changed() <-chan struct{}  { q.mu.Lock(); defer q.mu.Unlock(); return q.changed }

func (q *queue) Record(f state.Fact) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.full {
		return errors.New("no space left")
	}
	err := q.in.Apply(state.Event{Seq: q.in.Seq + 1, Time: q.Now(), Fact: f})
	close(q.changed)
	q.changed = make(chan struct{})
	return err
}

func (q *queue) add(t *testing.T, purpose, channel string) string {
	t.Helper()
	id := fmt.Sprintf("m%d", q.Incident().Seq+1)
	if err := q.Record(state.MessageQueued{ID: id, Channel: channel, Purpose: purpose}); err != nil {
		t.Fatal(err)
	}
	return id
}

func (q *queue) message(id string) state.Message {
	for _, m := range q.Incident().Messages {
		if m.ID == id {
			return m
		}
	}
	return state.Message{}
}

// start runs an outbox in the bubble until stop, which waits for it.
func start(t *testing.T, q *queue, send func(context.Context, state.Message) error) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	o := &Outbox{call: func(*state.Incident, state.Message) string { return "Carol +49 30 1" },
		send: func(ctx context.Context, in *state.Incident, m state.Message) (string, error) {
			if in.ID != q.in.ID {
				t.Errorf("incident %q", in.ID)
			}
			return "", send(ctx, m)
		}}
	go func() { done <- o.Run(ctx, q) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestPagesNeverWaitForUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		for i := range 10 {
			q.add(t, "update", fmt.Sprintf("slow%d", i))
		}
		q.add(t, "update", "team")
		page := q.add(t, "page", "team")
		stop := start(t, q, func(ctx context.Context, m state.Message) error {
			if m.Purpose == "page" {
				return nil
			}
			<-ctx.Done() // a channel that never answers
			return ctx.Err()
		})
		synctest.Wait()
		if q.message(page).Sent.IsZero() {
			t.Error("the page waits")
		}
		stop()
		if m := q.message("m1"); m.Tries != 0 {
			t.Errorf("a try that we cut short was recorded: %+v", m)
		}
	})
}

func TestRetriesInOrderUntilDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		a, b := q.add(t, "update", "team"), q.add(t, "update", "team")
		var order []string
		began := time.Now()
		stop := start(t, q, func(_ context.Context, m state.Message) error {
			order = append(order, m.ID)
			if time.Since(began) < 5*time.Second {
				return errors.New("down")
			}
			return nil
		})
		defer stop()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := len(order); n < 4 || fmt.Sprint(order) != fmt.Sprint(append(slices.Repeat([]string{a}, n-1), b)) {
			t.Errorf("order %v", order)
		}
		if m := q.message(a); m.Tries < 3 || m.Sent.Sub(began) < 5*time.Second || m.Sent.Sub(began) > 11*time.Second {
			t.Errorf("%+v after %s", m, m.Sent.Sub(began))
		}
	})
}

func TestGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		gone := q.add(t, "update", "gone")
		slow := q.add(t, "update", "down")
		tries := map[string]int{}
		var mu sync.Mutex
		stop := start(t, q, func(_ context.Context, m state.Message) error {
			mu.Lock()
			defer mu.Unlock()
			tries[m.ID]++
			if m.ID == gone {
				return &Failure{Problem: &state.Problem{What: "404"}, Permanent: true}
			}
			return errors.New("down")
		})
		defer stop()
		time.Sleep(time.Hour)
		synctest.Wait()
		if m := q.message(gone); !m.Dead || tries[gone] != 1 || m.Call != "Carol +49 30 1" {
			t.Errorf("%+v after %d tries", m, tries[gone])
		}
		if m := q.message(slow); !m.Dead || tries[slow] != MaxTries || m.Tries != MaxTries {
			t.Errorf("%+v after %d tries", m, tries[slow])
		}
	})
}

func TestAnOldMessageIsNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		id := q.add(t, "update", "down")
		time.Sleep(time.Hour) // no keeper
		stop := start(t, q, func(context.Context, state.Message) error { return errors.New("down") })
		defer stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if m := q.message(id); m.Dead || m.Tries > 6 {
			t.Errorf("%+v", m)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		q.add(t, "update", "team")
		var at []time.Duration
		began := time.Now()
		stop := start(t, q, func(context.Context, state.Message) error {
			at = append(at, time.Since(began))
			if len(at) == 1 {
				return &Failure{Problem: &state.Problem{What: "429"}, After: 40 * time.Second}
			}
			return nil
		})
		defer stop()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if len(at) != 2 || at[1] != 40*time.Second {
			t.Errorf("tried at %v", at)
		}
	})
}

func TestFullDiskSendsNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		id := q.add(t, "update", "team")
		sent := 0
		stop := start(t, q, func(context.Context, state.Message) error {
			sent++
			q.mu.Lock()
			q.full = true
			q.mu.Unlock()
			return nil
		})
		defer stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		q.mu.Lock()
		q.full = false
		q.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if m := q.message(id); sent != 1 || m.Sent.IsZero() {
			t.Errorf("sent %d times, %+v", sent, m)
		}
	})
}

// A message that is corrected while it is on its way goes out again with its new words,
// whatever becomes of the old ones.
func TestACorrectionOfWhatIsOnItsWay(t *testing.T) {
	for name, first := range map[string]error{"arrives": nil, "is refused": &Failure{Problem: &state.Problem{What: "404"}, Permanent: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, arrives := newQueue(), make(chan struct{})
				id := q.add(t, "update", "team")
				var sent []state.Message
				o := &Outbox{call: func(*state.Incident, state.Message) string { return "" },
					send: func(_ context.Context, _ *state.Incident, m state.Message) (string, error) {
						if sent = append(sent, m); m.Edits > 0 {
							return m.Ref, nil
						}
						<-arrives
						return "C1:2", first
					}}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- o.Run(ctx, q) }()
				synctest.Wait()
				if err := q.Record(state.MessageCorrected{ID: id, Text: "ETA 20"}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				close(arrives)
				synctest.Wait()
				if len(sent) != 2 || sent[1].Text != "ETA 20" || sent[1].Edits != 1 || sent[1].Ref != "C1:2" {
					t.Errorf("sent %+v", sent)
				}
				if m := q.message(id); m.Sent.IsZero() || m.Dead || m.Tries != 1 {
					t.Errorf("%+v", m)
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestDueIsInRealTime(t *testing.T) {
	in := incident()
	in.Clock = state.Clock{Origin: night, Base: night, Speed: 60}
	in.Messages = []state.Message{{ID: "m1", Channel: "team", Tries: 2, Queued: night, Tried: night}, {ID: "m2", Channel: "team", Queued: night},
		{ID: "m3", Channel: "team", Purpose: "page", Queued: night.Add(time.Second)}}
	due := Due(in, night.Add(2*time.Minute)) // two seconds real
	if len(due) != 1 || due[0].ID != "m3" {
		t.Errorf("due %+v", due)
	}
	due = Due(in, night.Add(6*time.Minute)) // six seconds: a second try waits three to five
	if len(due) != 2 || due[0].ID != "m3" || due[1].ID != "m1" {
		t.Errorf("due %+v", due)
	}
}

func TestWaitsGrowAndScatter(t *testing.T) {
	if NextTry("m1", 0) != 0 {
		t.Error("a first try waits")
	}
	for tries, base := range map[int]time.Duration{1: 2 * time.Second, 3: 8 * time.Second, 50: time.Minute} {
		seen := map[time.Duration]bool{}
		for i := range 100 {
			d := NextTry(fmt.Sprintf("m%d-0", i), tries)
			if d < base*3/4 || d > base*5/4 {
				t.Errorf("after %d tries %s", tries, d)
			}
			seen[d.Round(base/100)] = true
		}
		if len(seen) < 20 {
			t.Errorf("after %d tries only %d different waits", tries, len(seen))
		}
	}
}
