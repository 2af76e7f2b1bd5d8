// Package theme gives the cockpit its colours, glyphs and boxes.
//
// Styles are named by meaning, never by colour: green is good or done, blue is
// running, amber is soon or warned, red is broken or destructive, violet is
// unknown or stale, grey is past or secondary. Every status has a word beside its
// colour, so that nothing is lost without colours.
package theme

import (
	"image/color"
	"strings"

	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"
)

// Options say what the terminal can show.
type Options struct {
	// NoColor leaves only bold, underline and reverse.
	NoColor bool
	// Profile is what the terminal understands; the zero value means true colour.
	// ASCII means NoColor, NoTTY means no styling at all.
	Profile colorprofile.Profile
}

// Theme holds the styles. It is immutable after New, so it can be shared by
// goroutines and compared by pointer in a cache key.
type Theme struct {
	Good    Style // done, healthy
	Running Style // under way
	Warn    Style // soon, warned, asking
	Bad     Style // broken, failed, destructive
	Unknown Style // stale, no data, could not be asked
	Past    Style // secondary text: labels, results, what is over
	Faint   Style // less than secondary: times, what is not yet
	Text    Style // what is read
	Strong  Style // what is read first: values, titles

	// The bold forms, for words that carry a verdict.
	GoodStrong    Style
	RunningStrong Style
	WarnStrong    Style
	BadStrong     Style
	UnknownStrong Style

	Title         Style // the name in a box's border
	Border        Style
	BorderFocused Style
	Selected      Style // the row under the cursor: use Over on text that is styled
	Match         Style // text that a search found
	Key           Style // a key in the line of keys
	Badge         Style // the severity, white on red
	BadgeQuiet    Style // the same for what is less than red: white on blue
	RollbackKey   Style // the R in the header
	BarArmed      Style // the bar that counts down to the rollback
	BarSpent      Style // its part that has run out

	// Hint is the colour of an example in an empty field; nil where colours are off.
	Hint color.Color

	// Plain is true where colours are off.
	Plain bool

	light, heavy edges
}

// Glyphs, all one cell wide.
const (
	Check     = "✓"
	Play      = "▶"
	Circle    = "○"
	Due       = "◷"
	Undo      = "↺"
	Cross     = "✗"
	Bang      = "!"
	Question  = "?"
	Dash      = "–"
	Pause     = "‖"
	Dot       = "●"
	Ellipsis  = "…"
	Bullet    = "·"
	Block     = "█"
	Shade     = "░"
	Rail      = "━"
	Mark      = "┊"
	Threshold = "╌"
)

// tint is a colour in true colour (and, derived, in 256) and in the 16 that every
// terminal names by itself: the nearest of 16 to a dark grey is an invisible black.
type tint struct {
	rgb  color.RGBA
	base ansi.BasicColor
}

var (
	green  = tint{color.RGBA{70, 167, 88, 255}, ansi.Green}
	blue   = tint{color.RGBA{82, 148, 226, 255}, ansi.BrightBlue}
	amber  = tint{color.RGBA{245, 166, 35, 255}, ansi.Yellow}
	red    = tint{color.RGBA{229, 72, 77, 255}, ansi.BrightRed}
	wine   = tint{color.RGBA{120, 24, 28, 255}, ansi.Red}
	violet = tint{color.RGBA{150, 125, 220, 255}, ansi.BrightMagenta}
	grey   = tint{color.RGBA{128, 134, 145, 255}, ansi.White}
	dim    = tint{color.RGBA{86, 92, 102, 255}, ansi.BrightBlack}
	line   = tint{color.RGBA{62, 68, 78, 255}, ansi.BrightBlack}
	text   = tint{color.RGBA{214, 219, 227, 255}, ansi.White}
	white  = tint{color.RGBA{250, 250, 250, 255}, ansi.BrightWhite}
	shade  = tint{color.RGBA{48, 50, 56, 255}, ansi.Black} // a bluer one becomes navy among 256
)

// New makes a theme.
func New(o Options) *Theme {
	if o.Profile == colorprofile.Unknown {
		o.Profile = colorprofile.TrueColor
	}
	t := &Theme{light: lightEdges, heavy: lightEdges}
	switch {
	case o.Profile == colorprofile.NoTTY:
		t.Plain = true
	case o.NoColor || o.Profile == colorprofile.ASCII:
		t.plain()
	default:
		t.coloured(o.Profile)
	}
	if t.Plain {
		t.heavy = heavyEdges
	}
	return t
}

func (t *Theme) coloured(p colorprofile.Profile) {
	c := func(x tint) color.Color {
		if p == colorprofile.ANSI {
			return x.base
		}
		return p.Convert(x.rgb)
	}
	t.Hint = c(dim)
	fg := func(x tint) Style { return style(ansi.Style{}.ForegroundColor(c(x))) }
	bold := func(x tint) Style { return style(ansi.Style{}.Bold().ForegroundColor(c(x))) }
	on := func(front, back tint) Style {
		return style(ansi.Style{}.Bold().ForegroundColor(c(front)).BackgroundColor(c(back)))
	}
	t.Good, t.Running, t.Warn, t.Bad, t.Unknown = fg(green), fg(blue), fg(amber), fg(red), fg(violet)
	t.Past, t.Faint, t.Text, t.Strong = fg(grey), fg(dim), fg(text), bold(white)
	t.GoodStrong, t.RunningStrong, t.WarnStrong = bold(green), bold(blue), bold(amber)
	t.BadStrong, t.UnknownStrong = bold(red), bold(violet)
	t.Title, t.Border, t.BorderFocused, t.Key = bold(white), fg(line), fg(blue), bold(white)
	t.Selected = style(ansi.Style{}.BackgroundColor(c(shade)))
	if p == colorprofile.ANSI { // no grey of the 16 lies behind all texts
		t.Selected = style(ansi.Style{}.Reverse(true))
	}
	t.Match = style(ansi.Style{}.Underline(true).ForegroundColor(c(amber)))
	t.Badge, t.BadgeQuiet, t.RollbackKey, t.BarArmed, t.BarSpent = on(white, red), on(white, blue), on(white, wine), on(white, red), on(white, wine)
}

func (t *Theme) plain() {
	t.Plain = true
	bold, reverse := style(ansi.Style{}.Bold()), style(ansi.Style{}.Reverse(true))
	both := style(ansi.Style{}.Bold().Reverse(true))
	t.Strong, t.GoodStrong, t.RunningStrong, t.WarnStrong, t.BadStrong, t.UnknownStrong = bold, bold, bold, bold, bold, bold
	t.Bad = bold
	t.Title, t.BorderFocused, t.Key = bold, bold, bold
	t.Selected, t.Match = reverse, style(ansi.Style{}.Underline(true))
	t.Badge, t.BadgeQuiet, t.RollbackKey, t.BarArmed, t.BarSpent = both, reverse, both, both, bold
}

// Style turns text into styled text. The zero value leaves it as it is.
type Style struct{ open string }

func style(s ansi.Style) Style { return Style{s.String()} }

const reset = "\x1b[m"

// Render styles plain text of one line; text that is styled already needs Over.
func (s Style) Render(text string) string {
	if s.open == "" || text == "" {
		return text
	}
	return s.open + text + reset
}

// Over lays the style under text that has styles of its own: a background, a
// reversed row. It takes up again after each reset inside.
func (s Style) Over(text string) string {
	if s.open == "" || text == "" {
		return text
	}
	return s.open + strings.ReplaceAll(text, reset, reset+s.open) + reset
}
