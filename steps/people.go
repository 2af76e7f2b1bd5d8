package steps

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"mayday/state"
)

// say renders a message for each channel of the audiences, as facts to be
// journaled together with what they tell of. A channel gets it once.
func (e *Engine) say(purpose string, extra map[string]string, audiences ...string) []state.Fact {
	return e.sayOn(purpose, extra, nil, audiences...)
}

// sayOn is say on these channels, where any are named, instead of the audiences' own.
func (e *Engine) sayOn(purpose string, extra map[string]string, channels []string, audiences ...string) []state.Fact {
	return e.sayOf(e.Incident(), purpose, extra, channels, audiences...)
}

// sayOf is sayOn in words for an incident as it will be, once what is about to be
// journaled is.
func (e *Engine) sayOf(in *state.Incident, purpose string, extra map[string]string, channels []string, audiences ...string) []state.Fact {
	var out []state.Fact
	sent := map[string]bool{}
	extra = maps.Clone(extra)
	if extra == nil {
		extra = map[string]string{}
	}
	extra["head"] = e.head()
	for _, a := range audiences {
		text, err := e.o.Messenger.Render(purpose, a, in, e.Now(), extra)
		if err != nil {
			out = append(out, state.Warned{Text: state.Clean("message " + purpose + " not sent: " + err.Error()), Sticky: true})
			continue
		}
		on := channels
		if len(on) == 0 {
			on = e.o.Messenger.Channels(a)
		}
		for _, ch := range on {
			if sent[ch] {
				continue
			}
			sent[ch] = true
			m := e.message(purpose, ch, a, text)
			m.Role, m.Who = extra["role"], extra["who"]
			out = append(out, m)
		}
	}
	return out
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
	text, err := e.o.Messenger.Render("update", v.Audience, in, e.Now(), map[string]string{"head": e.head()})
	return state.Answer{Text: text}, err
}

func (e *Engine) postUpdate(actor state.Actor, v state.PostUpdate) (state.Answer, error) {
	audiences := []string{cmp.Or(v.Audience, "stakeholders")}
	if v.Audience == state.Everybody {
		audiences = []string{"stakeholders", "team", "customers", "executives"}
	}
	texts := map[string]string{}
	for _, audience := range audiences {
		texts[audience] = v.Text
		if v.Text == "" {
			a, err := e.draftUpdate(state.DraftUpdate{Audience: audience, Status: v.Status, ETA: v.ETA})
			if err != nil {
				return a, err
			}
			texts[audience] = a.Text
		}
		texts[audience] = e.o.Redact(state.CleanLines(texts[audience]))
	}
	v.Text, v.ETA = texts[audiences[0]], e.clean(v.ETA)
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
	var on []string // its channels, each once
	for _, audience := range audiences {
		for _, ch := range e.o.Messenger.Channels(audience) {
			if !slices.Contains(on, ch) {
				on = append(on, ch)
				facts = append(facts, e.message("update", ch, audience, texts[audience]))
			}
		}
	}
	if it := in.Item("13.update"); len(on) > 0 && it != nil && !it.Status.Settled() && it.Status != state.ItemRunning {
		facts = append(facts, state.ItemFinished{Item: "13.update", Outcome: state.ItemDone, Summary: "sent",
			Evidence: []state.Evidence{{Name: "audience", Value: list(audiences)}, {Name: "head", Value: e.head()}}})
	}
	a, err := e.simple(actor, open, facts...)
	if err == nil {
		e.checkpoint()
		a.Lines = on
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
	return &state.Problem{Code: "usage", What: fmt.Sprintf("status %q cannot be set by an update", s),
		Do: "Use investigating, identified, fixing or monitoring; to end the incident, resolve it."}
}
