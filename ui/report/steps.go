package report

import (
	"fmt"
	"strings"

	"mayday/state"
)

// steps writes every attempt's steps; those outside attempts come with the last.
func (w *writer) steps() {
	all := w.attempts()
	for i, a := range all {
		last := i == len(all)-1
		switch {
		case len(all) == 1:
			w.f("## Steps\n\n")
		case a.Outcome != "":
			w.f("## Steps of attempt %d, %s\n\n", a.N, escape(a.Outcome))
		default:
			w.f("## Steps of attempt %d\n\n", a.N)
		}
		steps := a.Steps
		if last {
			steps = w.in.Steps
		}
		for j := range steps {
			w.step(&steps[j])
		}
	}
}

func (w *writer) step(s *state.Step) {
	head := string(s.Status())
	if from, to := s.Span(); !from.IsZero() && !to.IsZero() {
		head += ", " + took(to.Sub(from))
	}
	w.f("### %d. %s (%s)\n\n", s.No, escape(s.Title), head)
	for i := range s.Items {
		w.item(&s.Items[i])
	}
	if len(s.Items) > 0 {
		w.f("\n")
	}
}

func (w *writer) item(it *state.Item) {
	box := "[ ]"
	if it.Status.Settled() {
		box = "[x]"
	}
	title := escape(it.Title)
	switch it.Status {
	case state.ItemOverridden:
		w.f("- %s **%s: overridden%s**", box, title, colon(it.Value))
	case state.ItemFailed:
		w.f("- %s **%s: failed**", box, title)
	case state.ItemDone:
		w.f("- %s %s", box, title)
	default:
		w.f("- %s %s: %s", box, title, it.Status)
	}
	if it.Status != state.ItemOverridden {
		w.f("%s", colon(it.Value))
	}
	if it.Summary != "" && it.Summary != it.By {
		w.f(" (%s)", escape(it.Summary))
	}
	w.f("%s%s\n", by(it.By), when(it))
	if it.Problem != nil {
		w.f("  - %s\n", escape(it.Problem.Error()))
	}
	for _, c := range w.commands(it.Run) {
		w.f("  - ran %s\n", code(c))
	}
	for _, e := range it.Evidence {
		file := ""
		if e.File != "" {
			file = " in " + code(e.File)
		}
		w.f("  - evidence: %s %s%s\n", escape(e.Name), escape(e.Value), file)
	}
}

func when(it *state.Item) string {
	switch {
	case it.Started.IsZero() && it.Ended.IsZero():
		return ""
	case it.Ended.IsZero():
		return ", since " + clock(it.Started)
	case it.Started.IsZero() || it.Started.Equal(it.Ended):
		return ", " + clock(it.Ended)
	}
	return fmt.Sprintf(", %s to %s (%s)", clock(it.Started), clock(it.Ended), took(it.Ended.Sub(it.Started)))
}

// commands gives what a run was going to execute, as the journal has it.
func (w *writer) commands(run string) []string {
	if run == "" {
		return nil
	}
	for _, e := range w.events {
		if f, ok := e.Fact.(state.ItemStarted); ok && f.Run == run {
			return f.Commands
		}
	}
	return nil
}

func by(who string) string {
	if strings.TrimSpace(who) == "" {
		return ""
	}
	return ", by " + escape(who)
}

func colon(text string) string {
	if text = escape(text); text != "" {
		return ": " + text
	}
	return ""
}
