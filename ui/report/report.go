// Package report writes the post-incident report from the journal, so that nobody
// has to remember at ten in the morning what happened at three.
package report

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"mayday/state"
)

// Markdown writes the report of an incident: in is the fold of all events. Text
// that people and tools brought in is cleaned and escaped. It works at any moment
// of an incident; what has not happened yet says so.
func Markdown(in *state.Incident, events []state.Event) []byte {
	w := &writer{in: in, events: events}
	w.head()
	w.overrides()
	w.phases()
	w.rollback()
	w.steps()
	w.messages()
	w.actions()
	w.score()
	w.timeline()
	return w.b.Bytes()
}

type writer struct {
	b      bytes.Buffer
	in     *state.Incident
	events []state.Event
}

func (w *writer) f(format string, args ...any) { fmt.Fprintf(&w.b, format, args...) }

// rows writes a table; empty values are left out where two columns name and say.
func (w *writer) pairs(rows [][2]string) {
	w.f("| | |\n|---|---|\n")
	for _, r := range rows {
		if r[1] != "" {
			w.f("| %s | %s |\n", r[0], r[1])
		}
	}
	w.f("\n")
}

func (w *writer) head() {
	in := w.in
	title := in.Title
	if title == "" {
		title = "not declared"
	}
	w.f("# %s: %s\n\n", escape(or(in.ID, "incident")), escape(title))
	if in.Drill != "" {
		w.f("*This was a drill (scenario %s).*\n\n", escape(in.Drill))
	}
	w.f("## Summary\n\n")
	decision := ""
	if d := in.Decision; d.Choice != "" {
		decision = escape(d.Choice) + by(d.By) + colon(d.Rationale)
	}
	rows := [][2]string{
		{"Severity", in.Severity.String()},
		{"Service", escape(strings.TrimSpace(in.Environment + " " + in.Service))},
		{"Impact", escape(in.Impact)},
		{"Issue", escape(in.Issue)},
		{"Status", escape(string(in.Status))},
		{"Declared", full(in.Declared) + by(in.By.User)},
		{"Mitigated", after(in, in.Mitigated)},
		{"Ended", after(in, in.Ended)},
		{"Decision", decision},
		{"Root cause", or(escape(in.RootCause), "not recorded")},
		{"Fix", escape(in.Facts["version"])},
		{"Attempts", attempts(in)},
		{"Overridden", fmt.Sprint(w.overridden())},
		{"Status updates", fmt.Sprintf("%d sent, %d late", in.Updates.Sent, in.Updates.Late)},
	}
	for _, role := range sorted(in.Roles) {
		rows = append(rows, [2]string{escape(upper(role)), escape(in.Roles[role])})
	}
	w.pairs(rows)
	for _, warning := range in.Warnings {
		w.f("> **Warning:** %s\n\n", escape(warning))
	}
}

func attempts(in *state.Incident) string {
	var parts []string
	for _, a := range in.Closed {
		parts = append(parts, fmt.Sprintf("%d %s", a.N, escape(a.Outcome)))
	}
	if current(in) && in.Attempt > 0 {
		parts = append(parts, fmt.Sprint(in.Attempt))
	}
	return strings.Join(parts, ", ")
}

// current reports whether the steps of the incident are an attempt of their own
// and not what the last closed one left.
func current(in *state.Incident) bool {
	return !slices.ContainsFunc(in.Closed, func(a state.Attempt) bool { return a.N == in.Attempt })
}

// after writes a time with how long after the declaration it was.
func after(in *state.Incident, t time.Time) string {
	if t.IsZero() {
		return "not yet"
	}
	return full(t) + ", after " + took(t.Sub(in.Declared))
}

// overrides come right after the summary, in bold: they stay in red for ever.
func (w *writer) overrides() {
	if w.overridden() == 0 {
		return
	}
	w.f("## Overridden\n\n")
	for _, e := range w.events {
		if f, ok := e.Fact.(state.ItemPassedOver); ok {
			w.f("- **%s: %s**%s, %s\n", escape(w.title(f.Item)), escape(f.Reason), by(e.Actor.User), clock(e.Time))
		}
	}
	w.f("\n")
}

func (w *writer) overridden() int {
	n := 0
	for _, e := range w.events {
		if _, ok := e.Fact.(state.ItemPassedOver); ok {
			n++
		}
	}
	return n
}

func (w *writer) title(item string) string {
	if it := w.in.Item(item); it != nil {
		return it.Title
	}
	return item
}

// phases measures the incident from declaration to the end of the watch.
func (w *writer) phases() {
	in := w.in
	w.f("## Phases\n\n| phase | from | to | took |\n|---|---|---|---|\n")
	row := func(name string, from, to time.Time) {
		switch {
		case from.IsZero():
			w.f("| %s | – | – | – |\n", name)
			return
		case to.Before(from):
			w.f("| %s | %s | – | not finished |\n", name, clock(from))
			return
		}
		w.f("| %s | %s | %s | %s |\n", name, clock(from), clock(to), took(to.Sub(from)))
	}
	row("detection (declared to acknowledged)", in.Declared, acked(in))
	row("decision", in.Declared, in.Decision.At)
	for _, a := range w.attempts() {
		suffix := ""
		if len(in.Closed) > 1 || len(in.Closed) == 1 && current(in) {
			suffix = fmt.Sprintf(", attempt %d", a.N)
		}
		for _, p := range []struct {
			name  string
			steps []int
		}{{"development", []int{3, 4}}, {"testing", []int{5}}, {"review", []int{6}}, {"deployment", []int{7, 8, 9, 10, 12}}, {"monitoring", []int{15}}} {
			from, to := span(a.Steps, p.steps)
			if p.name == "deployment" {
				from, to = w.deployed(a.N, from, to)
			}
			row(p.name+suffix, from, to)
		}
	}
	w.f("\n")
}

// deployed widens the span of an attempt's deployment to that of its rollouts; one
// that has not ended leaves it open.
func (w *writer) deployed(attempt int, from, to time.Time) (time.Time, time.Time) {
	for i := range w.in.Rollouts {
		r := &w.in.Rollouts[i]
		if r.Attempt != attempt || r.Started.IsZero() {
			continue
		}
		if from.IsZero() || r.Started.Before(from) {
			from = r.Started
		}
		if r.Ended.IsZero() {
			return from, time.Time{}
		}
		if r.Ended.After(to) {
			to = r.Ended
		}
	}
	return from, to
}

func acked(in *state.Incident) time.Time {
	var first time.Time
	for _, l := range in.Levels {
		if !l.Acked.IsZero() && (first.IsZero() || l.Acked.Before(first)) {
			first = l.Acked
		}
	}
	return first
}

// attempts gives every attempt with its steps, the current one last.
func (w *writer) attempts() []state.Attempt {
	out := slices.Clone(w.in.Closed)
	if current(w.in) {
		out = append(out, state.Attempt{N: w.in.Attempt, Steps: w.in.Steps})
	}
	return out
}

func span(steps []state.Step, numbers []int) (from, to time.Time) {
	for i := range steps {
		if !slices.Contains(numbers, steps[i].No) {
			continue
		}
		a, b := steps[i].Span()
		if !a.IsZero() && (from.IsZero() || a.Before(from)) {
			from = a
		}
		if b.After(to) {
			to = b
		}
	}
	return from, to
}

// rollback tells every rollback from the journal.
func (w *writer) rollback() {
	told := false
	for _, e := range w.events {
		switch f := e.Fact.(type) {
		case state.RollbackPrimed, state.RollbackDisarmed, state.RollbackStarted, state.RollbackOp:
			told = w.tell(told, e)
		case state.RollbackFinished:
			told = w.tell(told, e)
			for i, step := range f.Manual {
				w.f("  %d. **by hand:** %s\n", i+1, code(step))
			}
		}
	}
	if told {
		w.f("\n")
	}
}

func (w *writer) tell(told bool, e state.Event) bool {
	if !told {
		w.f("## Rollback\n\n")
	}
	w.f("- %s %s%s\n", clock(e.Time), escape(w.in.Say(e).Text), by(e.Actor.User))
	return true
}

func (w *writer) messages() {
	if len(w.in.Messages) == 0 {
		return
	}
	w.f("## Messages\n\n| queued | channel | audience | purpose | delivery | text |\n|---|---|---|---|---|---|\n")
	for _, m := range w.in.Messages {
		how := "**not delivered**"
		switch {
		case !m.Sent.IsZero():
			how = "delivered " + clock(m.Sent)
			if m.Tries > 1 {
				how += fmt.Sprintf(", try %d", m.Tries)
			}
		case m.Err != "":
			how += ": " + escape(m.Err)
		}
		w.f("| %s | %s | %s | %s | %s | %s |\n", clock(m.Queued), escape(m.Channel), escape(m.Audience), escape(m.Purpose), how, escape(m.Text))
	}
	w.f("\n")
}

func (w *writer) actions() {
	w.f("## Action items\n\n")
	for _, a := range w.in.ActionItems {
		w.f("- [ ] %s\n", escape(a))
	}
	if len(w.in.ActionItems) == 0 {
		w.f("None recorded.\n")
	}
	w.f("\n")
}

func (w *writer) score() {
	s := w.in.Score
	if s == nil {
		return
	}
	w.f("## Drill score\n\n")
	passed := "**failed**"
	if s.Passed {
		passed = "passed"
	}
	time := func(d state.Duration) string {
		if d == 0 {
			return ""
		}
		return took(d.D())
	}
	w.pairs([][2]string{{"Scenario", escape(s.Scenario)}, {"Result", passed + colon(s.Outcome)}, {"Acknowledge", time(s.Acknowledge)}, {"Decide", time(s.Decide)},
		{"Mitigate", time(s.Mitigate)}, {"Roll back", time(s.Rollback)}, {"Updates missed", fmt.Sprint(s.MissedUpd)},
		{"Escalations missed", fmt.Sprint(s.MissedEsc)}, {"Overridden", fmt.Sprint(s.Overridden)}, {"Steps done", fmt.Sprintf("%d of 18", s.Done)}})
}

func (w *writer) timeline() {
	w.f("## Timeline\n\nAll times are UTC.\n\n| # | time | who | what | |\n|---|---|---|---|---|\n")
	day := ""
	for _, e := range w.events {
		said, at := w.in.Say(e), clock(e.Time)
		if d := e.Time.UTC().Format(time.DateOnly); d != day {
			day, at = d, d+" "+at
		}
		text := escape(said.Text)
		if _, ok := e.Fact.(state.ItemPassedOver); ok {
			text = "**" + text + "**"
		}
		w.f("| %d | %s | %s | %s | %s |\n", e.Seq, at, escape(e.Actor.User), escape(said.Tag), text)
	}
}
