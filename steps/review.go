package steps

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

const itemReview, itemReport = "18.review", "16.report"

// Names of the evidence that Options.Papers gives.
const (
	PaperReport     = "report"
	PaperArticle    = "knowledge-base article"
	PaperAlerts     = "alert-tuning list"
	PaperInvitation = "invitation"
)

// reviewing plans the review meeting and invites to it.
type reviewing struct{ e *Engine }

// Preview says when it will be, who is invited and where that is announced.
func (r reviewing) Preview(_ context.Context, job Job) (Preview, error) {
	plan, changed, err := r.e.planReview(job.Incident, job.Item.By, r.e.Now())
	if err != nil {
		return Preview{}, err
	}
	var p Preview
	if !changed {
		return Preview{Text: "It is planned already, and stays as it is."}, nil
	}
	for _, ch := range r.e.o.Messenger.Channels("team") {
		p.Commands = append(p.Commands, "send to "+ch+" (team)")
	}
	after := *job.Incident
	after.Review = state.Review{At: plan.At, Until: plan.Until, Zone: plan.Zone, Note: plan.Note, Guests: plan.Guests, Absent: plan.Absent}
	for _, ev := range told(after.Review) {
		p.Text += ev.Name + ": " + ev.Value + "\n"
	}
	return p, nil
}

// Run journals the meeting, tells the team and writes the invitation.
func (r reviewing) Run(_ context.Context, job Job) (Outcome, error) {
	e := r.e
	plan, changed, err := e.planReview(job.Incident, job.Item.By, e.Now())
	if err != nil {
		return Outcome{}, err
	}
	if changed {
		if _, err := e.record(e.mayday(), e.meeting(job.Incident, plan)...); err != nil {
			return Outcome{}, err
		}
	}
	papers, err := e.papers()
	if err != nil {
		return Outcome{}, err
	}
	return reviewed(e.Incident().Review, papers), nil
}

// meeting makes the facts of a meeting: itself, and the word of it to the team.
func (e *Engine) meeting(in *state.Incident, plan state.ReviewPlanned) []state.Fact {
	after := in.Clone()
	_ = after.Apply(state.Event{Seq: in.Seq + 1, Time: e.Now(), Actor: e.mayday(), Fact: plan}) // a fact in its order
	r := after.Review
	extra := map[string]string{"when": r.When(), "note": r.Note, "invited": guests(r.Guests), "absent": list(r.Absent)}
	return append([]state.Fact{plan}, e.sayOf(after, "meeting", extra, nil, "team")...)
}

// reviewed is what the item of the review has to show.
func reviewed(r state.Review, papers []state.Evidence) Outcome {
	out := Outcome{Summary: r.When(), Evidence: told(r)}
	for _, p := range papers {
		if p.Name == PaperInvitation {
			out.Evidence = append([]state.Evidence{p}, out.Evidence...)
		}
	}
	if len(r.Guests) == 0 {
		out.Summary += "; nobody has an e-mail address, tell them"
	}
	return out
}

func told(r state.Review) []state.Evidence {
	out := []state.Evidence{{Name: "when", Value: r.When()}}
	if r.Note != "" {
		out = append(out, state.Evidence{Name: "note", Value: r.Note})
	}
	if len(r.Guests) > 0 {
		out = append(out, state.Evidence{Name: "invited", Value: guests(r.Guests)})
	}
	if len(r.Absent) > 0 {
		out = append(out, state.Evidence{Name: "tell them another way", Value: list(r.Absent)})
	}
	return out
}

func guests(list []state.Guest) string {
	var out []string
	for _, g := range list {
		out = append(out, g.Name+" <"+g.Mail+">")
	}
	return strings.Join(out, ", ")
}

// planReview gives the review of an incident that ends at end, by an account's word. A
// meeting that is planned already stays where it is if that is 24 to 48 hours after the
// end; changed is false where nothing about it is new.
func (e *Engine) planReview(in *state.Incident, by string, end time.Time) (plan state.ReviewPlanned, changed bool, err error) {
	hours := e.o.Runbook.Review.Hours()
	at, note, err := hours.Review(end)
	if err != nil {
		return plan, false, &state.Problem{Code: "config", What: "the review meeting cannot be planned", Why: err.Error(), Do: "Correct review in the runbook."}
	}
	old := in.Review
	if after := old.At.Sub(end); !old.At.IsZero() && after >= state.ReviewFrom && after <= state.ReviewTo {
		at, note = old.At, ""
	}
	title := fmt.Sprintf("Review of %s: %s", in.ID, in.Title)
	if in.Drill != "" {
		title = "DRILL: " + title
	}
	plan = state.ReviewPlanned{At: at, Until: at.Add(state.ReviewLength), Zone: hours.Zone, Note: note, Title: e.clean(title),
		Place: in.Facts["room"], Sequence: old.Sequence}
	e.invite(in, by, &plan)
	plan.About = e.about(in, plan)
	was := state.ReviewPlanned{At: old.At, Until: old.Until, Zone: old.Zone, Note: old.Note, Title: old.Title, About: old.About, Place: old.Place,
		Organizer: old.Organizer, Guests: old.Guests, Absent: old.Absent, Sequence: old.Sequence}
	switch {
	case old.At.IsZero():
		return plan, true, nil
	case reflect.DeepEqual(plan, was):
		return plan, false, nil
	}
	plan.Sequence++
	return plan, true, nil
}

// about is the invitation's text. It holds nothing that changes while the incident
// ends: a meeting that is sent twice says the same.
func (e *Engine) about(in *state.Incident, plan state.ReviewPlanned) string {
	lines := []string{in.Severity.String() + " " + in.Title, "Declared " + in.Declared.UTC().Format("2006-01-02 15:04 UTC") + " by " + in.By.User + "."}
	if plan.Note != "" {
		lines = append(lines, "When: "+plan.Note+".")
	}
	lines = append(lines, "Agenda, without blame: what happened, what helped, what hindered, what we change.",
		"See it again: mayday replay --incident "+in.ID, "Read it: mayday report --incident "+in.ID)
	if len(plan.Absent) > 0 {
		lines = append(lines, "Not invited by this, for want of an e-mail address: "+list(plan.Absent))
	}
	return e.o.Redact(state.CleanLines(strings.Join(lines, "\n")))
}

// invite names whom the meeting is for: who has a role in the incident, who was called,
// and whose account (by is the one that acts now) did something in it.
func (e *Engine) invite(in *state.Incident, by string, plan *state.ReviewPlanned) {
	names, users := map[string]bool{}, map[string]bool{by: true}
	for _, person := range in.Roles {
		names[person] = true
	}
	for _, l := range in.Levels {
		if l.Paged.IsZero() {
			continue
		}
		for _, person := range e.callees(in, l.Role) {
			names[person] = true
		}
	}
	for _, ev := range e.Events() {
		switch ev.Fact.(type) {
		case state.ClientJoined, state.ClientLeft, state.KeeperStarted, state.KeeperStopped: // looking on is not taking part
		default:
			users[ev.Actor.User] = true
		}
	}
	people := slices.Clone(e.o.Runbook.People)
	slices.SortStableFunc(people, func(a, b runbook.Person) int { return strings.Compare(a.Name, b.Name) })
	for _, p := range people {
		account := p.User != "" && (users[p.User] || names[p.User]) // a role may have an account's name
		if !names[p.Name] && !account {
			continue
		}
		delete(names, p.Name)
		delete(names, p.User)
		if p.Mail() == "" {
			plan.Absent = append(plan.Absent, p.Name)
			continue
		}
		g := state.Guest{Name: p.Name, Mail: p.Mail()}
		plan.Guests = append(plan.Guests, g)
		if plan.Organizer == (state.Guest{}) || in.Roles[state.Commander] == p.Name {
			plan.Organizer = g
		}
	}
	for name := range names { // of whom the runbook says nothing
		plan.Absent = append(plan.Absent, name)
	}
	slices.Sort(plan.Absent)
}

// papers writes what remains of the incident, as the journal has it by now.
func (e *Engine) papers() ([]state.Evidence, error) {
	if e.o.Papers == nil {
		return nil, nil
	}
	if err := e.o.Samples.Flush(); err != nil {
		return nil, err
	}
	out, err := e.o.Papers(e.Incident(), e.Events())
	if err != nil {
		return nil, &state.Problem{Code: "papers", What: "the report's files cannot be written", Why: e.clean(err.Error()),
			Do: "Make room in the incident's folder, or correct its permissions; mayday report writes them again."}
	}
	return out, nil
}

// closing writes the papers of an incident that has just ended, and settles the items
// that stand for them where nobody has run these.
func (e *Engine) closing() {
	papers, err := e.papers()
	if err != nil {
		e.warn(err.Error(), true)
		return
	}
	in := e.Incident()
	if !in.Review.At.IsZero() {
		e.settlePaper(in, itemReview, reviewed(in.Review, papers))
	}
	if out, ok := reported(papers); ok {
		e.settlePaper(in, itemReport, out)
	}
}

// reported is what the report's item has to show.
func reported(papers []state.Evidence) (Outcome, bool) {
	var out Outcome
	for _, p := range papers {
		if p.Name != PaperInvitation {
			out.Evidence = append(out.Evidence, p)
		}
	}
	out.Summary = "written when the incident was resolved"
	return out, len(out.Evidence) > 0
}

func (e *Engine) settlePaper(in *state.Incident, item string, out Outcome) {
	it := in.Item(item)
	if it == nil || it.Status.Settled() || it.Status == state.ItemRunning {
		return
	}
	_, _ = e.record(e.mayday(), state.ItemFinished{Item: item, Outcome: state.ItemDone, Summary: out.Summary, Evidence: out.Evidence}) // a journal that fails says so itself
}
