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
	// Light is for a terminal whose background is light.
	Light bool
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
	Heavy     = "╍" // a threshold beyond which it is critical
)

// tint is a colour in true colour (and, derived, in 256), on a dark and on a light
// background, and in the 16 that every terminal names by itself: the nearest of 16 to
// a dark grey is an invisible black.
type tint struct {
	dark, light         color.RGBA
	darkBase, lightBase ansi.BasicColor
}

func rgb(r, g, b uint8) color.RGBA { return color.RGBA{r, g, b, 255} }

var (
	green  = tint{rgb(70, 167, 88), rgb(0, 95, 0), ansi.Green, ansi.Green}
	blue   = tint{rgb(82, 148, 226), rgb(20, 92, 196), ansi.BrightBlue, ansi.Blue}
	amber  = tint{rgb(245, 166, 35), rgb(135, 80, 0), ansi.Yellow, ansi.Yellow}
	red    = tint{rgb(229, 72, 77), rgb(200, 30, 40), ansi.BrightRed, ansi.Red}
	wine   = tint{rgb(120, 24, 28), rgb(120, 24, 28), ansi.Red, ansi.Red}
	violet = tint{rgb(150, 125, 220), rgb(108, 66, 190), ansi.BrightMagenta, ansi.Magenta}
	grey   = tint{rgb(128, 134, 145), rgb(92, 98, 108), ansi.White, ansi.BrightBlack}
	dim    = tint{rgb(86, 92, 102), rgb(128, 134, 145), ansi.BrightBlack, ansi.BrightBlack}
	line   = tint{rgb(62, 68, 78), rgb(178, 184, 194), ansi.BrightBlack, ansi.White}
	text   = tint{rgb(214, 219, 227), rgb(38, 38, 38), ansi.White, ansi.Black}
	ink    = tint{rgb(250, 250, 250), rgb(8, 8, 8), ansi.BrightWhite, ansi.Black} // what is read first
	white  = tint{rgb(250, 250, 250), rgb(250, 250, 250), ansi.BrightWhite, ansi.BrightWhite}
	shade  = tint{rgb(48, 50, 56), rgb(222, 222, 222), ansi.Black, ansi.White} // a bluer one becomes navy among 256
)

// in is the colour as a terminal of these options shows it.
func (x tint) in(o Options) color.Color {
	full, base := x.dark, x.darkBase
	if o.Light {
		full, base = x.light, x.lightBase
	}
	if o.Profile == colorprofile.ANSI {
		return base
	}
	return o.Profile.Convert(full)
}

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
		t.coloured(o)
	}
	if t.Plain {
		t.heavy = heavyEdges
	}
	return t
}

func (t *Theme) coloured(o Options) {
	c := func(x tint) color.Color { return x.in(o) }
	t.Hint = c(dim)
	fg := func(x tint) Style { return style(ansi.Style{}.ForegroundColor(c(x))) }
	bold := func(x tint) Style { return style(ansi.Style{}.Bold().ForegroundColor(c(x))) }
	on := func(front, back tint) Style {
		return style(ansi.Style{}.Bold().ForegroundColor(c(front)).BackgroundColor(c(back)))
	}
	t.Good, t.Running, t.Warn, t.Bad, t.Unknown = fg(green), fg(blue), fg(amber), fg(red), fg(violet)
	t.Past, t.Faint, t.Text, t.Strong = fg(grey), fg(dim), fg(text), bold(ink)
	t.GoodStrong, t.RunningStrong, t.WarnStrong = bold(green), bold(blue), bold(amber)
	t.BadStrong, t.UnknownStrong = bold(red), bold(violet)
	t.Title, t.Border, t.BorderFocused, t.Key = bold(ink), fg(line), fg(blue), bold(ink)
	t.Selected = style(ansi.Style{}.BackgroundColor(c(shade)))
	if o.Profile == colorprofile.ANSI { // no grey of the 16 lies behind all texts
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
