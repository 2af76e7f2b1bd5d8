package comms

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mayday/state"
	"mayday/steps"
)

// Actions gives the action for each item of the catalogue that is about telling
// people. Sending is the Engine's: a message is an event before it is a message.
func (p *Post) Actions() map[string]steps.Action {
	out := map[string]steps.Action{
		"2.room":       steps.ActionFunc(p.openRoom),
		"2.ticket":     steps.ActionFunc(p.linkTicket),
		"10.channels":  steps.ActionFunc(p.channelsReachable),
		"13.delivered": steps.ActionFunc(delivered),
	}
	if p.tracker != nil {
		out["13.tracker"] = updating{p}
	}
	return out
}

// room is the war room's link: the one found before, else the runbook's.
func (p *Post) room(in *state.Incident) string {
	if r := in.Facts["room"]; r != "" {
		return r
	}
	if r := in.Facts["2.room"]; r != "" {
		return r // typed by a person
	}
	if strings.HasPrefix(p.rb.WarRoom, roomBy) {
		return "" // not made yet
	}
	return strings.ReplaceAll(p.rb.WarRoom, "{incident}", in.ID)
}

func (p *Post) openRoom(ctx context.Context, job steps.Job) (steps.Outcome, error) {
	link := p.room(job.Incident)
	if link == "" && strings.HasPrefix(p.rb.WarRoom, roomBy) {
		var err error
		if link, err = p.makeRoom(ctx, job.Incident); err != nil {
			return steps.Outcome{}, err
		}
	}
	if link == "" {
		return steps.Outcome{}, &state.Problem{Code: "no-room", What: "The runbook names no war room", Do: "Set war_room in it, or agree on one and override this item with it."}
	}
	return steps.Outcome{Summary: link, Evidence: []state.Evidence{{Name: "war room", Value: link}}, Facts: map[string]string{"room": link}}, nil
}

// ticket is the tracker's link for the incident's issue, or the one given.
func (p *Post) ticket(in *state.Incident, issue string) string {
	if issue == "" {
		issue = in.Issue
	}
	issue = strings.TrimSpace(issue)
	switch {
	case strings.Contains(issue, "://") || issue == "":
		return issue
	case p.rb.Tracker == "" && p.tracker != nil:
		return p.tracker.Link(issue)
	case p.rb.Tracker == "":
		return issue
	}
	return strings.ReplaceAll(p.rb.Tracker, "{issue}", strings.TrimPrefix(issue, "#"))
}

// channelsReachable looks at each channel's last message, and where there is none
// asks its server for an answer.
func (p *Post) channelsReachable(ctx context.Context, job steps.Job) (steps.Outcome, error) {
	var o steps.Outcome
	if len(p.rb.Channels) == 0 {
		return o, &state.Problem{Code: "no-channel", What: "The runbook has no channels", Do: "Add one under channels, or say in an override how people are told."}
	}
	var bad []string
	for _, c := range p.rb.Channels {
		seen, err := p.reachable(ctx, job.Incident, c.Name)
		if err != nil {
			seen = state.AsProblem(err).Error()
			bad = append(bad, c.Name)
		}
		o.Evidence = append(o.Evidence, state.Evidence{Name: c.Name, Value: seen})
		if job.Output != nil {
			fmt.Fprintf(job.Output, "%s: %s\n", c.Name, seen)
		}
	}
	o.Summary = fmt.Sprintf("%d of %d", len(p.rb.Channels)-len(bad), len(p.rb.Channels))
	if len(bad) > 0 {
		return o, &state.Problem{Code: "unreachable", What: "Not every channel can be reached: " + strings.Join(bad, ", "), Why: o.Evidence[indexOf(o.Evidence, bad[0])].Value,
			Do: "Correct the channel, or decide how to tell them and override this item with that."}
	}
	return o, nil
}

func indexOf(ev []state.Evidence, name string) int {
	for i := range ev {
		if ev[i].Name == name {
			return i
		}
	}
	return 0
}

func (p *Post) reachable(ctx context.Context, in *state.Incident, channel string) (string, error) {
	var last state.Message
	for _, m := range in.Messages {
		if m.Channel == channel && (!m.Sent.IsZero() || m.Tries > 0) {
			last = m
		}
	}
	switch {
	case last.ID == "":
		seen, err := p.Reach(ctx, channel)
		return "no message yet; " + seen, err
	case last.Sent.IsZero():
		return "", &state.Problem{Code: "undelivered", What: "the last message was not delivered", Why: last.Err}
	}
	return "took " + last.ID + " at " + last.Sent.UTC().Format(time.TimeOnly), nil
}

// delivered looks whether every message arrived. One that was given up counts as
// made good when a later one of its purpose reached its channel.
func delivered(_ context.Context, job steps.Job) (steps.Outcome, error) {
	var o steps.Outcome
	var missing []string
	n := 0
	for i, m := range job.Incident.Messages {
		if !m.Sent.IsZero() {
			n++
			continue
		}
		if m.Dead && madeGood(job.Incident.Messages[i+1:], m) {
			continue
		}
		why := "waits"
		if m.Dead {
			why = "given up: " + m.Err
		} else if m.Err != "" {
			why = "is tried again: " + m.Err
		}
		missing = append(missing, m.Purpose+" to "+m.Channel+" "+why)
	}
	o.Summary = fmt.Sprintf("%d delivered", n)
	o.Evidence = []state.Evidence{{Name: "delivered", Value: fmt.Sprint(n)}, {Name: "not delivered", Value: fmt.Sprint(len(missing))}}
	if len(missing) > 0 {
		return o, &state.Problem{Code: "undelivered", What: fmt.Sprintf("%d of %d messages did not arrive", len(missing), len(job.Incident.Messages)),
			Why: strings.Join(missing[:min(len(missing), 3)], "; "), Do: "Wait for the outbox and run this item again, or tell them another way and override it."}
	}
	return o, nil
}

func madeGood(later []state.Message, lost state.Message) bool {
	for _, m := range later {
		if m.Channel == lost.Channel && m.Purpose == lost.Purpose && !m.Sent.IsZero() {
			return true
		}
	}
	return false
}
