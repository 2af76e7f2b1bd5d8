package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"mayday/state"
)

// Alerts writes the alert-tuning list of an incident: which probes saw the trouble, which
// first and how late, what was noisy, red for nothing or unreadable, how fast the gates
// reacted, and what to change, each with its figure. It is made of the journal; r adds
// what the recorded samples know, nil: nothing. The same incident gives the same list.
func Alerts(in *state.Incident, events []state.Event, r *Readings) []byte {
	w := &tuning{writer: writer{in: in, events: events}, all: watch(in, events, r)}
	w.saw = sawIt(in, w.all)
	w.intro()
	w.first()
	w.rollouts()
	w.table()
	w.suggestions()
	return w.b.Bytes()
}

type tuning struct {
	writer
	all []*watched
	saw []*watched
}

func (w *tuning) intro() {
	in := w.in
	w.f("# Alert tuning: %s %s\n\n", escape(or(in.ID, "incident")), escape(in.Title))
	if in.Drill != "" {
		w.f("*This was a drill (scenario %s).*\n\n", escape(in.Drill))
	}
	changes, samples := 0, 0
	for _, x := range w.all {
		for _, n := range x.changes() {
			changes += n
		}
		samples += x.readings.n
	}
	w.f("What %s said from %s to %s: %s of verdict", plural(len(w.all), "probe"), full(in.Declared), full(in.Ended), plural(changes, "change"))
	if samples > 0 {
		w.f(", %s", plural(samples, "reading"))
	}
	w.f(". All times are UTC.\n\n")
}

// first says which probe saw the trouble first, and how late the others were.
func (w *tuning) first() {
	w.f("## Who saw it first\n\n")
	if len(w.saw) == 0 {
		w.f("No probe: nothing was warn or crit before production was mitigated. **No alert would have called anybody.**\n\n")
		return
	}
	start := w.saw[0].since
	w.f("The first bad reading was `%s` at %s, %s. What mayday's own sources remember of the quarter of an hour before counts too.\n\n",
		ticks(w.saw[0].probe.Name), clock(start), w.declared(start))
	w.f("| probe | bad since | after the first | the declaration | said |\n|---|---|---|---|---|\n")
	for _, x := range w.saw {
		w.f("| %s | %s | %s | %s | %s, %s |\n", escape(x.probe.Name), clock(x.since), took(x.since.Sub(start)), w.declared(x.since),
			x.bad[0].worst.verdict, escape(said(x.probe, x.bad[0].worst)))
	}
	w.f("\n")
}

// declared says how a time lies to the declaration.
func (w *tuning) declared(at time.Time) string {
	d := at.Sub(w.in.Declared)
	if d < 0 {
		return took(-d) + " before the declaration"
	}
	return took(d) + " after the declaration"
}

// rollouts says of each production rollout what turned bad in it, and how fast the
// gates were.
func (w *tuning) rollouts() {
	wrote := false
	for i := range w.in.Rollouts {
		r := &w.in.Rollouts[i]
		if !r.Production || r.Started.IsZero() {
			continue
		}
		if !wrote {
			w.f("## What the rollouts showed\n\n")
			wrote = true
		}
		w.f("- %s at %s: %s\n", escape(r.Version), clock(r.Started), w.turned(r))
	}
	if w.in.Reaction > 0 {
		wrote = true
		w.f("- Worst-case reaction of the gates, from a bad event to the rollback: %s", took(w.in.Reaction.D()))
		if p, ok := w.slowest(); ok {
			w.f(", by `%s`: asked every %s, looks %s back", ticks(p.Name), p.Every, p.Reach)
		}
		w.f("\n")
	}
	if wrote {
		w.f("\n")
	}
}

func (w *tuning) slowest() (state.Probe, bool) {
	var out state.Probe
	for _, p := range w.in.Probes {
		if p.Reaction > out.Reaction {
			out = p
		}
	}
	return out, out.Reaction > 0
}

// turned says what a rollout made bad that was not bad before it.
func (w *tuning) turned(r *state.Rollout) string {
	end := r.Ended
	if end.IsZero() {
		end = w.in.Last
	}
	var first *watched
	var at time.Time
	for _, x := range w.all {
		if x.probe.Role != state.RoleNew && x.probe.Role != state.RoleAll || slices.Contains(w.saw, x) {
			continue // what was red before says nothing of the rollout
		}
		for _, e := range x.bad {
			if !e.from.Before(r.Started) && !e.from.After(end) && (first == nil || e.from.Before(at)) {
				first, at = x, e.from
			}
		}
	}
	if first == nil {
		return "nothing turned bad."
	}
	text := fmt.Sprintf("`%s` turned bad first, after %s", ticks(first.probe.Name), took(at.Sub(r.Started)))
	if begun := w.taken(r.ID); !begun.IsZero() && !begun.Before(at) {
		return text + "; the rollback began " + took(begun.Sub(at)) + " later."
	}
	return text + "; nothing was taken back."
}

// taken is when the rollback of a rollout began; zero: never.
func (w *tuning) taken(rollout string) time.Time {
	for _, e := range w.events {
		if f, ok := e.Fact.(state.RollbackStarted); ok && f.Rollout == rollout {
			return e.Time
		}
	}
	return time.Time{}
}

func (w *tuning) table() {
	w.f("## What each probe did\n\n| probe | role | should be | was bad | longest | of it crit | could not be read | worst reading | stopped something |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, x := range w.all {
		sum, longest := total(x.bad)
		blind, _ := total(x.blind)
		worst := "–"
		if x.readings.known > 0 {
			worst = escape(state.Quantity(x.readings.worst, x.probe.Unit))
		}
		w.f("| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", escape(x.probe.Name), escape(string(x.probe.Role)), escape(or(x.probe.Text(), "no threshold")),
			times(len(x.bad), sum), span0(longest), span0(x.red), times(len(x.blind), blind), worst, times(x.decided, 0))
	}
	w.f("\n")
}

func times(n int, sum time.Duration) string {
	switch {
	case n == 0:
		return "–"
	case sum == 0:
		return fmt.Sprintf("%d×", n)
	}
	return fmt.Sprintf("%d×, %s", n, took(sum))
}

func span0(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return took(d)
}

// From when on something is worth a suggestion.
const (
	redFor   = 5 * time.Minute // crit so long, and nothing came of it
	blindFor = time.Minute     // not readable so long
)

// suggestions says what to change, the most useful first.
func (w *tuning) suggestions() {
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	w.suggestFirst(add)
	for _, x := range w.all {
		w.suggestProbe(x, add)
	}
	var unwatched []string
	for _, sign := range state.Covered {
		if !slices.ContainsFunc(w.in.Probes, func(p state.Probe) bool { return p.Covers == sign }) {
			unwatched = append(unwatched, sign)
		}
	}
	if len(unwatched) > 0 && len(w.in.Probes) > 0 {
		add("%d of %d signs of health are watched by no probe (`covers`): %s.", len(unwatched), len(state.Covered), strings.Join(unwatched, ", "))
	}
	var dull []string
	for _, p := range w.in.Probes {
		if p.Text() == "" && slices.Contains([]string{"prometheus", "command", "log", "pod-log"}, p.Kind) {
			dull = append(dull, "`"+ticks(p.Name)+"`")
		}
	}
	if len(dull) > 0 {
		add("%s without a threshold can tell nobody anything: %s.", plural(len(dull), "probe"), strings.Join(dull, ", "))
	}
	w.f("## Suggestions\n\n")
	for i, s := range list {
		w.f("%d. %s\n", i+1, s)
	}
	if len(list) == 0 {
		w.f("None: what was bad was seen, and what was red had a consequence.\n")
	}
}

// suggestFirst is about who should have called.
func (w *tuning) suggestFirst(add func(string, ...any)) {
	if len(w.saw) == 0 {
		add("%s watched and none saw the trouble: add one that would have (`presets: [golden-signals]` is a beginning).", plural(len(w.all), "probe"))
		return
	}
	x := w.saw[0]
	if early := w.in.Declared.Sub(x.since); early > 0 {
		add("`%s` was bad %s before the incident was declared: an alert on it calls that much earlier.", ticks(x.probe.Name), took(early))
	}
	for _, late := range w.saw[1:] {
		if d := late.since.Sub(x.since); d >= redFor {
			add("`%s` saw the same trouble %s after `%s`%s.", ticks(late.probe.Name), took(d), ticks(x.probe.Name), because(late.probe))
		}
	}
}

// because names what makes a probe slow.
func because(p state.Probe) string {
	text := fmt.Sprintf(": it is asked every %s", p.Every)
	if p.Reach > 0 {
		text += fmt.Sprintf(", looks %s back", p.Reach)
	}
	if p.For > 0 {
		text += fmt.Sprintf(", and must be bad for %s", p.For)
	}
	return text
}

func (w *tuning) suggestProbe(x *watched, add func(string, ...any)) {
	name := ticks(x.probe.Name)
	sum, longest := total(x.bad)
	if x.flapped() {
		add("`%s` flapped: bad %d times, %s in all, the longest %s. `for: %s` would have kept it quiet.", name, len(x.bad), took(sum), took(longest), state.Duration(nextFive(longest)))
	}
	if red := w.redForNothing(x); red >= redFor && x.decided == 0 {
		what := "look at what it asks"
		if limit := x.probe.Text(); limit != "" {
			what = "widen its threshold (" + escape(limit) + ")"
		}
		add("`%s` was crit for %s and nothing came of it: %s, or show it only (`role: display`).", name, took(red), what)
	}
	if blind := w.unread(x); blind >= blindFor {
		add("`%s` could not be read for %s (%s): look at its source.", name, took(blind), ignorance(x))
	}
}

// unread is how long a probe could not be read while there was something to read: of the
// new version while it is rolled out and has traffic for as long as the probe looks back,
// of the old one until the new one has taken over.
func (w *tuning) unread(x *watched) time.Duration {
	blind := func(s spell) bool { return !s.verdict.Known() }
	switch x.probe.Role {
	case state.RoleNew:
		var sum time.Duration
		for i := range w.in.Rollouts {
			if r := &w.in.Rollouts[i]; r.Production && !r.Started.IsZero() {
				from, _ := traffic(r)
				if !from.IsZero() {
					sum += x.within(from.Add(x.probe.Reach.D()), r.Ended, blind)
				}
			}
		}
		return sum
	case state.RoleOld:
		end := w.in.Ended
		if r := w.in.Production(); r != nil && r.Status == state.RolloutDone {
			_, end = traffic(r)
		}
		return x.within(time.Time{}, end, blind)
	}
	return x.within(time.Time{}, time.Time{}, blind)
}

// traffic is from when on a rollout's new version had some, and from when on it had all,
// which is the rollout's end where no stage says it; zero: never.
func traffic(r *state.Rollout) (some, whole time.Time) {
	whole = r.Ended
	for i := len(r.Stages) - 1; i >= 0; i-- {
		s := &r.Stages[i]
		if s.Effected.IsZero() || s.Weight == 0 {
			continue
		}
		some = s.Effected
		if s.Weight >= 100 {
			whole = s.Effected
		}
	}
	return some, whole
}

// redForNothing is how long a probe was crit beside the trouble that the incident is
// about: all the time for one that did not see that, else the time after the mitigation.
func (w *tuning) redForNothing(x *watched) time.Duration {
	if !slices.Contains(w.saw, x) {
		return x.red
	}
	if w.in.Mitigated.IsZero() {
		return 0
	}
	return x.within(w.in.Mitigated, time.Time{}, func(s spell) bool { return s.verdict == state.Crit })
}

// nextFive rounds up to five seconds beyond.
func nextFive(d time.Duration) time.Duration { return (d/(5*time.Second) + 1) * 5 * time.Second }

// ignorance counts what kept a probe from being read: "2 no-data, 1 stale".
func ignorance(x *watched) string {
	n := x.changes()
	var out []string
	for _, v := range []state.Verdict{state.NoData, state.Stale, state.Error} {
		if n[v] > 0 {
			out = append(out, fmt.Sprintf("%d %s", n[v], v))
		}
	}
	return strings.Join(out, ", ")
}

// ticks is text from outside for between backticks.
func ticks(s string) string { return cmp.Or(strings.ReplaceAll(state.Clean(s), "`", "'"), "?") }

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
