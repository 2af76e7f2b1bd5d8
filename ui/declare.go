package ui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"mayday/state"
	"mayday/ui/dialog"
	"mayday/ui/theme"
)

// ErrNotDeclared means that the form was left without declaring anything.
var ErrNotDeclared = errors.New("no incident was declared")

// DeclareForm is what the declaration asks for.
type DeclareForm struct {
	Title    string
	Severity state.Severity
	Issue    string // the ticket, if there is one
	Impact   string
}

// Declare asks for a new incident in a form of its own. service is shown in its
// title; start holds what is known already (flags of the command line). It returns
// ErrNotDeclared if the form is left. Of the options, those about the terminal count.
func Declare(ctx context.Context, o Options, service string, start DeclareForm) (DeclareForm, error) {
	o.fill()
	ctx, stop := context.WithCancel(ctx)
	d := newDeclare(o, service, start)
	p := tea.NewProgram(d, o.program()...)
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		<-ctx.Done()
		p.Quit()
	}()
	_, err := p.Run()
	stop()
	wg.Wait()
	if err != nil {
		return DeclareForm{}, fmt.Errorf("the screen: %w", err)
	}
	if !d.done {
		return DeclareForm{}, ErrNotDeclared
	}
	return d.form, nil
}

type declare struct {
	o    Options
	t    *theme.Theme
	d    *dialog.Dialog
	w, h int
	form DeclareForm
	done bool
}

func newDeclare(o Options, service string, start DeclareForm) *declare {
	var levels []dialog.Option
	for s := state.Severity(0); s <= 3; s++ {
		levels = append(levels, dialog.Option{Value: s.String(), Help: s.Guidance()})
	}
	spec := dialog.Spec{Title: "Declare an incident: " + service, Wide: true, Button: "declare",
		Intro: []string{"Nothing changes in production by this. It starts the clocks, the journal and the pages. In doubt, the worse severity: it can be changed."},
		Fields: []dialog.Field{
			{Name: "title", Label: "What is broken", Hint: "Payment gateway down", Value: start.Title, Required: true},
			{Name: "severity", Label: "Severity", Kind: dialog.Choice, Options: levels, Value: start.Severity.String()},
			{Name: "issue", Label: "Ticket", Hint: "PROD-2847, if there is one", Value: start.Issue},
			{Name: "impact", Label: "Who is affected, and how", Hint: "8 % of logins fail", Value: start.Impact},
		}}
	return &declare{o: o, t: o.Theme, d: dialog.New(o.Theme, spec), w: o.Width, h: o.Height}
}

func (d *declare) Init() tea.Cmd { return d.o.askBackground() }

func (d *declare) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		d.w, d.h = msg.Width, msg.Height
	case tea.BackgroundColorMsg:
		d.t = d.o.answered(msg)
		d.d.SetTheme(d.t)
	case tea.PasteMsg:
		d.d.Paste(msg.Content, d.o.Now())
	case tea.KeyPressMsg:
		switch d.d.Key(msg, d.o.Now()) {
		case dialog.Cancelled:
			return d, tea.Quit
		case dialog.Submitted:
			v := d.d.Values()
			sev, err := state.ParseSeverity(v["severity"])
			if err != nil {
				return d, nil // the choice offers nothing else
			}
			d.form = DeclareForm{Title: v["title"], Severity: sev, Issue: v["issue"], Impact: v["impact"]}
			d.done = true
			return d, tea.Quit
		}
	}
	return d, nil
}

func (d *declare) View() tea.View {
	v := tea.NewView(d.frame())
	v.AltScreen, v.WindowTitle = true, "mayday"
	return v
}

func (d *declare) frame() string {
	if d.w <= 0 || d.h <= 0 {
		return ""
	}
	head := " " + d.t.BadgeQuiet.Render(" mayday ") + d.t.Past.Render(" no incident is open")
	if d.h < 4 {
		return theme.Sheet([]string{head}, d.w, d.h)
	}
	box := strings.Split(d.d.View(d.w, d.h-1), "\n")
	pad := theme.Blank(max((d.w-lipgloss.Width(box[0]))/2, 0))
	lines := []string{head}
	for range max((d.h-1-len(box))/2, 0) {
		lines = append(lines, "")
	}
	for _, l := range box {
		lines = append(lines, pad+l)
	}
	return theme.Sheet(lines, d.w, d.h)
}
