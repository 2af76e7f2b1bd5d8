package ui

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"mayday/state"
	"mayday/ui/dialog"
	"mayday/ui/theme"
)

// open puts a dialog on top.
func (m *Model) open(spec dialog.Spec, submit func(map[string]string) tea.Cmd) *modal {
	d := &modal{Dialog: dialog.New(m.t, spec), submit: submit}
	m.modal = d
	return d
}

// closeModal takes the dialog away; a page that waited may pop up now.
func (m *Model) closeModal() tea.Cmd {
	m.modal = nil
	return m.popup()
}

func (m *Model) modalKey(k tea.KeyPressMsg) tea.Cmd {
	d := m.modal
	if do := d.quick[k.String()]; do != nil && !d.Guarded(m.real) {
		return tea.Batch(m.closeModal(), do())
	}
	switch d.Key(k, m.real) {
	case dialog.Cancelled:
		return m.closeModal()
	case dialog.Submitted:
		values := d.Values()
		cmd := m.closeModal()
		if d.submit == nil {
			return cmd
		}
		return tea.Batch(cmd, d.submit(values))
	}
	if d.change != nil {
		return d.change(d.Values())
	}
	return nil
}

// enter does the obvious thing.
func (m *Model) enter() tea.Cmd {
	switch m.tab {
	case tabList:
	case tabTimeline:
		m.panes.timeline.Open() // the facts of the event under the cursor
		return nil
	default:
		return m.zoomPane()
	}
	it := m.list.Selected(m.scene)
	if it == nil {
		m.say(toneInfo, "nothing is left to do")
		return nil
	}
	if m.replay() || m.ended || !m.scene.Incident.Open() {
		return m.details()
	}
	return m.enterItem(it)
}

func (m *Model) enterItem(it *state.Item) tea.Cmd {
	in := m.scene.Incident
	r := in.Waiting()
	switch {
	case m.shut(it):
		return m.attempt()
	case r != nil && r.Item == it.ID:
		return m.goOn()
	case it.Status == state.ItemRunning && it.ID != state.ItemMonitor:
		m.zoom, m.visit = true, true
		if r := in.Current(); r != nil && r.Item == it.ID {
			m.tab = tabRollout
		} else {
			m.tab = tabOutput
		}
		return nil
	case it.Status.Settled(), it.Status == state.ItemRunning:
		return m.details()
	}
	if b := in.Blocker(it); b != nil {
		m.say(toneWarn, fmt.Sprintf("%s waits for %s, which is %s; X overrides that one", it.Title, b.Title, b.Status))
		return nil
	}
	switch {
	case it.ID == "1.decision":
		return m.decide(it)
	case it.ID == "13.update":
		return m.update()
	case it.ID == "18.cause":
		return m.resolve(it)
	case it.Kind == state.SignOff:
		return m.sign()
	case it.Kind == state.Check:
		return m.answer(it)
	case it.Changes:
		return m.confirm(it, nil)
	}
	return m.run(it.ID, nil)
}

// shut reports whether the item belongs to an attempt that was rolled back: only
// the next attempt can do it again.
func (m *Model) shut(it *state.Item) bool {
	no, err := strconv.Atoi(strings.SplitN(it.ID, ".", 2)[0])
	return err == nil && no >= 3 && no <= 15 && !it.Status.Settled() && whyNoAttempt(m) == ""
}

// named is an item as a dialog's title names it.
func named(it *state.Item) string {
	no, _, _ := strings.Cut(it.ID, ".")
	return "Step " + no + ": " + it.Title
}

func (m *Model) run(id string, values map[string]string) tea.Cmd {
	if it := m.scene.Incident.Item(id); it != nil {
		m.say(toneInfo, "starting: "+it.Title+"…")
	}
	return m.ask(state.Run{Item: id, Values: values}, func(_ state.Answer, err error) tea.Cmd {
		m.said = said{}
		if err != nil {
			m.refused(err)
		}
		return nil
	})
}

// check ticks an item, or takes its tick back.
func (m *Model) check() tea.Cmd {
	it := m.list.Selected(m.scene)
	if it.Status == state.ItemDone {
		return m.do(state.Untick{Item: it.ID})
	}
	return m.enterItem(it)
}

// answer ticks a check, asking for words where it wants some.
func (m *Model) answer(it *state.Item) tea.Cmd {
	if it.Ask == "" {
		return m.do(state.Tick{Item: it.ID})
	}
	id := it.ID
	f := dialog.Field{Name: "value", Label: "Answer", Value: it.Value, Required: true}
	intro := []string{it.Ask}
	if len(it.Options) > 0 {
		f.Kind = dialog.Choice
		f.Options = options(it)
		if id == "1.severity" {
			f.Value, intro = m.scene.Incident.Severity.String(), []string{"How bad is it? In doubt, the worse one; it can be changed with S."}
		}
	}
	m.open(dialog.Spec{Title: named(it), Intro: append(intro, notEmpty(it.Help)...), Fields: []dialog.Field{f}, Button: "save"},
		func(v map[string]string) tea.Cmd { return m.do(state.Tick{Item: id, Value: v["value"]}) })
	return nil
}

// options are an item's answers, with guidance where there is some.
func options(it *state.Item) []dialog.Option {
	var out []dialog.Option
	for _, o := range it.Options {
		opt := dialog.Option{Value: o}
		if s, err := state.ParseSeverity(o); err == nil && strings.HasPrefix(o, "SEV") {
			opt.Help = s.Guidance()
		}
		opt.Help += map[string]string{
			"canary":     "a little traffic first, more as the gates hold",
			"blue-green": "tried on the idle colour, then all traffic at once",
			"rolling":    "pod by pod, with a gate after each batch",
			"script":     "the team's own commands",
			"hotfix":     "it cannot wait: go on with step 2",
			"normal":     "the normal release process will do; ends this incident",
			"wait":       "it can wait; ends this incident",
			"immediate":  "all at once",
		}[o]
		out = append(out, opt)
	}
	return out
}

func notEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func (m *Model) decide(it *state.Item) tea.Cmd {
	intro := []string{it.Ask}
	if m.scene.Incident.Policy.Offer {
		intro = append(intro, "At "+m.scene.Incident.Severity.String()+" the normal release process is usually better.")
	}
	m.open(dialog.Spec{Title: named(it), Intro: intro, Button: "decide", Fields: []dialog.Field{
		{Name: "choice", Label: "Decision", Kind: dialog.Choice, Options: options(it)},
		{Name: "why", Label: "Why", Hint: "one sentence, for those who ask later"},
	}}, func(v map[string]string) tea.Cmd { return m.do(state.Decide{Choice: v["choice"], Rationale: v["why"]}) })
	return nil
}

func (m *Model) resolve(it *state.Item) tea.Cmd {
	m.open(dialog.Spec{Title: "Root cause; the incident is resolved", Button: "resolve",
		Intro: []string{it.Ask, "This tells everybody that it is over."}, Fields: []dialog.Field{
			{Name: "cause", Label: "Root cause", Required: true},
			{Name: "items", Label: "Action items", Hint: "add validation @bob by 2026-12-01; next one"},
			{Name: "override", Label: "Only if a probe is not ok: why it may end all the same"},
		}}, func(v map[string]string) tea.Cmd {
		var items []string
		for _, s := range strings.Split(v["items"], ";") {
			items = append(items, notEmpty(strings.TrimSpace(s))...)
		}
		return m.do(state.Resolve{RootCause: v["cause"], ActionItems: items, Override: v["override"]})
	})
	return nil
}

// confirm shows the exact commands before anything changes.
func (m *Model) confirm(it *state.Item, values map[string]string) tea.Cmd {
	id := it.ID
	intro := append(notEmpty(it.Help), "This changes something. Exactly this will run:")
	d := m.open(dialog.Spec{Title: named(it), Wide: true, Intro: intro, Button: "run it",
		Danger: strings.HasPrefix(id, "10.")}, func(map[string]string) tea.Cmd { return m.run(id, values) })
	d.Wait("asking what would run")
	return m.fill(d, id, values)
}

// fill puts an item's preview into a dialog. One that failed cannot be submitted.
func (m *Model) fill(d *modal, id string, values map[string]string) tea.Cmd {
	return m.ask(state.Preview{Item: id, Values: values}, func(a state.Answer, err error) tea.Cmd {
		if m.modal != d {
			return nil // closed meanwhile
		}
		if err != nil {
			d.SetIntro("This cannot run now:")
			d.SetBody(troubled(err))
			d.Refuse()
			return nil
		}
		d.Wait("")
		d.SetBody(previewed(a))
		return nil
	})
}

func troubled(err error) []dialog.Line {
	p := problem(err)
	lines := []dialog.Line{{Tone: dialog.Alarm, Text: p.What}}
	for _, s := range []string{p.Why, p.Do} {
		if s != "" {
			lines = append(lines, dialog.Line{Text: s})
		}
	}
	return lines
}

// previewed lays an answer out: the commands, then the diff or message.
func previewed(a state.Answer) []dialog.Line {
	var out []dialog.Line
	for _, l := range a.Lines {
		out = append(out, dialog.Line{Tone: dialog.Command, Text: l})
	}
	if text := strings.TrimRight(a.Text, "\n"); text != "" {
		if len(out) > 0 {
			out = append(out, dialog.Line{})
		}
		tone := dialog.Plain // a message, to be read
		if strings.Contains(text, "\n@@ ") {
			tone = dialog.Diff
		}
		for _, l := range strings.Split(text, "\n") {
			out = append(out, dialog.Line{Tone: tone, Text: l})
		}
	}
	if len(out) == 0 {
		out = []dialog.Line{{Tone: dialog.Quiet, Text: "(it runs inside mayday; there is no command to type)"}}
	}
	return out
}

func (m *Model) note() tea.Cmd {
	m.open(dialog.Spec{Title: "Note", Intro: []string{"Kept in the timeline for good."}, Button: "save",
		Fields: []dialog.Field{{Name: "text", Label: "Note", Required: true}}},
		func(v map[string]string) tea.Cmd { return m.do(state.AddNote{Text: v["text"]}) })
	return nil
}

func (m *Model) override() tea.Cmd {
	it := m.list.Selected(m.scene)
	id := it.ID
	m.open(dialog.Spec{Title: "Override " + named(it), Danger: true, Button: "override",
		Intro:  []string{"The item is passed over without being done. It stays red, with your name and reason, in the report too."},
		Fields: []dialog.Field{{Name: "reason", Label: "Reason", Required: true}}},
		func(v map[string]string) tea.Cmd { return m.do(state.PassOver{Item: id, Reason: v["reason"]}) })
	return nil
}

func (m *Model) sign() tea.Cmd {
	in := m.scene.Incident
	it := signOff(in)
	// What is signed is what was on this screen when the dialog opened.
	id, me, commit := it.ID, m.scene.Hello.You.User, in.Facts["commit"]
	intro := []string{"Commit " + theme.Cut(commit, 8) + ". Read it for correctness and security, not for style."}
	spec := dialog.Spec{Title: named(it), Wide: true, Intro: intro, Button: "sign", Fields: []dialog.Field{
		{Name: "verdict", Label: "Verdict", Kind: dialog.Choice, Options: []dialog.Option{{Value: "approve"}, {Value: "reject"}}},
		{Name: "comment", Label: "Comment"},
	}, Check: func(v map[string]string) string {
		return unless(v["verdict"] == "approve" || v["comment"] != "", "a rejection needs a comment: what must change?")
	}}
	how := "from their own account: mayday approve --incident " + in.ID
	if file := in.Facts["review.signers"]; file != "" {
		how = "by an SSH signature with a key of " + file + ", made anywhere: mayday approve --incident " + in.ID +
			" --statement prints what is signed, --import takes it in"
		spec.Intro = append([]string{"It is approved " + how + ". Here it can be rejected."}, intro...)
		spec.Button, spec.Fields[0].Options = "reject", spec.Fields[0].Options[1:]
	}
	own := false
	if c := in.Item("6.commit"); c != nil && me != "" && c.By == me {
		own = true
		spec.Fields, spec.Button = nil, ""
		spec.Intro = append([]string{"You (" + me + ") committed this change, so somebody else must sign it, " + how +
			". With nobody awake, X overrides the sign-off with a reason."}, intro...)
	}
	d := m.open(spec, func(v map[string]string) tea.Cmd {
		return m.do(state.Sign{Item: id, Commit: commit, Comment: v["comment"], Reject: v["verdict"] == "reject"})
	})
	d.Wait("fetching the change")
	return m.ask(state.Preview{Item: id}, func(a state.Answer, err error) tea.Cmd {
		d.Wait("")
		switch {
		case m.modal != d:
		case err != nil && !own:
			d.SetBody(append(troubled(err), dialog.Line{Text: "The diff cannot be shown, so there is nothing to sign here."}))
			d.Refuse()
		case err != nil:
			d.SetBody(troubled(err))
		default:
			d.SetBody(previewed(a))
		}
		return nil
	})
}

func (m *Model) severity() tea.Cmd {
	in := m.scene.Incident
	var opts []dialog.Option
	for s := state.Severity(0); s <= 3; s++ {
		opts = append(opts, dialog.Option{Value: s.String(), Help: s.Guidance()})
	}
	m.open(dialog.Spec{Title: "Severity", Intro: []string{"Another severity pages other people and sets other clocks."}, Button: "change",
		Fields: []dialog.Field{{Name: "to", Label: "Severity", Kind: dialog.Choice, Options: opts, Value: in.Severity.String()},
			{Name: "why", Label: "Why"}}},
		func(v map[string]string) tea.Cmd {
			to, err := state.ParseSeverity(v["to"])
			if err != nil {
				m.refused(err)
				return nil
			}
			return m.do(state.SetSeverity{To: to, Reason: v["why"]})
		})
	return nil
}

func (m *Model) attempt() tea.Cmd {
	m.open(dialog.Spec{Title: "New attempt", Button: "open it", Intro: []string{
		fmt.Sprintf("Attempt %d was closed. Attempt %d goes through steps 3 to 15 again, with fresh items, approvals and version.",
			m.scene.Incident.Attempt, m.scene.Incident.Attempt+1)}},
		func(map[string]string) tea.Cmd { return m.do(state.NewAttempt{}) })
	return nil
}

func (m *Model) cancel() tea.Cmd {
	it := m.running()
	id := it.ID
	intro := []string{"The action is told to stop; what it has done stays, and it can be run again."}
	if r := m.scene.Incident.Current(); r != nil && r.Item == id {
		intro = []string{"The rollout stops where it is: traffic stays as it is now. g goes on with it; R takes it back instead."}
	}
	m.open(dialog.Spec{Title: "Cancel " + named(it), Danger: true, Intro: intro, Button: "cancel the action"},
		func(map[string]string) tea.Cmd { return m.do(state.Cancel{Item: id}) })
	return nil
}

// goOn shows what is true in the cluster now, and lets the rollout go on.
func (m *Model) goOn() tea.Cmd {
	r := m.scene.Incident.Waiting()
	word, _ := m.t.Rollout(r.Status)
	at := r.StageName() // what is read here: a colleague may answer first, and the next stage ask
	intro := []string{"The rollout of " + r.Version + " to " + r.Environment + " is " + word + "."}
	var fields []dialog.Field
	opts := []dialog.Option{{Value: "on", Label: "go on", Help: "from where it stands; the gate looks again, and asks again if it must"}}
	if r.Status == state.RolloutAsking {
		intro = append([]string{"The rollout of " + r.Version + " to " + r.Environment + " is paused at " + r.StageName() +
			": the gate does not know enough and asks you."}, r.Gate.Reasons...)
		opts = append(opts, dialog.Option{Value: "accept", Label: "accept", Help: "pass this gate on my word; needs a reason"})
		fields = []dialog.Field{{Name: "how", Label: "How", Kind: dialog.Choice, Options: opts}, {Name: "why", Label: "Reason", Hint: "needed to accept"}}
	}
	if r.Problem != nil {
		intro = append(intro, r.Problem.Error())
	}
	back := "Instead, R takes everything back (ctrl+r while typing)."
	if !r.Production {
		back = "esc leaves it as it stands."
	}
	d := m.open(dialog.Spec{Title: "Go on with the rollout?", Wide: true, Intro: append(intro, back), Button: "go on",
		Fields: fields,
		Check: func(v map[string]string) string {
			return unless(v["how"] != "accept" || v["why"] != "", "passing a gate on your word needs a reason")
		}}, func(v map[string]string) tea.Cmd {
		return m.do(state.GoOn{Accept: v["how"] == "accept", Reason: v["why"], Stage: at})
	})
	d.SetBody([]dialog.Line{{Tone: dialog.Quiet, Text: "looking at the cluster…"}})
	return m.ask(state.Preview{Item: r.Item}, func(a state.Answer, err error) tea.Cmd {
		switch {
		case m.modal != d:
		case err != nil:
			d.SetBody(append([]dialog.Line{{Tone: dialog.Alarm, Text: "what is true in the cluster now could not be read:"}}, troubled(err)...))
		default:
			d.SetBody(previewed(state.Answer{Text: a.Text}))
		}
		return nil
	})
}

// spanOf says how long an item took.
func spanOf(it *state.Item, now time.Time) string {
	end := it.Ended
	if end.IsZero() {
		end = now
	}
	return theme.Span(end.Sub(it.Started))
}
