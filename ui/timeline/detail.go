package timeline

import (
	"encoding/json"
	"strings"

	"mayday/state"
	"mayday/ui/judged"
	"mayday/ui/theme"
)

// maxFacts bounds the lines of facts of one event: a pasted dump must not stop the
// screen.
const maxFacts = 2000

// detail is the full facts of the selected event.
type detail struct {
	open  bool
	top   int
	page  int
	seq   uint64 // what lines are of
	width int
	lines []string
}

// Open shows the full facts of the selected event, or hides them again.
func (p *Pane) Open() { p.detail.open, p.detail.top = !p.detail.open, 0 }

// Opened reports whether facts are shown.
func (p *Pane) Opened() bool { return p.detail.open }

// share gives the lines that the list keeps: some in a tall pane, none in a low one.
func (d *detail) share(h int) int {
	if h < 12 {
		return 0
	}
	return h / 3
}

func (d *detail) view(t *theme.Theme, e state.Event, w, h int) []string {
	if d.lines == nil || d.seq != e.Seq || d.width != w {
		d.seq, d.width, d.lines = e.Seq, w, facts(t, e, w)
	}
	d.page = max(h-1, 1)
	d.top = max(min(d.top, len(d.lines)-h), 0)
	return d.lines[d.top:min(d.top+h, len(d.lines))]
}

// entities are what JSON writes for characters that only HTML minds.
var entities = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&")

// facts writes an event as indented JSON without its brackets, cleaned and wrapped
// to w cells; before it, as a table, the readings that a gate or a watch went by.
func facts(t *theme.Theme, e state.Event, w int) []string {
	out := []string{t.Border.Render(theme.Repeat("─", w))}
	e, went := readings(e)
	if len(went) > 0 {
		out = append(append(out, judged.Lines(t, went, w, true)...), "")
	}
	b, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return append(out, t.Bad.Render(theme.Cut("this event cannot be written: "+theme.Safe(err.Error()), w)))
	}
	for _, line := range strings.Split(entities.Replace(string(b)), "\n") {
		text := strings.TrimLeft(line, " ")
		indent := min(max(len(line)-len(text)-2, 0), w/3)
		text = strings.TrimSuffix(text, ",")
		if strings.Trim(text, "{}[]") == "" {
			continue
		}
		text = strings.TrimSuffix(strings.TrimSuffix(text, " {"), " [")
		for i, part := range theme.Wrap(theme.Safe(text), max(w-indent, 1)) {
			if len(out) == maxFacts {
				return append(out, t.Past.Render("… more in the journal"))
			}
			out = append(out, theme.Blank(indent)+paint(t, part, i == 0))
		}
	}
	return out
}

// readings takes out of an event what its decision went by.
func readings(e state.Event) (state.Event, []state.Judged) {
	var went []state.Judged
	switch f := e.Fact.(type) {
	case state.GateDecided:
		went, f.Judged = f.Judged, nil
		e.Fact = f
	case state.WatchDecided:
		went, f.Judged = f.Judged, nil
		e.Fact = f
	}
	return e, went
}

// paint sets a line's key apart from its value.
func paint(t *theme.Theme, line string, first bool) string {
	if !first || !strings.HasPrefix(line, `"`) {
		return t.Text.Render(line)
	}
	if key, value, ok := strings.Cut(line[1:], `": `); ok {
		return t.Past.Render(key+":") + " " + t.Text.Render(value)
	}
	if key, ok := strings.CutSuffix(line[1:], `":`); ok {
		return t.Past.Render(key + ":")
	}
	return t.Text.Render(line)
}
