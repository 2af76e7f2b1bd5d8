package comms

import (
	"cmp"
	"context"
	"strings"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// Ticket is what a tracker is told of an incident.
type Ticket struct {
	Key      string // names what is told, for ever: what the tracker has under it is not written again
	Incident string
	Title    string
	Text     string
}

// Tracker keeps tickets. Each kind has a folder of its own and passes
// commstest.RunTracker. Errors are *Failure. Safe for concurrent use.
type Tracker interface {
	// Link gives the link of a ticket that somebody names by its number or key.
	Link(issue string) string
	// Open makes the incident's ticket, unless an earlier try has made it, and gives its
	// link. Like Comment it blocks until the tracker answered or ctx ended.
	Open(ctx context.Context, t Ticket) (link string, err error)
	// Comment writes to the ticket behind a link.
	Comment(ctx context.Context, link string, t Ticket) error
	// Reach asks whether tickets could be made, as far as that can be told without making
	// one, and says what it saw.
	Reach(ctx context.Context) (seen string, err error)
	Secrets() []string
}

// Roomer is a Channel that can make a room for everybody to talk in.
type Roomer interface {
	// OpenRoom makes a room of that name, or finds the one made before, and gives its link.
	OpenRoom(ctx context.Context, name string) (link string, err error)
}

// roomBy begins a war room that a channel makes: "slack:team".
const roomBy = "slack:"

// makeRoom lets a channel make the room.
func (p *Post) makeRoom(ctx context.Context, in *state.Incident) (string, error) {
	name := strings.TrimPrefix(p.rb.WarRoom, roomBy)
	c, err := p.channel(name)
	if err != nil {
		return "", err
	}
	r, ok := c.(Roomer)
	if !ok {
		return "", &state.Problem{Code: "no-room", What: "The channel " + name + " makes no rooms", Do: "Name a channel of kind slack with a bot's token in war_room."}
	}
	link, err := r.OpenRoom(ctx, in.ID+" "+in.Title)
	return link, p.hush(c.Secrets, err)
}

// MakeTracker makes the tracker of a runbook's tickets.
type MakeTracker func(t runbook.Tickets) (Tracker, error)

// ReachTracker asks the tracker whether tickets could be made, and says what it saw; ok
// is false where the runbook has none.
func (p *Post) ReachTracker(ctx context.Context) (seen string, ok bool, err error) {
	if p.tracker == nil {
		return "", false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	seen, err = p.tracker.Reach(ctx)
	return p.redact.Text(seen), true, p.hush(p.tracker.Secrets, err)
}

// TicketSecrets gives a tracker's token, where it has one.
func TicketSecrets(t runbook.Tickets) []string {
	token, err := Secret("tickets", "token", t.TokenEnv, t.TokenFile)
	if err != nil {
		return nil
	}
	return []string{token}
}

// linkTicket makes the link, and the ticket where there is none and the runbook says
// where tickets are kept. Values: "issue", where the incident has none.
func (p *Post) linkTicket(ctx context.Context, job steps.Job) (steps.Outcome, error) {
	link := p.ticket(job.Incident, job.Values["issue"])
	how := "linked"
	if link == "" && p.tracker != nil {
		text, err := p.Render("declared", "team", job.Incident, job.Now(), nil)
		if err != nil {
			return steps.Outcome{}, err
		}
		how = "made"
		if link, err = p.tracker.Open(ctx, Ticket{Key: job.Incident.Name(), Incident: job.Incident.ID, Title: job.Incident.Severity.String() + ": " + state.Clean(job.Incident.Title), Text: text}); err != nil {
			return steps.Outcome{}, p.hush(p.tracker.Secrets, err)
		}
	}
	if link == "" {
		return steps.Outcome{}, &state.Problem{Code: "no-issue", What: "The incident names no issue", Why: "it was declared without one",
			Do: "Make the ticket and run this item with issue=NUMBER, or override it with the number."}
	}
	link = p.redact.Text(state.Clean(link))
	return steps.Outcome{Summary: link, Evidence: []state.Evidence{{Name: "ticket", Value: link}, {Name: "how", Value: how}}, Facts: map[string]string{"ticket": link}}, nil
}

// updating tells the tracker what production runs.
type updating struct{ p *Post }

func (u updating) text(job steps.Job) (link, text string, err error) {
	link = cmp.Or(job.Incident.Facts["ticket"], u.p.ticket(job.Incident, ""))
	if link == "" {
		return "", "", &state.Problem{Code: "no-issue", What: "There is no ticket to update", Do: "Run item 2.ticket first."}
	}
	occasion := "deployed"
	if job.Incident.Rollback.Status == state.RollbackDone {
		occasion = "rollback"
	}
	text, err = u.p.Render(occasion, "team", job.Incident, job.Now(), nil)
	return link, text, err
}

// Preview implements steps.Action.
func (u updating) Preview(_ context.Context, job steps.Job) (steps.Preview, error) {
	link, text, err := u.text(job)
	return steps.Preview{Commands: []string{"comment on " + link}, Text: text}, err
}

// Run implements steps.Action.
func (u updating) Run(ctx context.Context, job steps.Job) (steps.Outcome, error) {
	link, text, err := u.text(job)
	if err != nil {
		return steps.Outcome{}, err
	}
	in := job.Incident
	key := in.Name() + "/tracker/" + string(rune('0'+in.Attempt%10))
	if err := u.p.tracker.Comment(ctx, link, Ticket{Key: key, Incident: in.ID, Title: in.Title, Text: text}); err != nil {
		return steps.Outcome{}, u.p.hush(u.p.tracker.Secrets, err)
	}
	return steps.Outcome{Summary: "commented on " + link, Evidence: []state.Evidence{{Name: "ticket", Value: link}, {Name: "says", Value: text}}}, nil
}
