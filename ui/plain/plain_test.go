package plain

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
	"mayday/ui/uitest"
)

// fake is a session that notes intents. Intents of a verb in mute get no answer.
type fake struct {
	frames chan state.Frame
	mu     sync.Mutex
	wants  []state.Intent
	mute   map[string]bool
	here   int
	hold   chan struct{} // RollbackHere waits for it, if set
}

func (f *fake) Frames() <-chan state.Frame { return f.frames }

func (f *fake) Do(ctx context.Context, want state.Intent) (state.Answer, error) {
	f.mu.Lock()
	f.wants = append(f.wants, want)
	mute := f.mute[want.Verb()]
	f.mu.Unlock()
	if mute {
		<-ctx.Done()
		return state.Answer{}, ctx.Err()
	}
	return state.Answer{Lines: []string{"git push origin hotfix"}}, nil
}

func (f *fake) RollbackHere(context.Context) error {
	f.mu.Lock()
	f.here++
	hold := f.hold
	f.mu.Unlock()
	if hold != nil {
		<-hold
	}
	return nil
}

func (f *fake) seen() []state.Intent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]state.Intent(nil), f.wants...)
}

// stream runs plain over an incident with one item of each kind.
func stream(t *testing.T, mute map[string]bool, talk func(f *fake, say func(string), text func() string)) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{frames: make(chan state.Frame, 64), mute: mute}
		in, typed := io.Pipe()
		var out safe
		done := make(chan error)
		go func() {
			_, err := Run(t.Context(), Options{Session: f, Input: in, Output: &out})
			done <- err
		}()
		f.frames <- state.Frame{Hello: &state.Hello{Incident: "INC-1"}}
		f.tell(1, state.Declared{ID: "INC-1", Title: "Payments down", Severity: 1, Steps: []state.Step{{No: 1, Title: "Assess", Items: []state.Item{
			{ID: "1.impact", Kind: state.Check, Title: "User impact", Ask: "Who is affected?"},
			{ID: "1.push", Kind: state.Action, Title: "Push", Changes: true},
		}}}})
		synctest.Wait()
		talk(f, func(line string) {
			if _, err := io.WriteString(typed, line+"\n"); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}, out.String)
		close(f.frames)
		if err := <-done; err != nil {
			t.Error(err)
		}
		typed.Close()
	})
}

func (f *fake) tell(seq uint64, fact state.Fact) {
	f.frames <- state.Frame{Event: &state.Event{Seq: seq, Time: uitest.Start, Actor: state.Actor{User: "alice"}, Fact: fact}}
}

type safe struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) { s.mu.Lock(); defer s.mu.Unlock(); return s.b.Write(p) }
func (s *safe) String() string              { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

func TestAnswersByNumber(t *testing.T) {
	stream(t, nil, func(f *fake, say func(string), text func() string) {
		say("1")
		say("half of all users")
		f.tell(2, state.ItemChecked{Item: "1.impact", Value: "half of all users"})
		synctest.Wait()
		say("1") // run the push: asks once more, with the commands
		if !strings.Contains(text(), "git push origin hotfix") {
			t.Fatalf("the exact command was not shown:\n%s", text())
		}
		say("1")
		got := f.seen()
		want := []state.Intent{state.Tick{Item: "1.impact", Value: "half of all users"}, state.Preview{Item: "1.push"}, state.Run{Item: "1.push"}}
		if len(got) != len(want) {
			t.Fatalf("intents %#v, want %#v\n%s", got, want, text())
		}
		for i := range want[:1] {
			if got[i] != want[i] {
				t.Errorf("intent %d is %#v, want %#v", i, got[i], want[i])
			}
		}
		if strings.ContainsRune(text(), 0x1b) {
			t.Error("the plain stream holds an escape sequence")
		}
	})
}

// R works while a question is open and while another intent waits for its answer.
func TestRWorksAnyTime(t *testing.T) {
	stream(t, map[string]bool{"item.preview": true, "rollback.arm": true}, func(f *fake, say func(string), text func() string) {
		say("1")
		say("everybody")
		f.tell(2, state.ItemChecked{Item: "1.impact", Value: "everybody"})
		synctest.Wait()
		say("1") // the preview hangs
		say("R")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if f.here != 1 {
			t.Fatalf("rolled back here %d times, want 1, because the keeper was silent:\n%s", f.here, text())
		}
		if !strings.Contains(text(), "The rollback is done.") {
			t.Errorf("the outcome was not said:\n%s", text())
		}
	})
}

// TestRIsSeenThrough: who leaves before a silent keeper has answered R gets the rollback.
func TestRIsSeenThrough(t *testing.T) {
	var got *fake
	stream(t, map[string]bool{"rollback.arm": true}, func(f *fake, say func(string), _ func() string) {
		got = f
		say("R")
		say("quit")
	})
	if got.here != 1 {
		t.Errorf("rolled back here %d times, want 1", got.here)
	}
}

// TestALateKeeperDoesNotRollBackToo: it finds R when it goes on, while this process rolls
// back already.
func TestALateKeeperDoesNotRollBackToo(t *testing.T) {
	stream(t, map[string]bool{"rollback.arm": true}, func(f *fake, say func(string), text func() string) {
		f.hold = make(chan struct{})
		say("R")
		time.Sleep(2 * time.Second)
		f.frames <- state.Frame{Event: &state.Event{Seq: 2, Time: uitest.Start, Fact: state.RollbackPrimed{Deadline: time.Now().Add(3 * time.Second), Trigger: "R"}}}
		synctest.Wait()
		if got := f.seen(); len(got) != 2 || got[1] != (state.Disarm{}) {
			t.Errorf("intents %#v:\n%s", got, text())
		}
		close(f.hold)
		synctest.Wait()
	})
}

func TestArmedIsStopped(t *testing.T) {
	stream(t, nil, func(f *fake, say func(string), text func() string) {
		say("R")
		f.tell(2, state.RollbackPrimed{Deadline: time.Now().Add(3 * time.Second), Trigger: "R"})
		synctest.Wait()
		say("c")
		got := f.seen()
		if len(got) != 2 || got[0] != (state.Arm{Trigger: "R"}) || got[1] != (state.Disarm{}) {
			t.Fatalf("intents %#v", got)
		}
		if !strings.Contains(text(), "runs in 3 seconds") {
			t.Errorf("the countdown was not said:\n%s", text())
		}
	})
}

// What was asked here and settled by somebody else is not asked any more; what
// comes next is.
func TestOfferFollowsTheIncident(t *testing.T) {
	stream(t, nil, func(f *fake, say func(string), text func() string) {
		if !strings.Contains(text(), "User impact") {
			t.Fatalf("nothing is asked:\n%s", text())
		}
		f.tell(2, state.ItemChecked{Item: "1.impact", Value: "all"})
		synctest.Wait()
		if !strings.Contains(text(), "Next: step 1.push, Push.") {
			t.Errorf("the stream still asks for what is settled:\n%s", text())
		}
		say("1")
		for _, want := range f.seen() {
			if tick, ok := want.(state.Tick); ok {
				t.Errorf("1 answered what was settled: %#v", tick)
			}
		}
	})
}
