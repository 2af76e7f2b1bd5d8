package steps

import (
	"fmt"
	"slices"
	"time"

	"mayday/state"
)

// rePage is how often a level that nobody acknowledged is paged again (incident time).
const rePage = 5 * time.Minute

// lateBy is how long after its time a page counts as late: the keeper slept.
const lateBy = time.Minute

// say renders a message for each channel of the audiences, as facts to be
// journaled together with what they tell of. A channel gets it once.
func (e *Engine) say(purpose string, extra map[string]string, audiences ...string) []state.Fact {
	in := e.Incident()
	var out []state.Fact
	sent := map[string]bool{}
	for _, a := range audiences {
		name := template(purpose, a)
		text, err := e.o.Messenger.Render(name, in, e.Now(), extra)
		if err != nil {
			out = append(out, state.Warned{Text: state.Clean("message " + name + " not sent: " + err.Error()), Sticky: true})
			continue
		}
		for _, ch := range e.o.Messenger.Channels(a) {
			if sent[ch] {
				continue
			}
			sent[ch] = true
			out = append(out, e.message(purpose, ch, a, text))
		}
	}
	return out
}

// template names the text for an audience: customers get their own words for what
// would otherwise tell them about war rooms.
func template(purpose, audience string) string {
	if audience == "customers" && (purpose == "update" || purpose == "declared") {
		return "customers"
	}
	return purpose
}

func (e *Engine) message(purpose, channel, audience, text string) state.MessageQueued {
	e.mu.Lock()
	defer e.mu.Unlock()
	// The event makes it unique among keepers, the count within this one.
	e.letters++
	return state.MessageQueued{ID: fmt.Sprintf("m%d-%d", e.in.Seq+1, e.letters), Channel: channel, Audience: audience,
		Purpose: purpose, Text: e.o.Redact(state.CleanLines(text))}
}

func (e *Engine) head() string {
	_, hash := e.o.Journal.Head()
	return hash
}

func (e *Engine) draftUpdate(v state.DraftUpdate) (state.Answer, error) {
	in := e.Incident()
	if v.Status != "" {
		in.Status = v.Status
	}
	if v.ETA != "" {
		in.ETA = v.ETA
	}
	text, err := e.o.Messenger.Render(template("update", v.Audience), in, e.Now(), map[string]string{"head": e.head()})
	return state.Answer{Text: text}, err
}

func (e *Engine) postUpdate(actor state.Actor, v state.PostUpdate) (state.Answer, error) {
	if v.Text == "" {
		a, err := e.draftUpdate(state.DraftUpdate{Audience: v.Audience, Status: v.Status, ETA: v.ETA})
		if err != nil {
			return a, err
		}
		v.Text = a.Text
	}
	v.Text, v.ETA = e.o.Redact(state.CleanLines(v.Text)), e.clean(v.ETA)
	in := e.Incident()
	status := in.Status
	var facts []state.Fact
	if v.Status != "" && v.Status != in.Status {
		if err := settable(v.Status); err != nil {
			return state.Answer{}, err
		}
		status = v.Status
		facts = append(facts, state.StatusChanged{To: v.Status, ETA: v.ETA})
	}
	facts = append(facts, state.UpdatePosted{Status: status, Text: v.Text, ETA: v.ETA, Head: e.head()})
	audience := v.Audience
	if audience == "" {
		audience = "stakeholders"
	}
	for _, ch := range e.o.Messenger.Channels(audience) {
		facts = append(facts, e.message("update", ch, audience, v.Text))
	}
	if it := in.Item("13.update"); it != nil && !it.Status.Settled() && it.Status != state.ItemRunning {
		facts = append(facts, state.ItemFinished{Item: "13.update", Outcome: state.ItemDone, Summary: "sent",
			Evidence: []state.Evidence{{Name: "audience", Value: audience}, {Name: "head", Value: e.head()}}})
	}
	a, err := e.simple(actor, open, facts...)
	if err == nil {
		e.checkpoint()
	}
	return a, err
}

// checkpoint signs the journal, so that the head which goes out with an update is
// signed too. A failure shows in the journal's state.
func (e *Engine) checkpoint() {
	e.turn <- struct{}{}
	defer e.pass()
	if e.flush() != nil {
		return
	}
	if events, err := e.o.Journal.Checkpoint(e.Now()); err == nil {
		e.apply(events)
	} else {
		e.tellJournal(err.Error())
	}
}

// settable says which statuses a person may set by an update: the ends have their
// own intents.
func settable(s state.Status) error {
	switch s {
	case state.Investigating, state.Identified, state.Fixing, state.Monitoring:
		return nil
	}
	return &state.Problem{What: fmt.Sprintf("status %q cannot be set by an update", s),
		Do: "Use investigating, identified, fixing or monitoring; to end the incident, resolve it."}
}

func (e *Engine) ack(actor state.Actor, role string) (state.Answer, error) {
	in := e.Incident()
	var facts []state.Fact
	for _, l := range in.Levels {
		if !l.Paged.IsZero() && l.Acked.IsZero() && (role == "" || role == l.Role) {
			facts = append(facts, state.LevelAcked{Role: l.Role})
		}
	}
	if len(facts) == 0 {
		return state.Answer{}, &state.Problem{What: "no page waits for an acknowledgement"}
	}
	return e.simple(actor, open, facts...)
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
	level := state.Level{Role: role, Who: e.o.Runbook.Holder(role)}
	for _, l := range in.Levels {
		if l.Role == role && (level.AtOnce || level.Due.IsZero()) {
			level = l // the level itself, not a second one beside it; the later of two
		}
	}
	return e.simple(actor, open, e.page(in, level, false, true)...)
}

// callee names whom a level calls: who has the role in this incident, else the rota's.
func (e *Engine) callee(l state.Level) string {
	if l.Who != "" {
		return l.Who
	}
	return e.o.Runbook.Holder(l.Role)
}

// page makes the facts of one page.
func (e *Engine) page(in *state.Incident, l state.Level, late, byHand bool) []state.Fact {
	name := e.callee(l)
	facts := []state.Fact{state.LevelPaged{Role: l.Role, Who: name, Late: late, AtOnce: l.AtOnce, ByHand: byHand}}
	return append(facts, e.say("page", map[string]string{"role": l.Role, "who": name}, "pages")...)
}

// pageDue pages every level whose time has come, and again whom nobody
// acknowledged; after a sleep each person gets one page.
func (e *Engine) pageDue(now time.Time) {
	in := e.Incident()
	if !in.Open() || !in.Mitigated.IsZero() {
		return
	}
	var facts []state.Fact
	told := map[string]bool{}
	for _, l := range in.Levels {
		again := !l.Paged.IsZero() && l.Acked.IsZero() && !now.Before(l.Paged.Add(rePage)) && !now.Before(l.Snooze)
		first := l.Paged.IsZero() && !now.Before(l.DueAt())
		if !first && !again {
			continue
		}
		late := first && now.Sub(l.DueAt()) > lateBy
		who := e.callee(l)
		if who != "" && told[who] {
			facts = append(facts, state.LevelPaged{Role: l.Role, Who: who, Late: late, AtOnce: l.AtOnce})
			continue
		}
		told[who] = true
		facts = append(facts, e.page(in, l, late, false)...)
	}
	if len(facts) > 0 {
		_, _ = e.recordIf(e.mayday(), asDue(in), facts...) // tried again at the next tick of the clock
	}
}

// asDue refuses pages that an end, an ack or a snooze has overtaken since they were
// found due.
func asDue(then *state.Incident) func(*state.Incident) error {
	return func(in *state.Incident) error {
		same := in.Open() && in.Mitigated.IsZero() && slices.EqualFunc(in.Levels, then.Levels, func(a, b state.Level) bool {
			return a.Acked.Equal(b.Acked) && a.Snooze.Equal(b.Snooze) && a.Paged.Equal(b.Paged)
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
		at := l.DueAt()
		if !l.Paged.IsZero() {
			if !l.Acked.IsZero() {
				continue
			}
			at = l.Paged.Add(rePage)
			if l.Snooze.After(at) {
				at = l.Snooze
			}
		}
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next, !next.IsZero()
}
