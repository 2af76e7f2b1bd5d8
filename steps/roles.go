package steps

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"mayday/state"
)

// knownRoles are those that somebody can have in an incident: mayday's own, and those of the
// runbook and the escalation policy.
func (e *Engine) knownRoles(in *state.Incident) []string {
	known := map[string]bool{state.OnCall: true, state.Senior: true, state.Manager: true, state.Commander: true, state.Executives: true,
		state.Driver: true, state.Reviewer: true, state.CommsLead: true, state.Scribe: true}
	for _, l := range in.Levels {
		known[l.Role] = true
	}
	for role := range in.Roles {
		known[role] = true
	}
	for role := range in.Rota {
		known[role] = true
	}
	for _, p := range e.o.Runbook.People {
		for _, role := range p.Roles {
			known[role] = true
		}
	}
	return slices.Sorted(maps.Keys(known))
}

// roleOf gives a role as the incident writes it, whatever its letters' case. One that
// nobody knows is refused: a slip of the finger would page, or make, a role that does
// not exist.
func (e *Engine) roleOf(in *state.Incident, name string) (string, error) {
	name = e.clean(name)
	known := e.knownRoles(in)
	for _, role := range known {
		if strings.EqualFold(role, name) {
			return role, nil
		}
	}
	return "", &state.Problem{Code: "usage", What: fmt.Sprintf("there is no role %q", name), Do: "There are: " + list(known) + "."}
}

// setRole gives a role to a person, without a page. The person may be nobody of the
// runbook, somebody who came to help; then the answer says what that means.
func (e *Engine) setRole(actor state.Actor, v state.SetRole) (state.Answer, error) {
	in, who := e.Incident(), e.clean(v.Person)
	role, err := e.roleOf(in, v.Role)
	if err != nil {
		return state.Answer{}, err
	}
	a, err := e.simple(actor, open, state.RoleAssigned{Role: role, Person: who})
	if err == nil && !e.onTeam(in, who) {
		a.Text = fmt.Sprintf("the runbook names nobody %q: a page has no number for them", who)
	}
	return a, err
}
