package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"mayday/state"
)

// Article writes the knowledge-base article of an incident: what the next one who meets
// the same trouble wants to find. It is made of the journal; r adds what the recorded
// samples know, nil: nothing. The same incident gives the same article.
func Article(in *state.Incident, events []state.Event, r *Readings) []byte {
	w := &article{writer: writer{in: in, events: events}}
	w.saw = sawIt(in, watch(in, events, r))
	w.heading()
	w.symptoms()
	w.noticed()
	w.cause()
	w.fix()
	w.recognise()
	w.commands()
	w.lessons()
	w.links()
	return w.b.Bytes()
}

type article struct {
	writer
	saw []*watched
}

func (w *article) heading() {
	in := w.in
	w.f("# %s\n\n", escape(or(in.Title, "incident")))
	if in.Drill != "" {
		w.f("*From a drill (scenario %s), not from production.*\n\n", escape(in.Drill))
	}
	status, id := string(in.Status), in.ID
	if in.Open() {
		status += ", not ended: this article is not complete"
	}
	if id != "" {
		id += ", " + in.Severity.String()
	}
	w.pairs([][2]string{{"Service", escape(strings.TrimSpace(in.Environment + " " + in.Service))}, {"Incident", escape(id)},
		{"When", full(in.Declared) + lasting(in)}, {"Status", escape(status)}, {"Broken in", escape(w.broken())}, {"Mended by", escape(w.mended())}})
}

func lasting(in *state.Incident) string {
	if in.Ended.IsZero() {
		return ""
	}
	return ", for " + took(in.Ended.Sub(in.Declared))
}

// broken is the version that had the fault.
func (w *article) broken() string {
	return cmp.Or(w.in.Facts["baseline"], w.in.Facts["production"])
}

// mended is what made it good.
func (w *article) mended() string {
	in := w.in
	r := in.Production()
	switch {
	case r != nil && r.Status == state.RolloutDone:
		return r.Version
	case in.Undone():
		return "going back to " + in.Release.Undo.Target
	}
	return ""
}

// symptoms are what people and probes saw.
func (w *article) symptoms() {
	in := w.in
	w.f("## Symptoms\n\n")
	wrote := false
	for _, s := range []struct{ what, text string }{{"", in.Impact}, {"Affected: ", in.Facts["1.affected"]}, {"Users: ", in.Facts["1.impact"]}, {"Business: ", in.Facts["1.business"]}} {
		if s.text != "" && (s.what != "Users: " || s.text != in.Impact) {
			w.f("- %s%s\n", s.what, escape(s.text))
			wrote = true
		}
	}
	for _, x := range w.saw {
		w.f("- `%s` %s: %s\n", ticks(x.probe.Name), x.bad[0].worst.verdict, escape(said(x.probe, x.bad[0].worst)))
		wrote = true
	}
	if !wrote {
		w.f("None recorded.\n")
	}
	w.f("\n")
}

// noticed says how it came to light.
func (w *article) noticed() {
	in := w.in
	w.f("## How it was noticed\n\n")
	if len(w.saw) > 0 {
		x := w.saw[0]
		w.f("- first by the probe `%s`, at %s\n", ticks(x.probe.Name), full(x.since))
	} else {
		w.f("- by no probe\n")
	}
	w.f("- declared at %s%s\n", full(in.Declared), by(in.By.User))
	if at := acked(in); !at.IsZero() {
		w.f("- acknowledged %s later\n", took(at.Sub(in.Declared)))
	}
	w.f("\n")
}

func (w *article) cause() {
	in := w.in
	w.f("## Cause\n\n%s\n\n", or(escape(in.RootCause), "Not recorded."))
}

// fix tells what helped, and what did not.
func (w *article) fix() {
	in := w.in
	w.f("## What fixed it\n\n")
	wrote := false
	if r := in.Production(); r != nil && r.Status == state.RolloutDone {
		w.f("- %s, rolled out by %s in %s", escape(r.Version), escape(r.Strategy), took(r.Ended.Sub(r.Started)))
		if files := strings.Fields(strings.ReplaceAll(in.Facts["change.files"], "\n", " ")); len(files) > 0 {
			w.f("; %s lines in %s", escape(in.Facts["change.lines"]), escape(shortList(files, 8)))
		}
		if c := in.Facts["commit"]; c != "" {
			w.f("; commit %s", escape(c))
		}
		w.f("\n")
		wrote = true
	}
	if in.Undone() {
		w.f("- going back to %s: %s\n", escape(in.Release.Undo.Target), escape(or(in.Rollback.Verified, "not verified")))
		wrote = true
	}
	if !in.Mitigated.IsZero() {
		w.f("- production was well again %s after the declaration\n", took(in.Mitigated.Sub(in.Declared)))
		wrote = true
	}
	if !wrote {
		w.f("Not recorded.\n")
	}
	w.f("\n")
	w.dead()
}

// dead are the ends that led nowhere.
func (w *article) dead() {
	var list []string
	for _, e := range w.events {
		switch f := e.Fact.(type) {
		case state.RollbackStarted:
			if r := w.in.Rollout(f.Rollout); r != nil && f.Rollout != state.UndoID {
				list = append(list, escape(r.Version)+" was taken back at "+clock(e.Time)+": "+escape(f.Trigger))
			}
		case state.RolloutFinished:
			if r := w.in.Rollout(f.Rollout); r != nil && f.Outcome == state.RolloutFailed {
				list = append(list, escape(r.Version)+" to "+escape(r.Environment)+" failed"+colon(f.Text))
			}
		case state.ItemFinished:
			if f.Outcome == state.ItemFailed && f.Problem != nil {
				list = append(list, escape(w.title(f.Item))+" failed: "+escape(f.Problem.Error()))
			}
		}
	}
	if list = distinct(list); len(list) == 0 {
		return
	}
	w.f("## What did not help\n\n")
	for _, s := range list[:min(len(list), mostDead)] {
		w.f("- %s\n", s)
	}
	if n := len(list) - mostDead; n > 0 {
		w.f("- and %d more: the report has them\n", n)
	}
	w.f("\n")
}

// How much of the journal an article repeats.
const (
	mostDead     = 12
	mostCommands = 8 // of an item
)

func distinct(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// recognise gives the signs that were there while it was broken, and went with it.
func (w *article) recognise() {
	w.f("## How to recognise it next time\n\n")
	wrote := false
	for _, x := range w.saw {
		e := x.bad[0]
		w.f("- `%s` was %s%s", ticks(x.probe.Name), e.worst.verdict, colon(said(x.probe, e.worst)))
		end := clock(x.bad[len(x.bad)-1].to)
		switch last := x.spells[len(x.spells)-1].verdict; {
		case last == state.OK:
			w.f(", and well from %s on", end)
		case bad(last):
			w.f(", and still is: perhaps another matter")
		default:
			w.f(" until %s; then it could not be read any more", end)
		}
		w.f("\n")
		if x.probe.Query != "" {
			w.f("  - asks %s\n", code(x.probe.Query))
		}
		wrote = true
	}
	if !wrote {
		w.f("No probe showed it; what people saw stands under the symptoms.\n")
	}
	w.f("\n")
}

// commands are what was typed, or could have been, item by item.
func (w *article) commands() {
	w.f("## Commands\n\n")
	seen := map[string]bool{}
	var items []string
	by := map[string][]string{}
	for _, e := range w.events {
		f, ok := e.Fact.(state.ItemStarted)
		if !ok {
			continue
		}
		for _, c := range w.typed(f) {
			if c = state.Clean(c); c == "" || seen[c] || strings.HasPrefix(c, "send to ") {
				continue
			}
			seen[c] = true
			if by[f.Item] == nil {
				items = append(items, f.Item)
			}
			by[f.Item] = append(by[f.Item], c)
		}
	}
	for _, item := range items {
		list := by[item]
		w.f("- %s %s\n", escape(item), escape(w.title(item)))
		for _, c := range list[:min(len(list), mostCommands)] {
			w.f("  - %s\n", code(c))
		}
		if n := len(list) - mostCommands; n > 0 {
			w.f("  - and %d more: the report has them\n", n)
		}
	}
	if len(items) == 0 {
		w.f("None recorded.\n")
	}
	w.f("\n")
}

// typed gives the commands of a run. A rollout's are its patches with the fence of this
// incident, no use to the next one: it is named as a whole.
func (w *article) typed(f state.ItemStarted) []string {
	for i := range w.in.Rollouts {
		if r := &w.in.Rollouts[i]; r.Item == f.Item {
			return []string{"mayday deploy --target=" + r.Environment + " --strategy=" + r.Strategy + " --version=" + r.Version}
		}
	}
	return f.Commands
}

func (w *article) lessons() {
	in := w.in
	w.f("## Lessons and what is still to be done\n\n")
	wrote := false
	for _, id := range []string{"16.lessons", "16.improve", "18.prevent", "18.actions"} {
		if text := in.Facts[id]; text != "" {
			w.f("- %s: %s\n", escape(w.title(id)), escape(text))
			wrote = true
		}
	}
	for _, a := range in.ActionItems {
		w.f("- [ ] %s\n", escape(a))
		wrote = true
	}
	if !wrote {
		w.f("None recorded.\n")
	}
	w.f("\n")
}

func (w *article) links() {
	in := w.in
	w.f("## Links\n\n")
	ticket := in.Facts["ticket"]
	if ticket == "" && in.Facts["2.ticket"] != "none" {
		ticket = in.Facts["2.ticket"]
	}
	for _, l := range [][2]string{{"ticket", or(ticket, in.Issue)}, {"war room", or(in.Facts["room"], in.Facts["2.room"])}, {"branch", in.Facts["branch"]}, {"tag", in.Facts["tag"]}} {
		if l[1] != "" {
			w.f("- %s: %s\n", l[0], escape(l[1]))
		}
	}
	if in.ID != "" {
		w.f("- the report: %s; what to change about the alerts: %s\n", code("report.md"), code("alerts.md"))
		w.f("- see it again: %s\n", code("mayday replay --incident "+in.ID))
	}
	if r := in.Review; !r.At.IsZero() && !r.At.Before(in.Ended) {
		w.f("- the review: %s\n", escape(r.When()))
	}
}

// shortList joins names, and counts those beyond the first few.
func shortList(list []string, most int) string {
	if n := len(list) - most; n > 0 {
		return strings.Join(list[:most], ", ") + fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(list, ", ")
}
