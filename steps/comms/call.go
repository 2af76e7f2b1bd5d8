package comms

import (
	"slices"
	"strings"

	"mayday/state"
)

// mostCalls bounds how many people a dead letter names.
const mostCalls = 6

// concerned are the roles that a message for an audience is for, or who must see to
// it where its readers cannot be called.
var concerned = map[string][]string{
	"team": {state.Commander, state.OnCall, state.Driver, state.Senior}, "reviewers": {state.Reviewer}, "executives": {state.Executives},
	"stakeholders": {state.CommsLead, state.Commander}, "customers": {state.CommsLead, state.Commander},
}

// Call names who should be told by telephone what a message could not tell, with the
// contacts of the runbook: whom a page calls, else who has a role that its audience
// is about, else everybody.
func (p *Post) Call(in *state.Incident, m state.Message) string {
	var who []string
	called := strings.Split(m.Who, ", ")
	for _, x := range p.rb.People {
		mine := m.Role != "" && slices.Contains(x.Roles, m.Role) && m.Who == "" || m.Who != "" && slices.Contains(called, x.Name)
		for _, role := range concerned[m.Audience] {
			if m.Role == "" && (slices.Contains(x.Roles, role) || in.Roles[role] == x.Name) {
				mine = true
			}
		}
		if mine {
			who = append(who, strings.TrimSpace(x.Name+" "+x.Contact))
		}
	}
	if len(who) == 0 {
		for _, x := range p.rb.People {
			who = append(who, strings.TrimSpace(x.Name+" "+x.Contact))
		}
	}
	return strings.Join(who[:min(len(who), mostCalls)], ", ")
}
