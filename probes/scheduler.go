package probes

import (
	"container/heap"
	"context"
	"fmt"
	"hash/fnv"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"mayday/state"
)

// task is a probe with its schedule. Only the scheduler's goroutine touches it.
type task struct {
	p     state.Probe
	from  *source
	every time.Duration // real
	phase time.Duration // real, below every

	due      time.Time // of the next question
	running  uint64    // number of the question in flight, 0: none
	cancel   context.CancelFunc
	asked    time.Time // when it was asked, real
	at       time.Time // the incident time it was asked about
	deadline time.Time // real; zero after its time-out was told
	promote  time.Time // when it moves to the slow lane, if there is room
	slow     bool      // the question in flight counts among the slow
	wasSlow  bool      // the last one did
	waiting  *lane     // due, but this has no room yet; nil: not waiting
	again    bool      // kicked while running

	known bool // its past was asked for, or its source has none

	heard   time.Time // incident time of the newest sample's data
	staleAt time.Time // real time when silence becomes stale; zero: said already

	wake  time.Time // earliest of the above
	index int       // in the heap, -1: not in it
}

// answer is what a question came to.
type answer struct {
	t   *task
	ask uint64
	r   Reading
	err error
}

// lane bounds the questions to one source that are in flight, and lets others wait.
type lane struct {
	most, in int
	waiting  []*task // oldest first
}

// source is what some of the probes ask: a kind, and the host where probes of that
// kind name one. Each has lanes of its own, so that one that hangs fills those and
// nobody else's.
type source struct{ quick, slow lane }

// sourceOf names a probe's source.
func sourceOf(p state.Probe) string {
	host := ""
	switch _, rest, ok := strings.Cut(p.Query, "://"); {
	case ok:
		host, _, _ = strings.Cut(rest, "/")
	case p.Kind == "tcp" || p.Kind == "tls":
		host = p.Query
	}
	return p.Kind + " " + host
}

// scheduler is one run of a Hub: a heap of tasks by the time something happens to
// them, all in one goroutine, and one short goroutine per question in flight.
type scheduler struct {
	h       *Hub
	out     chan<- []state.Sample
	answers chan answer
	asks    sync.WaitGroup
	n       uint64 // questions asked

	tasks   map[string]*task
	heap    taskHeap
	sources map[string]*source
	full    map[*lane]bool // those where tasks wait
	flying  int            // questions in flight

	grain time.Duration // how finely it wakes

	batch   []state.Sample
	old     []state.Sample // of the past
	flushed time.Time

	pasts   chan past
	lookers []*task // whose past is to be asked for
	looking int
}

func newScheduler(h *Hub, out chan<- []state.Sample) *scheduler {
	return &scheduler{
		h: h, out: out, tasks: map[string]*task{}, sources: map[string]*source{}, full: map[*lane]bool{}, grain: coarse,
		// Room for every question in flight: an answer never blocks its goroutine,
		// also when the scheduler has ended.
		answers: make(chan answer, mostAsks), pasts: make(chan past, pastAsks),
	}
}

func (s *scheduler) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	s.obey(s.h.orders(), time.Now())
	for {
		now := time.Now()
		s.turn(ctx, now)

		var out chan<- []state.Sample
		wait := time.Hour
		if len(s.heap) > 0 {
			wait = s.heap[0].wake.Add(s.grain - 1).Truncate(s.grain).Sub(now)
		}
		if len(s.batch)+len(s.old) > 0 {
			if left := flushEvery - now.Sub(s.flushed); left > 0 {
				wait = min(wait, left)
			} else {
				out = s.out
			}
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			for _, t := range s.tasks {
				t.stop()
			}
			return
		case <-s.h.wake:
			s.obey(s.h.orders(), time.Now())
		case <-timer.C:
		case out <- slices.Concat(s.batch, s.old):
			s.batch, s.old, s.flushed = nil, nil, time.Now()
		case p := <-s.pasts:
			s.fill(p)
		case a := <-s.answers:
			if ctx.Err() != nil {
				continue // it may have been cut off with the run, which is no news of its source
			}
			s.take(a)
			for range len(s.answers) {
				s.take(<-s.answers)
			}
		}
	}
}

// drain hands on what had arrived when the run ended.
func (s *scheduler) drain() {
	if len(s.batch)+len(s.old) > 0 {
		s.out <- slices.Concat(s.batch, s.old)
	}
}

// obey follows what Set and Kick asked for.
func (s *scheduler) obey(o orders, now time.Time) {
	if o.changed {
		s.set(o.probes, now)
	}
	if !o.kickAll && len(o.kicked) == 0 {
		return
	}
	for name, t := range s.tasks {
		if !o.kickAll && !o.kicked[name] {
			continue
		}
		if t.running != 0 {
			t.again = true
		} else {
			t.due = now
			s.place(t)
		}
	}
}

func (s *scheduler) set(probes []state.Probe, now time.Time) {
	next := make(map[string]*task, len(probes))
	for _, p := range probes {
		if old := s.tasks[p.Name]; old != nil && reflect.DeepEqual(old.p, p) {
			next[p.Name] = old
			continue
		}
		next[p.Name] = s.newTask(p, now)
	}
	for name, t := range s.tasks {
		if next[name] != t {
			s.drop(t)
		}
	}
	s.tasks = next
	used := make(map[string]*source, len(s.sources))
	for _, t := range next {
		used[sourceOf(t.p)] = t.from
	}
	s.sources = used
	s.heap = s.heap[:0]
	s.grain = coarse
	for _, t := range next {
		s.grain = max(min(s.grain, t.every/100), fine)
		t.index = len(s.heap)
		t.wake = t.next()
		s.heap = append(s.heap, t)
	}
	heap.Init(&s.heap)
}

// newTask spreads probes over their interval by their name, so that a hundred
// probes of one interval do not ask in one instant, run after run alike.
func (s *scheduler) newTask(p state.Probe, now time.Time) *task {
	every := max(s.h.opt.Clock.Real(p.Every.D()), leastEvery)
	key := sourceOf(p)
	from := s.sources[key]
	if from == nil {
		from = &source{quick: lane{most: quickAsks}, slow: lane{most: slowAsks}}
		s.sources[key] = from
	}
	return &task{
		p: p, from: from, every: every, index: -1,
		phase: spread(p.Name, every), due: now.Add(spread(p.Name, min(every, firstWithin))),
	}
}

// spread gives a probe's place in a stretch of time.
func spread(name string, d time.Duration) time.Duration {
	hash := fnv.New64a()
	hash.Write([]byte(name))
	return time.Duration(hash.Sum64() % uint64(d))
}

// drop forgets a task whose probe went away or changed. Its question, if one is
// in flight, still counts until it returns.
func (s *scheduler) drop(t *task) {
	t.stop()
	t.index = -1
	s.lookers = slices.DeleteFunc(s.lookers, func(w *task) bool { return w == t })
	if l := t.waiting; l != nil {
		l.waiting = slices.DeleteFunc(l.waiting, func(w *task) bool { return w == t })
		t.waiting = nil
	}
}

func (t *task) stop() {
	if t.cancel != nil {
		t.cancel()
	}
}

// turn does what is due at now.
func (s *scheduler) turn(ctx context.Context, now time.Time) {
	s.admit(ctx, now)
	s.lookBack(ctx)
	for len(s.heap) > 0 && !s.heap[0].wake.After(now) {
		t := s.heap[0]
		s.happen(ctx, t, now)
		s.place(t)
	}
}

// happen handles the one or more times of a task that have come.
func (s *scheduler) happen(ctx context.Context, t *task, now time.Time) {
	if t.running != 0 {
		if !t.deadline.IsZero() && !t.deadline.After(now) {
			t.deadline = time.Time{}
			s.emit(t, Reading{}, timedOut(t.p), t.at)
		}
		if !t.slow && !t.promote.After(now) {
			s.promote(ctx, t, now)
		}
	}
	if !t.due.After(now) {
		t.due = t.after(now)
		if t.running == 0 && t.waiting == nil && !s.ask(ctx, t, now) {
			t.waiting = t.lane()
			t.waiting.waiting = append(t.waiting.waiting, t)
			s.full[t.waiting] = true
		}
	}
	if !t.staleAt.IsZero() && !t.staleAt.After(now) {
		s.silent(t)
	}
}

// lane is where the task's next question, or the one in flight, counts.
func (t *task) lane() *lane {
	if t.running == 0 && t.wasSlow || t.running != 0 && t.slow {
		return &t.from.slow
	}
	return &t.from.quick
}

// promote moves a question that takes long out of the way of the quick ones.
func (s *scheduler) promote(ctx context.Context, t *task, now time.Time) {
	t.promote = now.Add(slowAfter)
	if t.from.slow.in >= t.from.slow.most {
		return
	}
	t.from.quick.in--
	t.from.slow.in++
	t.slow = true
	s.admit(ctx, now)
}

// admit asks those that waited, as far as there is room.
func (s *scheduler) admit(ctx context.Context, now time.Time) {
	for l := range s.full {
		n := 0
		for ; n < len(l.waiting); n++ {
			if !s.ask(ctx, l.waiting[n], now) {
				break
			}
			l.waiting[n].waiting = nil
			s.place(l.waiting[n])
		}
		clear(l.waiting[:n])
		if l.waiting = l.waiting[n:]; len(l.waiting) == 0 {
			l.waiting = nil
			delete(s.full, l)
		}
	}
}

// ask starts a question unless its lane is full.
func (s *scheduler) ask(ctx context.Context, t *task, now time.Time) bool {
	l := t.lane()
	if l.in >= l.most || s.flying >= mostAsks {
		return false
	}
	l.in++
	s.flying++
	s.n++
	t.slow, t.running, t.again = t.wasSlow, s.n, false
	t.asked, t.at = now, s.incident()
	t.deadline, t.promote = now.Add(t.p.Timeout.D()), now.Add(slowAfter)
	if t.heard.IsZero() {
		// Silence counts from the first question.
		t.heard = t.at
		t.staleAt = now.Add(s.h.opt.Clock.Real(t.p.StaleAt.D()))
	}
	actx, cancel := context.WithTimeout(ctx, t.p.Timeout.D())
	t.cancel = cancel
	asker, p, at, n := s.h.opt.Askers[t.p.Kind], t.p, t.at, s.n
	s.asks.Go(func() {
		defer cancel()
		r, err := question(actx, asker, p, at)
		s.answers <- answer{t, n, r, err}
	})
	return true
}

// question asks once; what goes wrong inside an asker is that probe's error and
// nobody else's.
func question(ctx context.Context, a Asker, p state.Probe, at time.Time) (r Reading, err error) {
	if a == nil {
		return r, fmt.Errorf("nothing here can ask a probe of kind %q", p.Kind)
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("asking panicked: %v", v)
		}
	}()
	r, err = a.Ask(ctx, p, at)
	if err != nil && ctx.Err() == context.DeadlineExceeded {
		err = timedOut(p)
	}
	return r, err
}

func timedOut(p state.Probe) error {
	return fmt.Errorf("no answer within %s", p.Timeout)
}

// take books an answer.
func (s *scheduler) take(a answer) {
	t := a.t
	t.lane().in--
	s.flying--
	now := time.Now()
	told := t.deadline.IsZero() // its time-out
	t.running, t.cancel, t.deadline = 0, nil, time.Time{}
	t.wasSlow = now.Sub(t.asked) >= slowAfter
	if s.tasks[t.p.Name] != t {
		return // removed or redefined meanwhile
	}
	if !told && (a.err != nil || !a.r.Pending) {
		s.emit(t, a.r, a.err, t.at)
	}
	if a.err == nil && !a.r.Pending && !a.r.NoData && !t.known {
		t.known = true
		s.lookers = append(s.lookers, t)
	}
	if t.again {
		t.due = now
	}
	s.place(t)
}

// emit judges and queues a sample.
func (s *scheduler) emit(t *task, r Reading, err error, at time.Time) {
	got := s.incident()
	x := Judge(t.p, r, err, at, got)
	t.heard = x.At
	t.staleAt = time.Time{}
	// What could not be asked stays an error until it can be, as on the screen: the two
	// would take turns, an event each time, while a source hangs.
	if x.Verdict != state.Stale && x.Verdict != state.Error {
		left := t.p.StaleAt.D() - got.Sub(x.At)
		t.staleAt = time.Now().Add(s.h.opt.Clock.Real(max(left, 0)) + time.Millisecond)
	}
	s.queue(x)
}

// silent says that nothing came for too long, once.
func (s *scheduler) silent(t *task) {
	t.staleAt = time.Time{}
	got := s.incident()
	s.queue(state.Sample{
		Probe: t.p.Name, At: t.heard, Got: got, Verdict: state.Stale,
		Text: "nothing new for " + age(got.Sub(t.heard)),
	})
}

func (s *scheduler) queue(x state.Sample) {
	if most := backlog*len(s.tasks) + backlog; len(s.batch) >= most {
		s.batch = append(s.batch[:0:0], s.batch[len(s.batch)-most+1:]...)
	}
	s.batch = append(s.batch, x)
}

func (s *scheduler) incident() time.Time { return s.h.opt.Clock.At(s.h.opt.Now()) }

// after gives the task's next time on its own grid, at least half an interval
// away: the first question comes early, the others evenly.
func (t *task) after(now time.Time) time.Time {
	soonest := now.Add(t.every / 2)
	into := time.Duration((soonest.UnixNano() - int64(t.phase)) % int64(t.every))
	return soonest.Add(t.every - into)
}

// next gives when something happens to the task.
func (t *task) next() time.Time {
	w := t.due
	sooner := func(x time.Time) {
		if !x.IsZero() && x.Before(w) {
			w = x
		}
	}
	sooner(t.staleAt)
	if t.running != 0 {
		sooner(t.deadline)
		if !t.slow {
			sooner(t.promote)
		}
	}
	return w
}

// place puts the task where its next time belongs.
func (s *scheduler) place(t *task) {
	if t.index < 0 {
		return
	}
	t.wake = t.next()
	heap.Fix(&s.heap, t.index)
}

// taskHeap orders tasks by wake.
type taskHeap []*task

func (h taskHeap) Len() int           { return len(h) }
func (h taskHeap) Less(i, j int) bool { return h[i].wake.Before(h[j].wake) }
func (h taskHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *taskHeap) Push(x any) {
	t := x.(*task)
	t.index = len(*h)
	*h = append(*h, t)
}

// Pop implements heap.Interface.
func (h *taskHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}
