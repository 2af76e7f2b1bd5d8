package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"mayday/state"
	"mayday/state/journal"
	"mayday/state/runbook"
	"mayday/steps"
)

// rehearsal is what --dry-run asks: an Engine over what the journal tells, which is
// never started and writes on paper. It refuses and foresees as the keeper would, and
// nothing of it is kept, sent or begun.
type rehearsal struct {
	*steps.Engine
	a     *app
	actor state.Actor
	paper *scratch
	rb    *runbook.Runbook
}

// scratch takes an Engine's events and forgets them with the process.
type scratch struct {
	seq    uint64
	head   string
	events []state.Event
}

// Append implements steps.Journal.
func (p *scratch) Append(at time.Time, actor state.Actor, _ uint64, facts ...state.Fact) ([]state.Event, error) {
	from := len(p.events)
	for _, f := range facts {
		p.seq++
		p.events = append(p.events, state.Event{Seq: p.seq, Time: at, Actor: actor, Fact: f})
	}
	return p.events[from:len(p.events):len(p.events)], nil
}

// Checkpoint implements steps.Journal: paper is not signed.
func (p *scratch) Checkpoint(time.Time) ([]state.Event, error) { return nil, nil }

// Head implements steps.Journal: the journal's own, as messages would carry it.
func (p *scratch) Head() (uint64, string) { return p.seq, p.head }

// Signed implements steps.Journal.
func (p *scratch) Signed() uint64 { return 0 }

// rehearse begins a rehearsal of an incident.
func (a *app) rehearse(f found, rb *runbook.Runbook) (*rehearsal, error) {
	t, err := newTools(rb)
	if err != nil {
		return nil, err
	}
	past, _ := journal.RecentSamples(f.folder) // what cannot be read is not known
	r := &rehearsal{a: a, actor: me("cli"), paper: &scratch{seq: f.in.Seq, head: f.report.Short()}, rb: rb}
	if a.flags.as != "" {
		if rb.Drill == nil {
			return nil, usage{&state.Problem{What: "nobody speaks for " + state.Clean(a.flags.as) + " in a real incident", Do: "Leave --as out."}}
		}
		r.actor = r.actor.As(state.Clean(a.flags.as))
	}
	o := engineOptions(f.folder, rb, t, r.actor, a.now)
	o.Journal, o.History, o.Past = r.paper, f.events, past
	r.Engine, err = steps.NewEngine(o)
	return r, err
}

// rehearseOpen begins a rehearsal of the open incident.
func (a *app) rehearseOpen() (*rehearsal, error) {
	f, rb, err := a.theOpen()
	if err != nil {
		return nil, err
	}
	return a.rehearse(f, rb)
}

// rehearseDeclaration begins a rehearsal of an incident that is not declared: it is,
// on paper, and whom that pages is paged there.
func (a *app) rehearseDeclaration(rb *runbook.Runbook, form declaration) (*rehearsal, error) {
	home, err := journal.Home()
	if err != nil {
		return nil, err
	}
	clock := clockOf(rb)
	at := clock.At(a.now())
	id, err := journal.NextID(home, at)
	if err != nil {
		return nil, explain(err, home)
	}
	var p scratch
	if _, err := p.Append(at, me("cli"), 0, form.fact(rb, id, clock)); err != nil {
		return nil, err
	}
	in, err := state.Fold(p.events)
	if err != nil {
		return nil, err
	}
	r, err := a.rehearse(found{id: id, folder: journal.Folder(home, id), in: in, events: p.events}, rb)
	if err != nil {
		return nil, err
	}
	r.paper.events = p.events
	r.PageDue()
	return r, nil
}

// act sends an intent and says what was done; with dry it says what would follow from
// it, by whom it would be heard, and does nothing.
func (a *app) act(ctx context.Context, intent state.Intent, dry bool, done string) error {
	if dry {
		r, err := a.rehearseOpen()
		if err != nil {
			return err
		}
		if _, err := r.Do(ctx, r.actor, intent); err != nil {
			return err
		}
		return a.foreseen(foresight{Would: r.would()})
	}
	answer, err := a.tell(ctx, intent)
	if err != nil {
		return err
	}
	if len(answer.Lines) > 0 {
		done += ": " + strings.Join(answer.Lines, ", ")
	}
	if answer.Text != "" {
		done += "; " + answer.Text
	}
	return a.done(state.Clean(done))
}

// foresight is what --dry-run prints, for machines.
type foresight struct {
	V     int           `json:"v"` // see shape
	Dry   bool          `json:"dry_run"`
	Would []consequence `json:"would,omitempty"`
	Plan  []planned     `json:"plan,omitempty"`
}

// consequence is an event that would be written.
type consequence struct {
	Type    string `json:"type"` // the event's
	Text    string `json:"text"`
	Channel string `json:"channel,omitempty"` // of a message
	Kind    string `json:"kind,omitempty"`    // the channel's
	For     string `json:"for,omitempty"`     // the audience, or whom a page calls
	Message string `json:"message,omitempty"`

	tag string
}

// planned is an item that would be done.
type planned struct {
	Item     string   `json:"item"`
	Title    string   `json:"title"`
	Person   string   `json:"person,omitempty"` // what a person has to do or say
	After    string   `json:"after,omitempty"`  // what has to be settled first
	Commands []string `json:"commands,omitempty"`
	Text     string   `json:"text,omitempty"`
	Problem  string   `json:"problem,omitempty"` // why it cannot be foreseen, or would be refused
}

// would lists what is on the paper.
func (r *rehearsal) would() []consequence {
	in := r.Incident()
	kinds := map[string]string{}
	for _, c := range r.rb.Channels {
		kinds[c.Name] = c.Kind
	}
	var out []consequence
	told, heard := false, false
	for _, e := range r.paper.events {
		said := in.Say(e)
		c := consequence{Type: e.Fact.Kind(), Text: said.Text, tag: said.Tag}
		switch f := e.Fact.(type) {
		case state.MessageQueued:
			heard = true
			c.Channel, c.Kind, c.For, c.Message = f.Channel, kinds[f.Channel], f.Audience, f.Text
			if f.Who != "" {
				c.For = f.Who
			}
			c.Text = f.Purpose + " to " + f.Channel + " (" + c.Kind + "), for " + c.For
		case state.LevelPaged, state.UpdatePosted, state.IncidentResolved:
			told = true
		}
		out = append(out, c)
	}
	if told && !heard {
		out = append(out, consequence{Type: "warning", tag: "warning", Text: "no channel of the runbook would carry it: nobody is told"})
	}
	return out
}

// foreseen prints what --dry-run found.
func (a *app) foreseen(f foresight) error {
	f.V, f.Dry = shape, true
	if a.flags.json {
		return json.NewEncoder(a.out).Encode(f)
	}
	var b strings.Builder
	var last string
	for _, c := range f.Would {
		fmt.Fprintf(&b, "would  %-10s %s\n", c.tag, c.Text)
		if c.Message != "" && c.Message != last {
			for l := range strings.Lines(c.Message) {
				b.WriteString("         | " + strings.TrimRight(l, "\n") + "\n")
			}
		}
		last = c.Message
	}
	for _, p := range f.Plan {
		b.WriteString(p.String())
	}
	if len(f.Would)+len(f.Plan) == 0 {
		b.WriteString("nothing is left to do\n")
	}
	_, err := fmt.Fprint(a.out, state.CleanLines(b.String()))
	return err
}

func (p planned) String() string {
	lines := []string{p.Item + " " + p.Title}
	add := func(before, text string) {
		if text != "" {
			lines = append(lines, "    "+before+text)
		}
	}
	add("a person: ", p.Person)
	add("after ", p.After)
	add("cannot be foreseen: ", p.Problem)
	for _, c := range p.Commands {
		add("$ ", c)
	}
	for l := range strings.Lines(p.Text) {
		add("", strings.TrimRight(l, "\n"))
	}
	return strings.Join(lines, "\n") + "\n"
}

// later says whom a declaration pages after a while, until production is mitigated.
func later(in *state.Incident) string {
	var out []string
	for _, l := range in.Levels {
		if l.Paged.IsZero() {
			who := strings.Join(in.Callees(l.Role), ", ")
			if who != "" {
				who = " (" + who + ")"
			}
			out = append(out, l.Role+who+" after "+state.Duration(l.Due.Sub(in.Declared)).String())
		}
	}
	if len(out) == 0 {
		return ""
	}
	return "until it is mitigated: " + strings.Join(slices.Compact(out), ", ")
}
