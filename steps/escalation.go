package steps

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mayday/state"
)

// lateBy is how long after its time a page counts as late: the keeper slept.
const lateBy = time.Minute

// errMoved says that what an intent was formed on changed before it was written.
var errMoved = errors.New("it moved on meanwhile")

func (e *Engine) ack(actor state.Actor, role string) (state.Answer, error) {
	for {
		// Another may take some of it, or the next level be paged, until this is written.
		if a, err := e.ackNow(actor, role); !errors.Is(err, errMoved) {
			return a, err
		}
	}
}

func (e *Engine) ackNow(actor state.Actor, role string) (state.Answer, error) {
	in := e.Incident()
	roles, other := e.acking(in, actor, role)
	if len(roles) == 0 {
		if _, err := e.roleOf(in, role); role != "" && err != nil {
			return state.Answer{}, err
		}
		return state.Answer{}, &state.Problem{What: "no page waits for an acknowledgement", Why: other}
	}
	var facts []state.Fact
	for _, r := range roles {
		facts = append(facts, state.LevelAcked{Role: r})
	}
	a, err := e.simple(actor, func(in *state.Incident) error {
		if now, _ := e.acking(in, actor, role); !slices.Equal(now, roles) {
			return errMoved
		}
		return open(in)
	}, facts...)
	if err == nil {
		for _, r := range roles {
			if !slices.Contains(a.Lines, r) {
				a.Lines = append(a.Lines, r)
			}
		}
		a.Text = "it lapses " + state.Duration(in.Policy.AckLasts()).String() + " after your last sign of life"
	}
	return a, err
}

// acking gives the role of each level that an acknowledgement takes; else who has them.
func (e *Engine) acking(in *state.Incident, actor state.Actor, role string) (roles []string, other string) {
	for _, l := range in.Levels {
		switch {
		case l.Paged.IsZero() || role != "" && !strings.EqualFold(role, l.Role):
		case l.Acked.IsZero() || l.AckBy == actor.User:
			roles = append(roles, l.Role)
		default:
			other = e.nameOf(l.AckBy) + " has it as " + l.Role
		}
	}
	return roles, other
}

func (e *Engine) escalate(actor state.Actor, role string) (state.Answer, error) {
	in := e.Incident()
	if role = e.clean(role); role == "" {
		next, ok := in.NextEscalation()
		if !ok {
			return state.Answer{}, &state.Problem{What: "every level has been paged", Do: "Name a role to page it again."}
		}
		role = next.Role
	}
	role, err := e.roleOf(in, role)
	if err != nil {
		return state.Answer{}, err
	}
	level := state.Level{Role: role}
	for _, l := range in.Levels {
		if l.Role == role && (level.AtOnce || level.Due.IsZero()) {
			level = l // the level itself, not a second one beside it; the later of two
		}
	}
	return e.simple(actor, open, e.page(in, level, e.callees(in, role), paging{byHand: true})...)
}

// handOver gives a role to another person, who is told as by a page: whoever hands
// over has not let go before the other one has it.
func (e *Engine) handOver(actor state.Actor, v state.HandOver) (state.Answer, error) {
	role, to := e.clean(v.Role), e.clean(v.To)
	if role == "" || to == "" {
		return state.Answer{}, &state.Problem{What: "a hand-over needs a role and a person"}
	}
	in := e.Incident()
	role, err := e.roleOf(in, role)
	if err != nil {
		return state.Answer{}, err
	}
	if !e.onTeam(in, to) {
		return state.Answer{}, &state.Problem{What: fmt.Sprintf("nobody here is called %q", to), Why: "the runbook's people are " + list(e.names()),
			Do: "Use a name of those; or give the role without a page: role " + role + "=" + to}
	}
	from := strings.Join(in.Callees(role), ", ")
	if from == "" {
		from = actor.User
	}
	level := state.Level{Role: role}
	for _, l := range in.Levels {
		if l.Role == role && (level.Due.IsZero() || !l.Paged.IsZero()) {
			level = l
		}
	}
	facts := []state.Fact{state.RoleAssigned{Role: role, Person: to, From: from, Why: e.clean(v.Why)}}
	called := e.page(in, level, []string{to}, paging{byHand: true})
	if level.Due.IsZero() {
		called = called[1:] // driver, scribe: told, but no level of the policy
	}
	return e.simple(actor, open, append(facts, called...)...)
}

// onTeam reports whether a person is one of the runbook's, or of this incident; where
// the runbook names nobody, everybody is.
func (e *Engine) onTeam(in *state.Incident, name string) bool {
	if len(e.o.Runbook.People) == 0 || slices.Contains(e.names(), name) {
		return true
	}
	for _, people := range in.Rota {
		if slices.Contains(people, name) {
			return true
		}
	}
	return false
}

func (e *Engine) names() []string {
	var out []string
	for _, p := range e.o.Runbook.People {
		out = append(out, p.Name)
	}
	return out
}

// callees names whom a role's page calls: as the incident has it; for a journal that
// says nothing of it, as the runbook does.
func (e *Engine) callees(in *state.Incident, role string) []string {
	if people := in.Callees(role); len(people) > 0 {
		return people
	}
	if who := e.o.Runbook.Holder(role); who != "" {
		return []string{who}
	}
	return nil
}

// paging is how a level comes to be paged.
type paging struct{ late, byHand bool }

// page makes the facts of one page, which calls these people of its level.
func (e *Engine) page(in *state.Incident, l state.Level, people []string, how paging) []state.Fact {
	name := strings.Join(people, ", ")
	facts := []state.Fact{state.LevelPaged{Role: l.Role, Who: name, Late: how.late, AtOnce: l.AtOnce, ByHand: how.byHand}}
	audiences := []string{"pages"}
	if l.Role == state.Executives {
		audiences = append(audiences, "executives")
	}
	return append(facts, e.sayOn("page", e.pageText(in, l.Role, name), l.Channels, audiences...)...)
}

// pageText is what somebody who was asleep needs to know before anything else.
func (e *Engine) pageText(in *state.Incident, role, who string) map[string]string {
	return map[string]string{"role": role, "who": who, "step": in.Where(), "metric": in.Failing(), "rollback": in.WayBack(), "join": e.join(in)}
}

// join says how to get to the incident: it lives on this host.
func (e *Engine) join(in *state.Incident) string {
	cockpit := "mayday --incident " + in.ID
	if host := e.o.Actor.Host; host != "" {
		return "ssh " + host + ", then " + cockpit
	}
	return cockpit
}

// PageDue pages whom it is time to page. An Engine that was started does so by itself.
func (e *Engine) PageDue() { e.pageDue(e.Now()) }

// pageDue pages every level whose time has come, and again whom nobody
// acknowledged or whose ack has lapsed; after a sleep each person gets one page.
func (e *Engine) pageDue(now time.Time) {
	in := e.Incident()
	if !in.Open() || !in.Mitigated.IsZero() {
		return
	}
	var facts []state.Fact
	told := map[string]bool{}
	for _, l := range in.Levels {
		at := callAt(in, l)
		if now.Before(at) {
			continue
		}
		if !l.Acked.IsZero() {
			facts = append(facts, state.AckLapsed{Role: l.Role, By: l.AckBy, AtOnce: l.AtOnce})
		}
		late := l.Paged.IsZero() && now.Sub(at) > lateBy
		people := e.callees(in, l.Role)
		asleep := slices.DeleteFunc(slices.Clone(people), func(p string) bool { return told[p] })
		if len(people) > 0 && len(asleep) == 0 {
			facts = append(facts, state.LevelPaged{Role: l.Role, Who: strings.Join(people, ", "), Late: late, AtOnce: l.AtOnce})
			continue
		}
		for _, p := range asleep {
			told[p] = true
		}
		facts = append(facts, e.page(in, l, asleep, paging{late: late})...)
	}
	if len(facts) > 0 {
		_, _ = e.recordIf(e.mayday(), asDue(in), facts...) // tried again at the next tick of the clock
	}
}

// asDue refuses pages that an end, an ack, a sign of life or a snooze has overtaken
// since they were found due.
func asDue(then *state.Incident) func(*state.Incident) error {
	return func(in *state.Incident) error {
		same := in.Open() && in.Mitigated.IsZero() && slices.EqualFunc(in.Levels, then.Levels, func(a, b state.Level) bool {
			return a.Acked.Equal(b.Acked) && a.Alive.Equal(b.Alive) && a.Snooze.Equal(b.Snooze) && a.Paged.Equal(b.Paged)
		})
		if !same {
			return &state.Problem{Code: "overtaken", What: "the page is not due any more"}
		}
		return nil
	}
}

// nextPage gives when pageDue has something to do next.
func nextPage(in *state.Incident) (time.Time, bool) {
	if !in.Open() || !in.Mitigated.IsZero() {
		return time.Time{}, false
	}
	var next time.Time
	for _, l := range in.Levels {
		if at := callAt(in, l); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next, !next.IsZero()
}

// callAt is when a level is called next: for the first time, again as nobody has
// answered, or again as nothing was heard of who did. A snooze puts each off.
func callAt(in *state.Incident, l state.Level) time.Time {
	at := l.DueAt()
	if !l.Paged.IsZero() {
		at = l.Paged.Add(in.Policy.Again())
	}
	if lapses, acked := in.AckEnds(l); acked {
		at = lapses
	}
	if l.Snooze.After(at) {
		at = l.Snooze
	}
	return at
}

// snooze puts the pages of a level off, for at most a day.
func (e *Engine) snooze(actor state.Actor, v state.Snooze) (state.Answer, error) {
	if d := v.For.D(); d <= 0 || d > 24*time.Hour {
		return state.Answer{}, &state.Problem{What: "a snooze lasts more than nothing and at most a day"}
	}
	var levels []string
	role := e.clean(v.Role)
	for _, l := range e.Incident().Levels {
		if strings.EqualFold(l.Role, role) {
			role = l.Role
		}
		levels = append(levels, l.Role)
	}
	if !slices.Contains(levels, role) {
		slices.Sort(levels)
		return state.Answer{}, &state.Problem{Code: "usage", What: fmt.Sprintf("there is no level %q", role), Do: "There are: " + list(slices.Compact(levels)) + "."}
	}
	return e.simple(actor, open, state.LevelSnoozed{Role: role, Until: e.Now().Add(v.For.D())})
}
