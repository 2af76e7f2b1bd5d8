package steps

import (
	"time"

	"mayday/state"
)

// journalPatience is how long a rollback waits for the journal before it acts
// without it (real time).
const journalPatience = 50 * time.Millisecond

// What the screens say of a disk that keeps somebody waiting.
const (
	diskSlow  = "the journal's disk is slow"
	diskHangs = "the journal's disk hangs"
)

// record writes facts and folds them: nothing is true before it is on the disk.
// On an error nothing happened and the caller must not act.
func (e *Engine) record(actor state.Actor, facts ...state.Fact) (uint64, error) {
	e.turn <- struct{}{}
	defer e.pass()
	return e.write(actor, facts)
}

// pass gives the turn up. What could not be folded while the writer was slow comes
// before whoever is next.
func (e *Engine) pass() {
	e.mu.Lock()
	waiting := len(e.late) > 0
	e.mu.Unlock()
	if waiting {
		_ = e.flush() // what the disk does not take stays in the spool, which is on the screen
	}
	<-e.turn
}

// catchUp writes what waits for the journal, unless somebody is writing anyway:
// nobody has to do something for it to be tried again.
func (e *Engine) catchUp() {
	e.mu.Lock()
	waiting := len(e.late)+len(e.spool) > 0
	e.mu.Unlock()
	if !waiting {
		return
	}
	select {
	case e.turn <- struct{}{}:
		defer e.pass()
		if err := e.flush(); err != nil {
			e.tellJournal(err.Error())
		}
	default:
	}
}

// recordIf is record if ok allows it at the moment of writing: an intent formed on
// an old picture is judged by the newest. ok runs under mu.
func (e *Engine) recordIf(actor state.Actor, ok func(*state.Incident) error, facts ...state.Fact) (uint64, error) {
	e.turn <- struct{}{}
	defer e.pass()
	e.mu.Lock()
	err := ok(e.in)
	e.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return e.write(actor, facts)
}

// pending is a write under way for somebody whom no disk may keep.
type pending struct {
	done chan struct{}
	seq  uint64 // valid when done is closed, as err is
	err  error
	void bool // nobody wants it any more: what is not on its way to the disk is left out. Guarded by mu
}

// recordSoon is recordIf for those who look for its end now and then. It comes before what
// is recorded after it, and after what it found waiting.
func (e *Engine) recordSoon(actor state.Actor, ok func(*state.Incident) error, facts ...state.Fact) *pending {
	p := &pending{done: make(chan struct{})}
	wanted := func(in *state.Incident) error {
		if p.void {
			return errOver
		}
		return ok(in)
	}
	go func() {
		defer e.caughtUp()
		defer close(p.done)
		if bad := guarded(func() { p.seq, p.err = e.recordIf(actor, wanted, facts...) }); bad != nil {
			p.err = bad
		}
	}()
	return p
}

// inTime waits for a write as long as the rollback would, and reports whether it has ended.
func (e *Engine) inTime(p *pending) bool {
	wait := time.NewTimer(journalPatience)
	defer wait.Stop()
	select {
	case <-p.done:
		return true
	case <-wait.C:
		e.tellSlow(p.done)
		return false
	}
}

// drop takes back what is not on its way to the disk yet.
func (e *Engine) drop(p *pending) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p.void = true
}

// must is record for the rollback's own lane and for what leads there, the readings and
// who judges them: it never fails and waits at most journalPatience. What could not be
// written is spooled and written before anything else as soon as the journal takes it.
func (e *Engine) must(actor state.Actor, facts ...state.Fact) { e.mustAt(e.Now(), actor, facts...) }

// mustAt is must for what happened at that time.
func (e *Engine) mustAt(at time.Time, actor state.Actor, facts ...state.Fact) {
	wait := time.NewTimer(journalPatience)
	defer wait.Stop()
	select {
	case e.turn <- struct{}{}:
		done := make(chan struct{})
		// The disk may hang inside the write; the lane goes on without it.
		go func() {
			defer e.pass()
			defer e.caughtUp()
			defer close(done) // before the turn goes on: those whom the events woke are many
			e.writeOrSpool(at, actor, facts)
		}()
		select {
		case <-done:
		case <-wait.C:
			e.tellSlow(done)
		}
	case <-wait.C:
		e.mu.Lock()
		for _, f := range facts {
			e.late = append(e.late, entry{at, actor, f})
		}
		e.tellJournalLocked(diskHangs)
		e.mu.Unlock()
	}
}

// tellSlow says that the disk keeps somebody waiting, unless it has answered just now.
func (e *Engine) tellSlow(done <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-done:
	default:
		e.tellJournalLocked(diskSlow)
	}
}

// caughtUp takes back what was said of a slow disk once it has written all there is: the
// next event may be long in coming, and nothing is amiss meanwhile.
func (e *Engine) caughtUp() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.spool)+len(e.late) == 0 && (e.jerr == diskSlow || e.jerr == diskHangs) {
		e.tellJournalLocked("")
	}
}

// write needs the turn. It flushes the spool first, so that order is kept.
func (e *Engine) write(actor state.Actor, facts []state.Fact) (uint64, error) {
	if err := e.flush(); err != nil {
		e.tellJournal(err.Error())
		return 0, journalProblem(err)
	}
	e.mu.Lock()
	seen := e.in.Seq
	e.mu.Unlock()
	if len(facts) == 0 {
		return seen, nil
	}
	events, err := e.o.Journal.Append(e.Now(), actor, seen, facts...)
	if err != nil {
		e.tellJournal(err.Error())
		return 0, journalProblem(err)
	}
	e.apply(events)
	return events[len(events)-1].Seq, nil
}

func journalProblem(err error) error {
	return &state.Problem{Code: "journal", What: "nothing was done: the journal cannot be written",
		Why: state.Clean(err.Error()), Do: "Make room on the disk or fix its permissions. R works all the same."}
}

// writeOrSpool needs the turn. What belongs together is written together, so that a
// crash leaves no half of it.
func (e *Engine) writeOrSpool(at time.Time, actor state.Actor, facts []state.Fact) {
	err := e.flush()
	if err == nil {
		var events []state.Event
		if events, err = e.o.Journal.Append(at, actor, 0, facts...); err == nil {
			e.apply(events)
			return
		}
	}
	for _, f := range facts {
		e.pretend(entry{at, actor, f})
	}
	e.tellJournal(err.Error())
}

// pretend folds an entry that is not on the disk yet. The sequence number it gets
// is the one it will have there: the spool is written in order, before anything else.
func (e *Engine) pretend(x entry) {
	e.mu.Lock()
	ev := state.Event{Seq: e.in.Seq + 1, Time: x.at, Actor: x.actor, Fact: x.fact}
	if len(e.spool) == 0 && len(e.written) == 0 {
		e.base = len(e.events)
	}
	e.spool = append(e.spool, x)
	e.mu.Unlock()
	e.apply([]state.Event{ev})
}

// flush needs the turn: it writes what waits, oldest first.
func (e *Engine) flush() error {
	for {
		e.mu.Lock()
		late := e.late
		e.late = nil
		e.mu.Unlock()
		for _, x := range late {
			e.pretend(x)
		}
		e.mu.Lock()
		if len(e.spool) == 0 {
			e.settleSpool()
			again := e.jerr != ""
			e.jerr = ""
			e.mu.Unlock()
			if again {
				e.tellJournal("")
			}
			return nil
		}
		x := e.spool[0]
		e.mu.Unlock()
		events, err := e.o.Journal.Append(x.at, x.actor, 0, x.fact)
		if err != nil {
			return err
		}
		e.mu.Lock()
		e.spool = e.spool[1:]
		e.written = append(e.written, events...)
		e.mu.Unlock()
	}
}

// settleSpool needs mu: the spool is on the disk. Where a checkpoint came between,
// the numbers that were guessed are off by it: the fold is made anew from what was
// written. Clients then see the last spooled event a second time, which folds to
// the same.
func (e *Engine) settleSpool() {
	defer func() { e.written = nil }()
	if len(e.written) == 0 || e.base+len(e.written) == len(e.events) {
		return
	}
	events := append(append([]state.Event(nil), e.events[:e.base]...), e.written...)
	in, err := state.Fold(events)
	if err != nil {
		e.jerr = err.Error()
		return
	}
	e.in, e.events = in, events
	for s := range e.subs {
		s.wake()
	}
}

// apply folds events and wakes whoever waits for them.
func (e *Engine) apply(events []state.Event) {
	e.mu.Lock()
	for _, ev := range events {
		if err := e.in.Apply(ev); err != nil {
			// Only a bug in the order of writing could do this; the screen must say so.
			e.jerr = err.Error()
			continue
		}
		e.events = append(e.events, ev)
	}
	close(e.changed)
	e.changed = make(chan struct{})
	for s := range e.subs {
		s.wake()
	}
	e.mu.Unlock()
}

// tellJournal shows every client how the journal does.
func (e *Engine) tellJournal(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tellJournalLocked(text)
}

// tellJournalLocked needs mu.
func (e *Engine) tellJournalLocked(text string) {
	e.jerr = text
	for s := range e.subs {
		s.stale = true
		s.wake()
	}
}

// journalState needs mu.
func (e *Engine) journalState() *state.JournalState {
	_, hash := e.o.Journal.Head()
	return &state.JournalState{Spooled: len(e.spool) + len(e.late), Err: e.jerr, Head: hash, Signed: e.o.Journal.Signed()}
}
