// Package dialog is the cockpit's one modal window: a title, guidance, a body that
// scrolls (exact commands, a diff, a preview) and fields to fill in. Every question
// the cockpit asks is one of these, so that the same keys work in each: tab moves,
// enter goes on, esc or ctrl+c leaves without doing anything.
package dialog

import (
	"strings"
	"time"

	"charm.land/bubbles/v2/textarea"
	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"mayday/ui/theme"
)

// Kind is the kind of a field.
type Kind int

// Kinds of field.
const (
	Text   Kind = iota // one line
	Area               // several lines: enter is a line break, the button sends
	Choice             // one of Options
)

// Option is one answer of a Choice.
type Option struct {
	Value string
	Label string // shown; default Value
	Help  string // what it means, beside it
}

// Field is one thing to fill in.
type Field struct {
	Name     string // key in Values
	Label    string
	Kind     Kind
	Value    string // to start with
	Hint     string // shown while it is empty
	Options  []Option
	Required bool
}

// Tone says how a body line is coloured.
type Tone int

// Tones of body lines.
const (
	Plain   Tone = iota
	Quiet        // secondary
	Command      // what will run
	Heading
	Alarm
	Diff // coloured by its first character
)

// Line is one line of a body. Its text is cleaned when it is shown.
type Line struct {
	Tone Tone
	Text string
	// Indent is where text that does not fit goes on, in cells, if that is not under its
	// first letter: under the second column of a table. At most a third of the window.
	Indent int
}

// Spec says what a dialog is. Only Title is needed.
type Spec struct {
	Title  string
	Danger bool     // red frame: what it does is not to be taken lightly
	Wide   bool     // for diffs and commands
	Intro  []string // guidance; each is wrapped
	Body   []Line
	Fields []Field
	Button string // what submitting does, in one or two words; empty: there is nothing to submit
	// Leave is what esc does, where that is not to cancel.
	Leave string
	// Check says why the values cannot be submitted yet, "" if they can. Optional.
	Check func(values map[string]string) string
	// Keys are other keys that answer at once, for the line of keys: "a acknowledge".
	Keys [][2]string
	// NotBefore: keys are ignored until then, for what pops up by itself.
	NotBefore time.Time
}

// Outcome is what a key did to the dialog.
type Outcome int

// Outcomes.
const (
	Open Outcome = iota
	Cancelled
	Submitted
)

// Dialog is a modal window under way. Not safe for concurrent use.
type Dialog struct {
	t       *theme.Theme
	spec    Spec
	fields  []*field
	focus   int // index into fields; len(fields) is the button, where there is one
	scroll  int
	page    int    // height of the body as last drawn
	loading string // what is being waited for; nothing can be submitted
	why     string // why the last try to submit was refused
	held    string // what the keys do instead of the dialog's, if anything
}

type field struct {
	Field
	line   textinput.Model
	area   textarea.Model
	choice int
}

// New makes a dialog with the focus on its first field.
func New(t *theme.Theme, spec Spec) *Dialog {
	d := &Dialog{t: t, spec: spec, page: 1}
	for _, f := range spec.Fields {
		d.fields = append(d.fields, newField(t, f))
	}
	d.focusOn(0)
	return d
}

func newField(t *theme.Theme, f Field) *field {
	x := &field{Field: f}
	switch f.Kind {
	case Text:
		x.line = textinput.New()
		x.line.Prompt, x.line.Placeholder, x.line.CharLimit = "", f.example(), 2000
		x.line.SetStyles(lineStyles(t))
		x.line.SetValue(f.Value)
		x.line.CursorEnd()
	case Area:
		x.area = textarea.New()
		x.area.Prompt, x.area.Placeholder, x.area.CharLimit = "", f.example(), 10000
		x.area.ShowLineNumbers = false
		x.area.SetStyles(textarea.Styles{})
		x.area.SetHeight(6)
		x.area.SetValue(f.Value)
		x.area.MoveToBegin()
	case Choice:
		for i, o := range f.Options {
			if o.Value == f.Value {
				x.choice = i
			}
		}
	}
	return x
}

// lineStyles are those of a line that is typed into, with a cursor that does not blink.
func lineStyles(t *theme.Theme) textinput.Styles {
	st := textinput.Styles{}
	if !t.Plain {
		faint := lipgloss.NewStyle().Foreground(t.Hint)
		st.Focused.Placeholder, st.Blurred.Placeholder = faint, faint
	}
	return st
}

// SetTheme changes the colours.
func (d *Dialog) SetTheme(t *theme.Theme) {
	d.t = t
	for _, f := range d.fields {
		if f.Kind == Text {
			f.line.SetStyles(lineStyles(t))
		}
	}
}

// example is the hint of an empty field, which must not look like something filled in.
func (f *Field) example() string {
	if f.Hint == "" {
		return ""
	}
	return "(" + f.Hint + ")"
}

// Title gives the dialog's title.
func (d *Dialog) Title() string { return d.spec.Title }

// Typing reports whether a text field has the focus: then letters are text.
func (d *Dialog) Typing() bool {
	return d.focus < len(d.fields) && d.fields[d.focus].Kind != Choice
}

// Values gives what is filled in, by field name, without space around it.
func (d *Dialog) Values() map[string]string {
	out := make(map[string]string, len(d.fields))
	for _, f := range d.fields {
		out[f.Name] = strings.TrimSpace(f.value())
	}
	return out
}

func (f *field) value() string {
	switch f.Kind {
	case Text:
		return f.line.Value()
	case Area:
		return f.area.Value()
	}
	if f.choice < len(f.Options) {
		return f.Options[f.choice].Value
	}
	return ""
}

// SetValue fills a field in, for a draft that arrived.
func (d *Dialog) SetValue(name, v string) {
	for _, f := range d.fields {
		if f.Name != name {
			continue
		}
		switch f.Kind {
		case Text:
			f.line.SetValue(v)
		case Area:
			f.area.SetValue(v)
			f.area.MoveToBegin() // read from its start
		}
	}
}

// SetBody replaces the body and scrolls to its start.
func (d *Dialog) SetBody(lines []Line) { d.spec.Body, d.scroll = lines, 0 }

// SetIntro replaces the guidance.
func (d *Dialog) SetIntro(lines ...string) { d.spec.Intro = lines }

// Wait says what the dialog waits for; until "" nothing can be submitted.
func (d *Dialog) Wait(what string) { d.loading = what }

// Hold says what enter and esc do instead of what they do here, until "": somebody else
// takes them first.
func (d *Dialog) Hold(what string) { d.held = what }

// Refuse takes the submit button away: what was asked for is not possible, as the
// body says.
func (d *Dialog) Refuse() { d.spec.Button, d.loading = "", "" }

// Key takes a key press.
func (d *Dialog) Key(k tea.KeyPressMsg, now time.Time) Outcome {
	if now.Before(d.spec.NotBefore) {
		return Open
	}
	s := k.String()
	switch s {
	case "esc", "ctrl+c":
		return Cancelled
	case "ctrl+s":
		return d.submit()
	case "tab":
		d.focusOn(d.focus + 1)
		return Open
	case "shift+tab":
		d.focusOn(d.focus - 1)
		return Open
	case "pgup":
		d.scrollBy(-max(d.page-1, 1))
		return Open
	case "pgdown":
		d.scrollBy(max(d.page-1, 1))
		return Open
	}
	if d.focus >= len(d.fields) {
		return d.buttonKey(s)
	}
	switch f := d.fields[d.focus]; f.Kind {
	case Choice:
		return d.choiceKey(f, s)
	case Text:
		return d.textKey(f, k, s)
	case Area:
		f.area, _ = f.area.Update(k)
	}
	d.why = ""
	return Open
}

func (d *Dialog) buttonKey(s string) Outcome {
	switch s {
	case "enter":
		if d.spec.Button == "" && d.loading == "" {
			return Cancelled
		}
		return d.submit()
	case "q":
		return Cancelled
	case "up", "k":
		d.scrollBy(-1)
	case "down", "j", "space":
		d.scrollBy(1)
	case "home":
		d.scroll = 0
	case "end":
		d.scrollBy(len(d.spec.Body))
	}
	return Open
}

func (d *Dialog) choiceKey(f *field, s string) Outcome {
	d.why = ""
	switch s {
	case "up", "k", "left":
		f.choice = max(f.choice-1, 0)
	case "down", "j", "right":
		f.choice = min(f.choice+1, len(f.Options)-1)
	case "q":
		return Cancelled
	case "enter":
		return d.next()
	default:
		if len(s) == 1 && s[0] >= '1' && int(s[0]-'1') < len(f.Options) {
			f.choice = int(s[0] - '1')
		}
	}
	return Open
}

func (d *Dialog) textKey(f *field, k tea.KeyPressMsg, s string) Outcome {
	d.why = ""
	switch s {
	case "enter":
		return d.next()
	case "up":
		d.focusOn(d.focus - 1)
	case "down":
		d.focusOn(d.focus + 1)
	default:
		f.line, _ = f.line.Update(k)
	}
	return Open
}

// Paste puts pasted text into the field with the focus; without one it is dropped.
func (d *Dialog) Paste(text string, now time.Time) {
	if !d.Typing() || now.Before(d.spec.NotBefore) {
		return
	}
	f := d.fields[d.focus]
	if f.Kind == Area {
		var lines []string
		for _, l := range strings.Split(text, "\n") {
			lines = append(lines, theme.Safe(l))
		}
		f.area.InsertString(strings.Join(lines, "\n"))
		return
	}
	f.line, _ = f.line.Update(tea.PasteMsg{Content: theme.Safe(text)})
}

// next goes on to the next field, and submits after the last. What is needed is
// not passed over.
func (d *Dialog) next() Outcome {
	if f := d.fields[d.focus]; f.Required && strings.TrimSpace(f.value()) == "" {
		d.why = strings.ToLower(f.Label) + " is needed"
		return Open
	}
	if d.focus < len(d.fields)-1 {
		d.focusOn(d.focus + 1)
		return Open
	}
	return d.submit()
}

func (d *Dialog) submit() Outcome {
	if d.loading != "" || d.spec.Button == "" {
		return Open
	}
	values := d.Values()
	for i, f := range d.fields {
		if f.Required && values[f.Name] == "" {
			d.why = strings.ToLower(f.Label) + " is needed"
			d.focusOn(i)
			return Open
		}
	}
	if d.spec.Check != nil {
		if d.why = d.spec.Check(values); d.why != "" {
			return Open
		}
	}
	return Submitted
}

// stops is how many places the focus can be: the fields, and the button where
// enter does not submit by itself (or nothing else can have the focus).
func (d *Dialog) stops() int {
	n := len(d.fields)
	if n == 0 || d.fields[n-1].Kind == Area {
		n++
	}
	return n
}

func (d *Dialog) focusOn(i int) {
	n := d.stops()
	d.focus = (i + n) % n
	for j, f := range d.fields {
		on := j == d.focus
		switch {
		case f.Kind == Text && on:
			f.line.Focus()
		case f.Kind == Text:
			f.line.Blur()
		case f.Kind == Area && on:
			f.area.Focus()
		case f.Kind == Area:
			f.area.Blur()
		}
	}
}

func (d *Dialog) scrollBy(n int) {
	d.scroll = max(min(d.scroll+n, len(d.spec.Body)-d.page), 0)
}

// Guarded reports whether keys are still ignored because the dialog came up by itself.
func (d *Dialog) Guarded(now time.Time) bool { return now.Before(d.spec.NotBefore) }
