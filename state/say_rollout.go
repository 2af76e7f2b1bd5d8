package state

import (
	"fmt"
	"strings"
)

func (f RolloutLaid) say(*Incident, Event) Saying {
	p := f.Plan
	text := fmt.Sprintf("plan: %s to %s by %s in %s", p.Version, p.Environment, p.Strategy, count(len(p.Stages), "stage"))
	if p.Target != "" {
		text += ", back to " + p.Target
	}
	if len(p.Warnings) > 0 {
		return Saying{Tag: "rollout", Text: phrase(text, strings.Join(p.Warnings, "; ")), Tone: ToneWarned}
	}
	return Saying{Tag: "rollout", Text: text}
}

func (f RolloutStarted) say(in *Incident, _ Event) Saying {
	text := in.rollout(f.Rollout)
	if r := in.Rollout(f.Rollout); r != nil {
		text += " by " + r.Strategy
		if r.Target != "" {
			text += ", target " + r.Target
		}
	}
	return Saying{Tag: "rollout", Text: text + " started", Tone: ToneRunning, Mark: true}
}

func (f RolloutResumed) say(in *Incident, _ Event) Saying {
	if f.Accept {
		return Saying{Tag: "rollout", Text: phrase("goes on, the gate accepted by hand", f.Reason), Tone: ToneWarned, Mark: true}
	}
	return Saying{Tag: "rollout", Text: phrase(in.rollout(f.Rollout)+" goes on", f.Reason), Tone: ToneRunning, Mark: true}
}

func (f StageStarted) say(in *Incident, _ Event) Saying {
	return Saying{Tag: "rollout", Text: in.stage(f.Rollout, f.Stage) + " started", Tone: ToneRunning, Mark: true}
}

func (f StageEffected) say(in *Incident, e Event) Saying {
	text := phrase(in.stage(f.Rollout, f.Stage), f.Effect)
	if r := in.Rollout(f.Rollout); r != nil && f.Stage >= 0 && f.Stage < len(r.Stages) {
		if d := spent(r.Stages[f.Stage].Started, e.Time); d != "" {
			text += " after " + d
		}
	}
	return Saying{Tag: "rollout", Text: text, Tone: ToneRunning}
}

func (f StagePassed) say(in *Incident, _ Event) Saying {
	return Saying{Tag: "gate", Text: phrase(in.stage(f.Rollout, f.Stage)+" passed", f.Text), Tone: ToneGood}
}

func (f GateDecided) say(in *Incident, _ Event) Saying {
	name, because := in.stage(f.Rollout, f.Stage), strings.Join(f.Reasons, ", ")
	s := Saying{Tag: "gate", Text: phrase(name+" "+string(f.State), because)}
	switch f.State {
	case GateHolding:
		s.Tone = ToneRunning
		if f.Hold > 0 {
			s.Text = phrase(name+" holding for "+f.Hold.String(), because)
		}
	case GateWaiting:
		s.Tone = ToneWarned
		s.Text = phrase(name+" waiting, the time does not count", because)
	case GateAsking:
		s.Tone, s.Mark = ToneUnknown, true
		s.Text = phrase(name+" asks a person", because)
	case GatePassed:
		s.Tone = ToneGood
	case GateFailed:
		s.Tone, s.Mark = ToneBad, true
	}
	return s
}

func (f RolloutFinished) say(in *Incident, _ Event) Saying {
	s := Saying{Tag: "rollout", Tone: ToneWarned, Mark: true,
		Text: phrase(in.rollout(f.Rollout)+" "+string(f.Outcome), f.Text, why(f.Problem))}
	switch f.Outcome {
	case RolloutDone:
		s.Tone = ToneGood
	case RolloutFailed:
		s.Tone = ToneBad
	}
	return s
}

func (f BeforeMeasured) say(*Incident, Event) Saying {
	return Saying{Tag: "rollout", Text: count(len(f.Readings), "reading") + " kept from before the rollout", Tone: TonePast}
}

func (f RollbackProven) say(*Incident, Event) Saying {
	s := Saying{Tag: "rollback", Tone: TonePast}
	s.Text = "plan " + string(f.Proof.Ready)
	if f.Proof.Target != "" {
		s.Text = "plan to " + f.Proof.Target + " " + string(f.Proof.Ready)
	}
	switch f.Proof.Ready {
	case Doubtful:
		s.Tone = ToneWarned
	case NotReady:
		s.Tone = ToneBad
	}
	s.Text = phrase(s.Text, f.Proof.Why)
	return s
}

func (f ReleaseProven) say(_ *Incident, e Event) Saying {
	l := LastRelease{Proof: f.Proof, Since: e.Time}
	if f.Plan != nil {
		l.Undo.Plan = *f.Plan
	}
	s := Saying{Tag: "rollback", Text: l.Says(), Tone: TonePast}
	if f.Plan != nil && f.Proof.Ready != Ready {
		s.Tone = ToneWarned
	}
	return s
}

func (f RollbackPrimed) say(*Incident, Event) Saying {
	return Saying{Tag: "rollback", Text: phrase("armed", f.Trigger), Tone: ToneBad, Mark: true}
}

func (f RollbackDisarmed) say(*Incident, Event) Saying {
	return Saying{Tag: "rollback", Text: "stopped in time, nothing was changed", Tone: ToneWarned, Mark: true}
}

func (f RollbackStarted) say(in *Incident, _ Event) Saying {
	text := "rolling back to " + f.Target
	if u := in.Rollout(f.Rollout); f.Rollout == UndoID && u != nil {
		text = "undoing the last release, " + u.Version + " back to " + f.Target
	}
	if f.Database {
		text += ", the database too"
	}
	return Saying{Tag: "rollback", Text: phrase(text, f.Trigger), Tone: ToneBad, Mark: true}
}

func (f RollbackOp) say(in *Incident, e Event) Saying {
	title, took := f.Title, ""
	for i := range in.Rollback.Ops {
		if op := &in.Rollback.Ops[i]; op.ID == f.Op {
			if op.Title != "" {
				title = op.Title
			}
			if f.Status != ItemRunning {
				took = spent(op.Started, e.Time)
			}
		}
	}
	if title == "" {
		title = f.Op
	}
	s := Saying{Tag: "rollback", Text: phrase(title+" "+string(f.Status), f.Text), Tone: ToneOfItem(f.Status)}
	if took != "" {
		s.Text += " after " + took
	}
	return s
}

func (f RollbackFinished) say(in *Incident, e Event) Saying {
	took := ""
	if d := spent(in.Rollback.Started, e.Time); d != "" {
		took = " after " + d
	}
	if f.Done {
		if len(f.Manual) > 0 {
			return Saying{Tag: "rollback", Text: phrase("rolled back"+took, f.Verified) + "; left to do by hand: " + strings.Join(f.Manual, "; "), Tone: ToneBad, Mark: true}
		}
		return Saying{Tag: "rollback", Text: phrase("rolled back"+took, f.Verified), Tone: ToneGood, Mark: true}
	}
	s := Saying{Tag: "rollback", Text: phrase("rollback FAILED"+took, why(f.Problem)), Tone: ToneBad, Mark: true}
	if len(f.Manual) > 0 {
		s.Text += "; by hand: " + f.Manual[0]
	}
	return s
}
