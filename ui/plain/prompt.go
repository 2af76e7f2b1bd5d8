package plain

import (
	"fmt"
	"strings"

	"mayday/state"
)

// prompt says what comes next, with numbered answers, once per item.
func (r *runner) prompt() {
	in := r.scene.Incident
	if in.ID == "" || r.want != nil && !r.offering {
		return // words are being asked for
	}
	id := ""
	it := in.Next()
	if w := in.Waiting(); w != nil {
		it = in.Item(w.Item)
	}
	if it != nil && it.Status != state.ItemRunning {
		id = fmt.Sprintf("%s/%d/%s", it.ID, in.Attempt, it.Status)
	}
	if r.offering && id != r.asked { // somebody else settled what was asked here
		r.want, r.offering = nil, false
	}
	if id == "" || id == r.asked || !in.Open() {
		return
	}
	r.asked = id
	r.offer(it)
}

// choice is one numbered answer.
type choice struct {
	label string
	do    func()
}

// offer prints an item and its numbered answers, and keeps what each would do.
func (r *runner) offer(it *state.Item) {
	in := r.scene.Incident
	r.print("")
	r.print("Next: step %s, %s. Status: %s. %s%s", it.ID, it.Title, it.Status, it.Help, it.Ask)
	if it.Problem != nil {
		r.print("It failed: %v", it.Problem)
	}
	choices := r.choices(in, it)
	for i, c := range choices {
		r.print("  %d. %s", i+1, c.label)
	}
	r.offering = true
	r.want = func(line string) {
		r.offering = false
		var n int
		if _, err := fmt.Sscanf(line, "%d", &n); err != nil || n < 1 || n > len(choices) {
			r.print("Type a number from 1 to %d, or help.", len(choices))
			r.want, r.asked = nil, ""
			r.prompt()
			return
		}
		r.want = nil
		choices[n-1].do()
	}
}

func (r *runner) choices(in *state.Incident, it *state.Item) []choice {
	id := it.ID
	var out []choice
	add := func(label string, do func()) { out = append(out, choice{label, do}) }
	w := in.Waiting()
	switch {
	case w != nil && w.Item == id:
		add("go on with the rollout", func() { r.do(state.GoOn{}) })
		if w.Status == state.RolloutAsking {
			at := w.StageName()
			r.print("The gate asks: %s", strings.Join(w.Gate.Reasons, "; "))
			add("accept: let the gate pass on your word", r.words("Reason", func(s string) { r.do(state.GoOn{Accept: true, Reason: s, Stage: at}) }))
		}
		add("look at the cluster", func() { r.show(id) })
	case it.Kind == state.SignOff:
		commit := in.Facts["commit"]
		add("show the change", func() { r.show(id) })
		add("approve it", r.words("Comment", func(s string) { r.do(state.Sign{Item: id, Commit: commit, Comment: s}) }))
		add("reject it", r.words("What must change", func(s string) { r.do(state.Sign{Item: id, Commit: commit, Comment: s, Reject: true}) }))
	case it.Kind == state.Action:
		add("run it", func() { r.run(it) })
		add("show what it would do", func() { r.show(id) })
	case len(it.Options) > 0:
		for _, o := range it.Options {
			add(o, func() { r.do(state.Tick{Item: id, Value: o}) })
		}
	case it.Ask != "":
		add("answer", r.words("Answer", func(s string) { r.do(state.Tick{Item: id, Value: s}) }))
	default:
		add("done", func() { r.do(state.Tick{Item: id}) })
	}
	add("override it, with a reason", r.words("Reason", func(s string) { r.do(state.PassOver{Item: id, Reason: s}) }))
	return out
}

// words asks for a line and gives it to f.
func (r *runner) words(label string, f func(string)) func() {
	return func() {
		r.print("%s (one line, then enter; an empty line leaves):", label)
		r.want = func(line string) {
			r.want = nil
			if strings.TrimSpace(line) == "" {
				r.asked = ""
				r.prompt()
				return
			}
			f(strings.TrimSpace(line))
		}
	}
}

func (r *runner) show(id string) {
	r.ask(state.Preview{Item: id}, func(a state.Answer) {
		for _, l := range a.Lines {
			r.print("  command: %s", state.Clean(l))
		}
		for _, l := range strings.Split(strings.TrimRight(state.CleanLines(a.Text), "\n"), "\n") {
			r.print("  %s", l)
		}
		r.asked = ""
	})
}

// run shows the commands of what changes something and asks once more.
func (r *runner) run(it *state.Item) {
	id := it.ID
	if !it.Changes {
		r.do(state.Run{Item: id})
		return
	}
	r.ask(state.Preview{Item: id}, func(a state.Answer) {
		r.print("This will run:")
		for _, l := range a.Lines {
			r.print("  %s", state.Clean(l))
		}
		r.print("  1. run it")
		r.print("  2. leave it")
		r.want = func(line string) {
			r.want = nil
			if strings.TrimSpace(line) == "1" {
				r.do(state.Run{Item: id})
				return
			}
			r.asked = ""
			r.prompt()
		}
	})
}

const help = `Commands: a number answers the question. next asks again. R rolls back, fire runs it now, c stops it.
note TEXT, update TEXT, ack, escalate, status, playbook, goto ITEM, attempt (after a rollback), help, quit.`

// line takes a typed line. R works whatever is being asked.
func (r *runner) line(line string) {
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	rest = strings.TrimSpace(rest)
	switch {
	case line == "R" || line == "rollback":
		r.rollback(state.Arm{Trigger: "R"})
		return
	case r.scene.Incident.Rollback.Status == state.RollbackArmed && (line == "c" || line == "esc"):
		r.do(state.Disarm{})
		return
	case r.scene.Incident.Rollback.Status == state.RollbackArmed && (line == "fire" || line == ""):
		r.rollback(state.Fire{Trigger: "R"})
		return
	case r.want != nil && (word == "" || !isCommand(word) || rest != ""):
		r.want(line)
		return
	}
	r.command(word, rest)
	r.prompt()
}

func isCommand(w string) bool {
	switch w {
	case "help", "quit", "status", "playbook", "next", "ack", "escalate", "attempt":
		return true
	}
	return false
}

func (r *runner) command(word, rest string) {
	switch word {
	case "":
	case "help":
		r.print(help)
	case "quit":
		r.quit = true
	case "next":
		r.want, r.asked = nil, ""
	case "note":
		r.do(state.AddNote{Text: rest})
	case "update":
		r.do(state.PostUpdate{Text: rest})
	case "ack":
		r.do(state.Ack{Role: rest})
	case "escalate":
		r.do(state.Escalate{Role: rest})
	case "attempt":
		r.do(state.NewAttempt{})
	case "status":
		r.status()
	case "playbook":
		r.playbook()
	case "goto":
		if it := r.scene.Incident.Item(rest); it != nil {
			r.want = nil
			r.offer(it)
			return
		}
		r.print("There is no item %q.", rest)
	default:
		r.print("%q is not a command. Type help.", word)
	}
}

func (r *runner) status() {
	in := r.scene.Incident
	now := r.scene.Hello.Clock.At(r.o.Now())
	r.print("%s, %s, %s, %s. %d of %d steps done. Open for %s.", in.ID, in.Severity, in.Title, in.Status, in.Done(), len(in.Steps), state.Duration(in.Elapsed(now).Truncate(1e9)))
	if l, ok := in.NextEscalation(); ok {
		r.print("The %s is paged in %s.", l.Role, state.Duration(l.DueAt().Sub(now).Truncate(1e9)))
	}
	if due, ok := in.NextUpdate(); ok {
		r.print("The next status update is due in %s.", state.Duration(due.Sub(now).Truncate(1e9)))
	}
	ready := string(in.Rollback.Proof.Ready)
	if ready == "" {
		ready = "no plan yet"
	}
	if says := in.Release.Says(); says != "" && in.OwnRollout() == nil {
		r.print("Rollback: %s.", says)
	} else {
		r.print("Rollback: %s %s %s", ready, in.Rollback.Proof.Target, in.Rollback.Proof.Why)
	}
	for _, p := range in.Probes {
		if x, ok := r.scene.Reading(p, now); ok {
			text := x.Text
			if text == "" {
				text = state.Quantity(x.Value, p.Unit)
			}
			r.print("%s: %s, %s", p.Name, text, x.Verdict)
		}
	}
}

// playbook reads the playbook out, with what is late.
func (r *runner) playbook() {
	in := r.scene.Incident
	now := r.scene.Hello.Clock.At(r.o.Now())
	if len(in.Playbook) == 0 {
		r.print("%s has no playbook.", in.Severity)
		return
	}
	for i := range in.Playbook {
		ph := &in.Playbook[i]
		when := "from " + ph.From.Format("15:04")
		if !ph.Due.IsZero() {
			when += ", due by " + ph.Due.Format("15:04")
		}
		if in.Open() && ph.Late(now) {
			when += ", overdue"
		}
		r.print("%s, %s: %d of %d done.", ph.Name, when, ph.Settled(), len(ph.Items))
		for _, it := range ph.Items {
			r.print("  %s %s: %s.", it.ID, it.Title, it.Status)
		}
	}
	r.print("goto ITEM ticks one.")
}
