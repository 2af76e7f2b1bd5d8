package state

import (
	"fmt"
	"slices"
	"time"
)

// Phase is a stretch of a playbook: what has to be done between two times after the
// declaration.
type Phase struct {
	Name string   `json:"name" yaml:"name"`
	From Duration `json:"from,omitempty" yaml:"from"` // after the declaration
	By   Duration `json:"by,omitempty" yaml:"by"`     // after the declaration; 0: no end
	Do   []Play   `json:"do" yaml:"do"`
}

// Play is one thing of a phase. A person ticks it, or it is settled by itself as soon as
// one of Items is.
type Play struct {
	Title string   `json:"title" yaml:"title"`
	Items []string `json:"items,omitempty" yaml:"items"` // of the checklist, such as 10.deploy; or PlayPages
}

// PlayPages stands for an item that is settled when everybody who is called at the
// declaration was paged.
const PlayPages = "pages"

// PhaseState is a Phase in an incident, by its clock.
type PhaseState struct {
	Name  string
	Items []Item    // checks with the IDs p1.1, p1.2 … of the first phase
	From  time.Time // due from here on
	Due   time.Time // zero: no end

	with [][]string // by item: what settles it
}

// Settled counts the items that are.
func (p *PhaseState) Settled() int {
	n := 0
	for i := range p.Items {
		if p.Items[i].Status.Settled() {
			n++
		}
	}
	return n
}

// Late reports whether the phase is over and something of it is not done.
func (p *PhaseState) Late(now time.Time) bool {
	return !p.Due.IsZero() && now.After(p.Due) && p.Settled() < len(p.Items)
}

// Phase gives the playbook's phase that an item is of, nil where it is of none.
func (in *Incident) Phase(item string) *PhaseState {
	for i := range in.Playbook {
		if slices.ContainsFunc(in.Playbook[i].Items, func(it Item) bool { return it.ID == item }) {
			return &in.Playbook[i]
		}
	}
	return nil
}

// NextPhase gives the first phase with something that is not done, nil where all is.
func (in *Incident) NextPhase() *PhaseState {
	for i := range in.Playbook {
		if p := &in.Playbook[i]; p.Settled() < len(p.Items) {
			return p
		}
	}
	return nil
}

// playbook lays a policy's playbook down, counted from the declaration. What was
// settled under the same words stays so.
func (in *Incident) playbook(phases []Phase) {
	old := map[string]Item{}
	for _, p := range in.Playbook {
		for _, it := range p.Items {
			old[p.Name+"\x00"+it.Title] = it
		}
	}
	in.Playbook = nil
	for i, p := range phases {
		s := PhaseState{Name: p.Name, From: in.Declared.Add(p.From.D())}
		if p.By > 0 {
			s.Due = in.Declared.Add(p.By.D())
		}
		for j, play := range p.Do {
			it := Item{Kind: Check, Title: play.Title, Status: ItemOpen}
			if was, ok := old[p.Name+"\x00"+play.Title]; ok {
				it = was
			}
			it.ID = fmt.Sprintf("p%d.%d", i+1, j+1)
			s.Items, s.with = append(s.Items, it), append(s.with, play.Items)
		}
		in.Playbook = append(in.Playbook, s)
	}
}

// played settles what of the playbook an event settles.
func (in *Incident) played(e Event) {
	switch e.Fact.(type) {
	case Declared, SeverityChanged, LevelPaged, ItemFinished, ItemChecked, ItemSigned, ItemPassedOver, ItemUnneeded:
	default:
		return
	}
	for i := range in.Playbook {
		p := &in.Playbook[i]
		for j := range p.Items {
			if it := &p.Items[j]; it.Status == ItemOpen {
				for _, id := range p.with[j] {
					in.settle(it, id, e)
				}
			}
		}
	}
}

// settle settles an item of the playbook if what it goes with is.
func (in *Incident) settle(it *Item, with string, e Event) {
	if with == PlayPages {
		waits := slices.ContainsFunc(in.Levels, func(l Level) bool { return l.AtOnce && l.Paged.IsZero() })
		if any := slices.ContainsFunc(in.Levels, func(l Level) bool { return l.AtOnce }); any && !waits {
			it.Status, it.By, it.Started, it.Ended, it.Summary = ItemDone, who(e), e.Time, e.Time, "paged"
		}
		return
	}
	if of := in.Item(with); of != nil && (of.Status == ItemDone || of.Status == ItemOverridden) {
		it.Status, it.By, it.Started, it.Ended, it.Summary = of.Status, of.By, e.Time, e.Time, "with "+of.ID+" "+of.Title
	}
}

// defaultPlaybook is what a complete outage asks for, beside the checklist.
func defaultPlaybook() []Phase {
	m := func(n int) Duration { return Duration(n) * 60e9 }
	return []Phase{
		{Name: "Immediate actions", By: m(5), Do: []Play{
			{Title: "Declare it in the incident channel", Items: []string{"2.notify"}},
			{Title: "Page on-call and engineering manager", Items: []string{PlayPages}},
			{Title: "Status page: investigating disruption"},
			{Title: "Assemble the team in the war room"},
			{Title: "Begin the incident timeline", Items: []string{"2.open"}},
		}},
		{Name: "Investigation", From: m(5), By: m(15), Do: []Play{
			{Title: "Check dashboards for anomalies"},
			{Title: "Review recent deployments, changes"},
			{Title: "Analyze error logs, stack traces"},
			{Title: "Test critical journeys manually"},
			{Title: "Identify a root cause hypothesis"},
		}},
		{Name: "Mitigation", From: m(15), By: m(30), Do: []Play{
			{Title: "Implement emergency fix or rollback", Items: []string{"6.commit", "14.rollback"}},
			{Title: "Fast-track the hotfix", Items: []string{"7.push", "14.rollback"}},
			{Title: "Verify the fix in staging", Items: []string{"8.probes", "14.rollback"}},
			{Title: "Deploy to production, monitored", Items: []string{"10.deploy", "14.rollback"}},
			{Title: "Confirm that service is restored", Items: []string{"10.validate", "14.rollback"}},
		}},
		{Name: "Recovery", From: m(30), Do: []Play{
			{Title: "Status page: service restored"},
			{Title: "Write to customers"},
			{Title: "Monitor for 2 hours at least", Items: []string{ItemMonitor}},
			{Title: "Post-mortem within 48 hours", Items: []string{"18.review"}},
			{Title: "Document action items, learnings", Items: []string{"18.actions"}},
		}},
	}
}
