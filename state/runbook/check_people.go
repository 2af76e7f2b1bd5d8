package runbook

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"mayday/state"
)

// checkPeople checks responders and escalation together: a role of the team's own is
// fine where a policy and a person agree on it, so that a misspelt one is not.
func (r *Runbook) checkPeople(b *binder) {
	held, paged := r.usedRoles()
	accounts := map[string]string{}
	for i, p := range r.People {
		path := "people[" + strconv.Itoa(i) + "]"
		if p.Name == "" {
			b.fail(path, "%s needs a name", path)
		}
		if other, ok := accounts[p.User]; ok && p.User != "" {
			b.fail(path+".user", "the account %q is %s's already", p.User, other)
		}
		accounts[p.User] = p.Name
		for j, role := range p.Roles {
			if !slices.Contains(roles, role) && !paged[role] {
				b.fail(path+".roles["+strconv.Itoa(j)+"]", "unknown role %q%s", role, hint(role, roles))
			}
		}
	}
	for _, s := range slices.Sorted(maps.Keys(r.Severities)) {
		p, path := r.Severities[s], "severities."+s.String()
		known := func(at, role string) {
			if !slices.Contains(roles, role) && !held[role] {
				b.fail(at, "unknown role %q, which nobody in people has%s", role, hint(role, roles))
			}
		}
		for i, role := range p.AtOnce {
			known(fmt.Sprintf("%s.at_once[%d]", path, i), role)
		}
		for i, l := range p.Levels {
			at := fmt.Sprintf("%s.levels[%d]", path, i)
			known(at+".role", l.Role)
			b.notNegative(at+".after", l.After)
			if slices.ContainsFunc(p.Levels[:i], func(o state.LevelAt) bool { return o.Role == l.Role }) {
				b.fail(at+".role", "%s: %s is paged twice", path, l.Role)
			}
			for j, name := range l.Channels {
				if names := r.channelNames(); !slices.Contains(names, name) {
					b.fail(fmt.Sprintf("%s.channels[%d]", at, j), "there is no channel %q%s", name, hint(name, names))
				}
			}
		}
		b.notNegative(path+".update", p.Update)
		b.notNegative(path+".monitor", p.Monitor)
		b.notNegative(path+".repeat", p.Repeat)
		b.notNegative(path+".ack_for", p.AckFor)
	}
}

// usedRoles gives the roles that people have and those that policies page.
func (r *Runbook) usedRoles() (held, paged map[string]bool) {
	held, paged = map[string]bool{}, map[string]bool{}
	for _, p := range r.People {
		for _, role := range p.Roles {
			held[role] = true
		}
	}
	for _, p := range r.Severities {
		for _, role := range p.AtOnce {
			paged[role] = true
		}
		for _, l := range p.Levels {
			paged[l.Role] = true
		}
	}
	return held, paged
}

func (r *Runbook) channelNames() []string {
	var out []string
	for _, c := range r.Channels {
		out = append(out, c.Name)
	}
	return out
}
