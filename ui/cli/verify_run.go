package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mayday/state"
	"mayday/steps"
)

// verified is what mayday verify says, for machines.
type verified struct {
	V           int            `json:"v"` // see shape
	Incident    string         `json:"incident,omitempty"`
	Service     string         `json:"service"`
	Environment string         `json:"environment"`
	Duration    state.Duration `json:"duration"`
	Reaction    state.Duration `json:"worst_case_reaction"` // incident time; 0: no probe can say crit
	ByRank      state.Duration `json:"worst_case_reaction_by_rank,omitempty"`
	Target      string         `json:"rollback_to,omitempty"`
	NoRollback  string         `json:"no_rollback,omitempty"` // why nothing would be rolled back
	Probes      []verifiedOf   `json:"probes"`
	Uncovered   []string       `json:"not_covered,omitempty"`
	Decisions   []decidedRow   `json:"decisions,omitempty"`
	Outcome     string         `json:"outcome,omitempty"` // well, not well, critical, not known, stopped, rolled back, rollback failed
	Reasons     []string       `json:"reasons,omitempty"`
	Exit        int            `json:"exit"`
}

// verifiedOf is one probe that is judged.
type verifiedOf struct {
	Name     string         `json:"name"`
	Kind     string         `json:"kind"`
	Query    string         `json:"query"`
	Covers   string         `json:"covers,omitempty"`
	Warn     *float64       `json:"warn,omitempty"`
	Crit     *float64       `json:"crit,omitempty"`
	Below    bool           `json:"below,omitempty"`
	Every    state.Duration `json:"every"`
	Reach    state.Duration `json:"reach,omitempty"`
	Reaction state.Duration `json:"worst_case_reaction,omitempty"`
	ByRank   state.Duration `json:"worst_case_reaction_by_rank,omitempty"`
	Readings int            `json:"readings"`
	Last     *state.Sample  `json:"last,omitempty"`
}

// decidedRow is one thing that the watch said.
type decidedRow struct {
	Time    time.Time       `json:"time"`
	State   state.GateState `json:"state"`
	Reasons []string        `json:"reasons,omitempty"`
	Judged  []state.Judged  `json:"readings,omitempty"`
}

// maxDecided bounds the decisions that are kept for the report; the newest stay.
const maxDecided = 1000

// begin fills in what is known before the first look.
func (v *verifying) begin() {
	r := &v.report
	r.Service, r.Environment, r.Duration = v.rb.Service, v.env.Name, state.Duration(v.last)
	if v.in != nil {
		r.Incident = v.in.ID
	}
	target, err := v.takesBack()
	if r.Target = target; err != nil {
		r.NoRollback = state.Clean(state.AsProblem(err).What)
	}
	r.Probes, r.Uncovered = nil, slices.Clone(state.Covered)
	all := v.judged()
	r.Reaction = steps.Reaction(all)
	r.ByRank = 0
	for _, p := range all {
		r.ByRank = max(r.ByRank, p.RankReaction)
		r.Probes = append(r.Probes, verifiedOf{Name: p.Name, Kind: p.Kind, Query: p.Query, Covers: p.Covers, Warn: p.Warn, Crit: p.Crit, Below: p.Below,
			Every: p.Every, Reach: p.Reach, Reaction: p.Reaction, ByRank: p.RankReaction, Readings: v.watch.Taken(p.Name)})
		r.Uncovered = slices.DeleteFunc(r.Uncovered, func(c string) bool { return c == p.Covers })
	}
}

// head says in a few lines what is watched.
func (v *verifying) head() {
	r := v.report
	fast := "no probe can say crit"
	switch {
	case r.Reaction > 0 && r.ByRank > 0:
		fast = "worst-case reaction " + r.Reaction.String() + ", by rank " + r.ByRank.String()
	case r.Reaction > 0:
		fast = "worst-case reaction " + r.Reaction.String()
	case r.ByRank > 0:
		fast = "worst-case reaction by rank " + r.ByRank.String()
	}
	fmt.Fprintf(v.out, "%s of %s: %d probes for %s, %s\n", r.Environment, state.Clean(r.Service), len(r.Probes), r.Duration, fast)
	if len(r.Uncovered) > 0 {
		fmt.Fprintf(v.out, "no probe covers %s\n", strings.Join(r.Uncovered, ", "))
	}
	switch {
	case r.NoRollback != "":
		fmt.Fprintln(v.out, r.NoRollback)
	case v.auto:
		fmt.Fprintf(v.out, "what stays critical takes production back to %s\n", state.Clean(r.Target))
	default:
		fmt.Fprintf(v.out, "without --auto-rollback verify takes nothing back; the incident's own triggers stay armed, and R leads to %s\n", state.Clean(r.Target))
	}
	if slow := max(r.Reaction, r.ByRank); slow.D() >= v.last {
		fmt.Fprintf(v.out, "mind: a bad event in the last %s may not be seen: watch longer than that\n", slow)
	}
}

// told keeps and prints what the watch says.
func (v *verifying) told(now time.Time, d steps.Watched) {
	if len(v.report.Decisions) == maxDecided {
		v.report.Decisions = v.report.Decisions[1:]
	}
	v.report.Decisions = append(v.report.Decisions, decidedRow{now, d.State, append(slices.Clone(d.Reasons), d.Excused...), d.Judged})
	if v.flags.json {
		return
	}
	text := map[state.GateState]string{state.GateHolding: "all is well", state.GateWaiting: "not all is well", state.GateAsking: "not known",
		state.GateFailed: "critical"}[d.State]
	if why := strings.Join(append(slices.Clone(d.Reasons), d.Excused...), ", "); why != "" {
		text += ": " + why
	}
	fmt.Fprintf(v.out, "%s %s\n", now.Format(time.TimeOnly), state.CleanLines(text))
}

// over says how the watch ended.
func (v *verifying) over(outcome string, code int, reasons []string) {
	v.begin()
	v.report.Outcome, v.report.Exit, v.report.Reasons = outcome, code, reasons
}

// judge looks once and says whether there is something to tell, and whether the watch
// is over. Ignorance is told when it lasts: a first reading takes a while, and one that is
// lost at the end may come back.
func (v *verifying) judge(now, ends time.Time) (d steps.Watched, news, over bool) {
	d = v.watch.Look(now, v.scope())
	if news = d.News && (!d.Blind || d.State != state.GateWaiting); news {
		v.told(now, d)
	}
	switch {
	case d.State == state.GateFailed:
		v.over("critical", exitFailed, d.Reasons)
	case now.Before(ends) || d.State == state.GateWaiting && d.Bridges:
		return d, news, false
	case d.State == state.GateHolding:
		v.over("well", exitDone, d.Excused)
	case d.Blind || d.State == state.GateAsking:
		v.over("not known", exitPerson, d.Reasons)
	default:
		v.over("not well", exitFailed, d.Reasons)
	}
	for i, p := range v.report.Probes {
		if j := slices.IndexFunc(d.Readings, func(s state.Sample) bool { return s.Probe == p.Name }); j >= 0 {
			v.report.Probes[i].Last = &d.Readings[j]
		}
	}
	return d, news, true
}

// end prints the outcome.
func (v *verifying) end() error {
	r := v.report
	if v.flags.json {
		return json.NewEncoder(v.out).Encode(r)
	}
	readings := 0
	for _, p := range r.Probes {
		readings += p.Readings
	}
	text := fmt.Sprintf("%s: %d probes, %d readings", r.Outcome, len(r.Probes), readings)
	if len(r.Reasons) > 0 {
		text += "; " + strings.Join(r.Reasons, ", ")
	}
	_, err := fmt.Fprintln(v.out, state.CleanLines(text))
	return err
}

// beat is how often a watch looks, by the wall.
func (v *verifying) beat() *time.Ticker {
	return time.NewTicker(max(v.clock.Real(time.Second), 50*time.Millisecond))
}

// alone watches without an incident.
func (v *verifying) alone(ctx context.Context, own <-chan []state.Sample) error {
	tick := v.beat()
	defer tick.Stop()
	start := v.clock.At(v.now())
	for {
		select {
		case <-ctx.Done():
			v.over("stopped", exitFailed, []string{"stopped before its end"})
			return nil
		case batch := <-own:
			v.watch.Take(batch...)
		case <-tick.C:
			if _, _, over := v.judge(v.clock.At(v.now()), start.Add(v.last)); over {
				return nil
			}
		}
	}
}

// beside watches beside the incident's keeper, or as that.
func (v *verifying) beside(ctx context.Context, own <-chan []state.Sample) error {
	s, err := v.connect(ctx, v.folder, v.rb, "cli", true)
	if err != nil {
		return err
	}
	scene := state.NewScene()
	told := newTelling(s)
	err = v.follow(ctx, s, scene, own, told)
	if lost := told.close(); lost != nil {
		v.complain(lost) // what was seen, and done, counts all the same
	}
	return v.part(ctx, s, err)
}

// part ends the session as leave does. Whom messages did not reach is said beside the
// report, and makes it a person's matter where all else is well; what came of production
// has the word otherwise.
func (v *verifying) part(ctx context.Context, s *session, failed error) error {
	if untold := s.drain(ctx); len(untold) > 0 {
		v.complain(notTold(untold))
		if v.report.Exit == exitDone {
			v.report.Exit = exitPerson
		}
	}
	return errors.Join(failed, s.Close("mayday verify is over"))
}

func (v *verifying) follow(ctx context.Context, s *session, scene *state.Scene, own <-chan []state.Sample, told *telling) error {
	tick := v.beat()
	defer tick.Stop()
	var start time.Time
	for {
		select {
		case <-ctx.Done():
			v.over("stopped", exitFailed, []string{"stopped before its end"})
			told.say(state.NoteWatch{State: state.GateWaiting, Ended: true, Reasons: v.report.Reasons})
			return nil
		case f, ok := <-s.Frames():
			if !ok {
				return &state.Problem{What: "the keeper is gone", Do: "Run mayday verify again."}
			}
			if err := v.fold(scene, f); err != nil {
				return err
			}
			if rb := scene.Incident.Rollback.Status; !start.IsZero() && (rb == state.RollbackArmed || rb == state.RollbackRunning) {
				return v.takenBack(ctx, s, scene, accepted())
			}
			continue
		case batch := <-own:
			v.watch.Take(batch...)
			continue
		case <-tick.C:
		}
		if scene.Incident.Seq < scene.Hello.Head || scene.Incident.ID == "" {
			continue // history
		}
		now := v.clock.At(v.now())
		if v.in = scene.Incident; start.IsZero() {
			start = now
			told.say(state.NoteWatch{State: state.GateHolding, Hold: state.Duration(v.last)})
		}
		d, news, over := v.judge(now, start.Add(v.last))
		if over {
			return v.conclude(ctx, s, scene, d, told)
		}
		if news {
			told.say(noteOf(d))
		}
	}
}

func (v *verifying) fold(scene *state.Scene, f state.Frame) error {
	if f.Lost != "" {
		fmt.Fprintln(v.err, "mayday: "+state.CleanLines(f.Lost))
	}
	v.watch.Take(f.Samples...)
	return scene.Fold(f)
}

func noteOf(d steps.Watched) state.NoteWatch {
	return state.NoteWatch{State: d.State, Since: d.Since, Reasons: append(slices.Clone(d.Reasons), d.Excused...), Judged: d.Judged}
}

// conclude tells how the watch ended, and takes production back where that is wanted.
func (v *verifying) conclude(ctx context.Context, s *session, scene *state.Scene, d steps.Watched, told *telling) error {
	note := noteOf(d)
	if note.Ended = true; v.report.Exit == exitDone {
		note.State = state.GatePassed
	}
	told.say(note)
	if d.State != state.GateFailed {
		return nil
	}
	if _, err := v.takesBack(); err != nil {
		return nil // the report says why
	}
	if !v.auto {
		return v.others(ctx, s, scene)
	}
	sent := make(chan error, 1)
	go func() { sent <- pull(ctx, s, state.Fire{Trigger: "verify: " + strings.Join(d.Reasons, ", ")}) }()
	return v.takenBack(ctx, s, scene, sent)
}

// othersTime is how long the keeper's own triggers have to see what verify saw.
const othersTime = 5 * time.Second

// others waits a moment: the keeper watches by the same gates and may be about to pull.
func (v *verifying) others(ctx context.Context, s *session, scene *state.Scene) error {
	wait := time.NewTimer(max(v.clock.Real(othersTime), time.Second))
	defer wait.Stop()
	for {
		if rb := scene.Incident.Rollback.Status; rb == state.RollbackArmed || rb == state.RollbackRunning || rb == state.RollbackDone {
			return v.takenBack(ctx, s, scene, accepted())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wait.C:
			return nil
		case f, ok := <-s.Frames():
			if !ok {
				return nil
			}
			if err := v.fold(scene, f); err != nil {
				return err
			}
		}
	}
}

// accepted says of a rollback that somebody else asked for that it was.
func accepted() chan error {
	sent := make(chan error, 1)
	sent <- nil
	return sent
}

// takenBack follows a rollback to its end.
func (v *verifying) takenBack(ctx context.Context, s *session, scene *state.Scene, sent chan error) error {
	words := *v.app
	if v.flags.json {
		words.out = io.Discard // the report alone
	}
	want := undo{immediate: true}
	err := words.followRollback(ctx, s, scene, want, scene.Incident.Seq, sent)
	if errors.Is(err, errSilent) && ctx.Err() == nil {
		err = words.rollbackHere(ctx, want)
	}
	var ended exit
	if !errors.As(err, &ended) {
		return err
	}
	reasons := []string{scene.Incident.Rollback.Trigger}
	switch ended.code {
	case exitRolledBack:
		v.over("rolled back", ended.code, reasons)
	case exitRollbackFailed:
		v.over("rollback failed", ended.code, reasons)
	default:
		v.over("the rollback was stopped", ended.code, reasons)
	}
	return nil
}

// telling hands what verify says to the keeper, in order, without keeping the watch
// waiting. Beyond a bound the newest are dropped: the process has them all.
type telling struct {
	notes chan state.NoteWatch
	done  chan struct{}
	err   error // of the first that did not arrive; valid when done is closed
	lost  int
}

const (
	tellingRoom = 256
	tellingTime = 5 * time.Second // for one; real
)

func newTelling(s *session) *telling {
	t := &telling{notes: make(chan state.NoteWatch, tellingRoom), done: make(chan struct{})}
	go func() {
		defer close(t.done)
		for n := range t.notes {
			ctx, cancel := context.WithTimeout(context.Background(), tellingTime)
			if _, err := s.Do(ctx, n); err != nil && t.err == nil {
				t.err = err
			}
			cancel()
		}
	}()
	return t
}

func (t *telling) say(n state.NoteWatch) {
	select {
	case t.notes <- n:
	default:
		t.lost++
	}
}

// close waits until all is told.
func (t *telling) close() error {
	close(t.notes)
	<-t.done
	switch {
	case t.err != nil:
		return fmt.Errorf("the journal lacks what verify saw: %w", t.err)
	case t.lost > 0:
		return fmt.Errorf("the journal lacks %d of what verify saw", t.lost)
	}
	return nil
}
