package metrics

import (
	"time"

	"mayday/state"
	"mayday/ui/chart"
	"mayday/ui/theme"
)

// pictures are the sparklines and the chart as drawn last, with all that they depend
// on: they are drawn again only when that changed, and not at every tick and key.
type pictures struct {
	sparks map[string]spark // by probe
	chart  lineKey
	lines  []string
	drawn  int // sparklines and charts drawn so far
}

// version is one series as it stands.
type version struct {
	series *state.Series
	added  uint64
	style  theme.Style
}

type sparkKey struct {
	theme      *theme.Theme
	self, peer version // the peer shares the scale
	dots       bool
	below      bool
	end        int64
	span, hold time.Duration
	w          int
}

type spark struct {
	key  sparkKey
	text string
}

// spark draws the course of a probe; the new version's and the old one's share a
// scale, or the eye would compare nothing.
func (p *Pane) spark(b *board, i, w int) string {
	x := &b.probes[i]
	k := chart.Spark{Window: p.window(b).Still(w), Below: x.Below, Hold: x.StaleAt.D()}
	key := sparkKey{theme: p.t, self: p.version(b, i), dots: !counted(x), below: k.Below, end: k.End.UnixNano(), span: k.Span, hold: k.Hold, w: w}
	peer := b.partner[i]
	if peer >= 0 && !key.dots {
		key.peer = p.version(b, peer)
	}
	if last, ok := p.drawn.sparks[x.Name]; ok && last.key == key {
		return last.text
	}
	if len(p.drawn.sparks) > 2*len(b.probes)+64 || p.drawn.sparks == nil { // of probes that are no more
		p.drawn.sparks = map[string]spark{}
	}
	p.drawn.drawn++
	var text string
	if key.dots {
		text = k.Dots(p.samples(key.self.series), w, p.t)
	} else {
		k.Lo, k.Hi = chart.Range(k.Window, nil, p.samples(key.self.series), p.samples(key.peer.series))
		text = key.self.style.Render(k.Draw(p.samples(key.self.series), w))
	}
	p.drawn.sparks[x.Name] = spark{key, text}
	return text
}

func (p *Pane) version(b *board, i int) version {
	s := b.s.Series[b.probes[i].Name]
	return version{s, s.Added(), p.line(&b.probes[i], b.read[i])}
}

// lineKey is what a chart depends on.
type lineKey struct {
	theme     *theme.Theme
	main, old version
	strands   string // their labels, looks and holds
	layout    chart.Layout
	limits    string
	marks     string
	unit      string
}

// draw gives the chart's lines, drawn again if something changed.
func (p *Pane) draw(l chart.Line, key lineKey, w, h int) []string {
	key.theme, key.layout = p.t, l.Layout(w, h)
	for _, m := range l.Marks {
		key.marks += m.Label + m.At.String()
	}
	if p.drawn.lines == nil || p.drawn.chart != key {
		p.drawn.chart, p.drawn.lines = key, l.Draw(w, h)
		p.drawn.drawn++
	}
	return p.drawn.lines
}
