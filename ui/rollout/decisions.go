package rollout

import (
	"time"

	"mayday/state"
	"mayday/ui/judged"
	"mayday/ui/theme"
)

// earlier bounds the decisions before the last one that are shown, lines the readings of
// the last one: those that asked for something come first, and the timeline has all.
const earlier, lines = 6, 16

// decided says what the gates of a rollout decided last and by which readings, and in a
// line each what they said before.
func (p *Pane) decided(s *state.Scene, r *state.Rollout, now time.Time, w int) []string {
	var out []string
	for i, e := range decisions(s.Events, r) {
		said := s.Incident.Say(e)
		text := e.Time.UTC().Format("15:04:05") + "  " + theme.Safe(said.Text)
		if i > 0 {
			out = append(out, p.t.Past.Render(theme.Cut(text, w)))
			continue
		}
		ago := "just now"
		if d := now.Sub(e.Time); d >= time.Second {
			ago = theme.Span(d) + " ago"
		}
		left := p.t.Strong.Render("decided ") + p.t.Tone(said.Tone).Render(text)
		out = append(out, theme.Row(left, p.t.Past.Render(ago), w))
		if f, ok := e.Fact.(state.GateDecided); ok {
			went := judged.Lines(p.t, f.Judged, w, false)
			if len(went) > lines {
				went = append(went[:lines], p.t.Faint.Render("more readings are in the timeline: enter on this decision"))
			}
			out = append(out, went...)
		}
	}
	if len(out) > 0 {
		out = append(out, "")
	}
	return out
}

// decisions gives what the gates of a rollout said, the newest first.
func decisions(events []state.Event, r *state.Rollout) []state.Event {
	var out []state.Event
	for i := len(events) - 1; i >= 0 && len(out) <= earlier && !r.Started.IsZero() && !events[i].Time.Before(r.Started); i-- {
		if f, ok := events[i].Fact.(state.GateDecided); ok && f.Rollout == r.ID {
			out = append(out, events[i])
		}
	}
	return out
}
