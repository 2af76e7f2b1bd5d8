package comms

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"mayday/state"
)

// MaxTries is after how many tries a message is given up: with NextTry's waits,
// about a quarter of an hour.
const MaxTries = 20

// Senders at a time, for pages and for everything else.
const lanes = 4

// NextTry gives how long (real time) to wait after that many tries of a message: 2 s,
// doubled each time, at most a minute, and all of it a quarter shorter or longer, by
// the message: many that failed together do not come back together.
func NextTry(id string, tries int) time.Duration {
	if tries <= 0 {
		return 0
	}
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, id, tries)
	share := 0.75 + float64(h.Sum32()%1024)/2048
	return time.Duration(share * float64(min(2*time.Second<<min(tries-1, 10), time.Minute)))
}

// pending reports whether a message waits to be delivered.
func pending(m state.Message) bool { return m.Sent.IsZero() && !m.Dead && m.Tries < MaxTries }

// waits gives how long, in real time, until a message may be tried.
func waits(in *state.Incident, m state.Message, now time.Time) time.Duration {
	if m.Tries == 0 {
		return 0
	}
	return NextTry(m.ID, m.Tries) - in.Clock.Real(now.Sub(m.Tried))
}

// rests gives how long, in real time, channels want to be left alone yet: what a
// service asks for holds for all messages, and for the next keeper too.
func rests(in *state.Incident, now time.Time) map[string]time.Duration {
	out := map[string]time.Duration{}
	for _, m := range in.Messages {
		if left := m.Rest.D() - in.Clock.Real(now.Sub(m.Tried)); m.Rest > 0 && left > out[m.Channel] {
			out[m.Channel] = left
		}
	}
	return out
}

// lane is what a message queues in: a channel's messages keep their order, and
// its pages overtake them.
type lane struct {
	channel string
	page    bool
}

func laneOf(m state.Message) lane { return lane{m.Channel, urgent(m)} }

// urgent are pages, and what is said of them later: it must not overtake them.
func urgent(m state.Message) bool {
	return m.Purpose == "page" || m.Purpose == "acked" || m.Audience == Alerts
}

// Due gives the messages to try at now (incident clock), pages first, then the
// oldest. Of each channel's pages, and of its other messages, only the first that
// waits can be due: messages arrive in the order they were written.
func Due(in *state.Incident, now time.Time) []state.Message {
	due, _ := schedule(in, now)
	return due
}

// schedule is Due, and how long (real time) until more is due; 0 means nothing waits.
func schedule(in *state.Incident, now time.Time) (due []state.Message, next time.Duration) {
	first, rest := map[lane]bool{}, rests(in, now)
	for _, m := range in.Messages {
		if !pending(m) || first[laneOf(m)] {
			continue
		}
		first[laneOf(m)] = true
		w := max(waits(in, m, now), rest[m.Channel])
		if w <= 0 {
			due = append(due, m)
		} else if next == 0 || w < next {
			next = w
		}
	}
	slices.SortStableFunc(due, func(a, b state.Message) int {
		if laneOf(a).page != laneOf(b).page {
			return map[bool]int{true: -1, false: 1}[laneOf(a).page]
		}
		return cmp.Compare(a.Queued.UnixNano(), b.Queued.UnixNano())
	})
	return due, next
}

// Queue is the incident as the outbox sees it; the Engine is one.
type Queue interface {
	Incident() *state.Incident // a copy
	Record(f state.Fact) error
	Changed() <-chan struct{} // closed at the next change
	Now() time.Time           // incident clock
}

// Outbox delivers what the journal says is queued.
type Outbox struct {
	send func(ctx context.Context, in *state.Incident, m state.Message) (ref string, err error)
	call func(in *state.Incident, m state.Message) string
}

// NewOutbox makes the outbox of a Post.
func NewOutbox(p *Post) *Outbox { return &Outbox{p.Send, p.Call} }

// tried is a finished try.
type tried struct {
	in  *state.Incident // as it was sent
	m   state.Message
	ref string
	err error
}

// Run sends what is due until ctx ends, then waits for its senders. A try that ctx
// cut short is not recorded: whoever keeps the incident next tries it again. The
// result is always nil: what fails is recorded with its message.
func (o *Outbox) Run(ctx context.Context, q Queue) error {
	r := &round{o: o, q: q, done: make(chan tried), busy: map[string]bool{},
		slots: map[bool]chan struct{}{true: make(chan struct{}, lanes), false: make(chan struct{}, lanes)}}
	for ctx.Err() == nil {
		changed := q.Changed() // before the look, so that no change falls between
		wake := r.start(ctx)
		timer := time.NewTimer(wake)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		case t := <-r.done:
			r.finish(ctx, t)
		}
		timer.Stop()
	}
	go func() { r.senders.Wait(); close(r.done) }()
	for t := range r.done {
		r.finish(ctx, t)
	}
	r.record()
	return nil
}

// round is the state of one Run; only Run's goroutine touches it.
type round struct {
	o       *Outbox
	q       Queue
	done    chan tried
	busy    map[string]bool        // messages being sent, or sent and not yet recorded
	slots   map[bool]chan struct{} // by whether it is for pages
	unsaid  []state.MessageTried   // what the journal did not take yet
	senders sync.WaitGroup
}

// start starts senders for what is due and says when to look again (real time).
func (r *round) start(ctx context.Context) time.Duration {
	r.record()
	in := r.q.Incident()
	due, wake := schedule(in, r.q.Now())
	if wake == 0 {
		wake = time.Hour
	}
	if len(r.unsaid) > 0 {
		wake = min(wake, time.Second)
	}
	for _, m := range due {
		if r.busy[m.ID] {
			continue
		}
		slot := r.slots[laneOf(m).page]
		select {
		case slot <- struct{}{}:
		default:
			continue // the next one that ends wakes us
		}
		r.busy[m.ID] = true
		r.senders.Go(func() {
			ref, err := r.o.send(ctx, in, m)
			<-slot
			r.done <- tried{in, m, ref, err}
		})
	}
	return wake
}

// finish takes a try's result over.
func (r *round) finish(ctx context.Context, t tried) {
	if t.err != nil && ctx.Err() != nil {
		return // cut short by us: not the channel's failure
	}
	f := state.MessageTried{ID: t.m.ID, OK: t.err == nil, Tries: t.m.Tries + 1, Ref: state.Clean(t.ref), Wording: t.m.Wording()}
	if t.err != nil {
		f.Err = state.Clean(t.err.Error())
		f.Rest = state.Duration(RetryAfter(t.err))
		if f.Dead = Permanent(t.err) || f.Tries >= MaxTries; f.Dead {
			f.Call = state.Clean(r.o.call(t.in, t.m))
		}
	}
	r.unsaid = append(r.unsaid, f)
	r.record()
}

// record journals what was tried. What the journal does not take stays here, and
// its message stays busy, so that nobody gets it twice for a full disk.
func (r *round) record() {
	for len(r.unsaid) > 0 {
		if r.q.Record(r.unsaid[0]) != nil {
			return
		}
		delete(r.busy, r.unsaid[0].ID)
		r.unsaid = r.unsaid[1:]
	}
}
