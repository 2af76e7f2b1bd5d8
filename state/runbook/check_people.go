package runbook

import (
	"fmt"
	"maps"
	"regexp"
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
		if p.Email != "" && !mailbox(p.Email) {
			b.fail(path+".email", "%q is not an e-mail address; write it as \"alice@example.com\"", p.Email)
		}
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
		checkPlaybook(b, path+".playbook", p.Playbook)
		b.notNegative(path+".update", p.Update)
		b.notNegative(path+".monitor", p.Monitor)
		b.notNegative(path+".repeat", p.Repeat)
		b.notNegative(path+".ack_for", p.AckFor)
	}
}

// checkSigners checks whose signatures approve a change.
func (r *Runbook) checkSigners(b *binder) {
	switch {
	case r.Signers == "" && b.set("allowed_signers"):
		b.fail("allowed_signers", "allowed_signers needs a path: a file of lines such as \"carol@example.com ssh-ed25519 AAAA…\"")
	case r.Revoked != "" && r.Signers == "":
		b.fail("revoked_signers", "revoked_signers takes keys out of allowed_signers, which is not there")
	case r.Signers != "" && len(r.People) == 0:
		b.fail("allowed_signers", "allowed_signers needs people: a signature counts for one of them, found by name, user or contact")
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

// settles is what an entry of a playbook may go with.
var settles = regexp.MustCompile(`^([1-9]|1[0-8])\.[a-z]+$`)

func checkPlaybook(b *binder, path string, phases []state.Phase) {
	for i, p := range phases {
		at := fmt.Sprintf("%s[%d]", path, i)
		if p.Name == "" {
			b.fail(at, "%s needs a name", at)
		}
		if len(p.Do) == 0 {
			b.fail(at, "%s has nothing to do", at)
		}
		b.notNegative(at+".from", p.From)
		b.notNegative(at+".by", p.By)
		if p.By > 0 && p.By <= p.From {
			b.fail(at+".by", "%s ends before it begins", at)
		}
		for j, play := range p.Do {
			if play.Title == "" {
				b.fail(fmt.Sprintf("%s.do[%d]", at, j), "%s.do[%d] needs a title", at, j)
			}
			for k, id := range play.Items {
				if id != state.PlayPages && !settles.MatchString(id) {
					b.fail(fmt.Sprintf("%s.do[%d].items[%d]", at, j, k), "%q is no item of the checklist: write it as mayday show does, such as 10.deploy, or %s", id, state.PlayPages)
				}
			}
		}
	}
}
