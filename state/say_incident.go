package state

import (
	"fmt"
	"strings"
	"time"
)

func (f Declared) say(*Incident, Event) Saying {
	text := f.Severity.String() + " " + f.Title
	if f.Service != "" {
		text += " (" + strings.TrimSpace(f.Environment+" "+f.Service) + ")"
	}
	return Saying{Tag: "declared", Text: phrase(text, f.Impact), Tone: ToneBad, Mark: true}
}

func (f SeverityChanged) say(*Incident, Event) Saying {
	return Saying{Tag: "severity", Text: phrase("now "+f.To.String(), f.Reason), Tone: ToneWarned, Mark: true}
}

func (f StatusChanged) say(*Incident, Event) Saying {
	s := Saying{Tag: "status", Text: phrase(string(f.To), f.Why), Tone: ToneRunning, Mark: true}
	if f.ETA != "" {
		s.Text += ", expected " + f.ETA
	}
	if f.To == Monitoring || f.To == Resolved {
		s.Tone = ToneGood
	}
	return s
}

func (f DecisionMade) say(*Incident, Event) Saying {
	text := map[string]string{"hotfix": "a hotfix is needed", "normal": "the normal release process will do",
		"wait": "it can wait"}[f.Choice]
	if text == "" {
		text = f.Choice
	}
	return Saying{Tag: "decision", Text: phrase(text, f.Rationale), Mark: true}
}

func (f RoleAssigned) say(*Incident, Event) Saying {
	text := f.Person + " is " + f.Role
	if f.From != "" {
		text += ", handed over by " + f.From
	}
	return Saying{Tag: "role", Text: phrase(text, f.Why)}
}

func (f IncidentResolved) say(*Incident, Event) Saying {
	text := phrase("incident resolved", f.RootCause)
	if n := len(f.ActionItems); n > 0 {
		text += "; " + count(n, "action item")
	}
	if f.Override != "" {
		return Saying{Tag: "resolved", Text: text + "; overridden: " + f.Override, Tone: ToneBad, Mark: true}
	}
	return Saying{Tag: "resolved", Text: text, Tone: ToneGood, Mark: true}
}

func (f NoteAdded) say(*Incident, Event) Saying { return Saying{Tag: "note", Text: f.Text} }

func (f Warned) say(*Incident, Event) Saying {
	s := Saying{Tag: "warning", Text: f.Text, Tone: ToneWarned}
	if f.Sticky {
		s.Tone = ToneBad
	}
	return s
}

func (f KeeperStarted) say(_ *Incident, e Event) Saying {
	where := fmt.Sprintf("process %d on %s", e.Actor.PID, e.Actor.Host)
	if e.Actor.PID == 0 {
		where = "a new process"
	}
	if f.TookOver {
		from := "the last keeper"
		if f.From.PID != 0 {
			from = fmt.Sprintf("process %d", f.From.PID)
		}
		return Saying{Tag: "keeper", Text: where + " took over: " + from + " died without a word", Tone: ToneWarned, Mark: true}
	}
	return Saying{Tag: "keeper", Text: where + " keeps the incident", Tone: TonePast}
}

func (f KeeperStopped) say(*Incident, Event) Saying {
	return Saying{Tag: "keeper", Text: phrase("stopped in good order", f.Why), Tone: TonePast}
}

func (f ClientJoined) say(_ *Incident, e Event) Saying {
	return Saying{Tag: "cockpit", Text: e.Actor.User + " is looking", Tone: TonePast}
}

func (f ClientLeft) say(_ *Incident, e Event) Saying {
	return Saying{Tag: "cockpit", Text: e.Actor.User + " left", Tone: TonePast}
}

func (f DrillScored) say(*Incident, Event) Saying {
	s := Saying{Tag: "drill", Text: phrase("drill "+f.Scenario+" failed", f.Outcome), Tone: ToneBad, Mark: true}
	if f.Passed {
		s.Text, s.Tone = phrase("drill "+f.Scenario+" passed", f.Outcome), ToneGood
	}
	return s
}

func (f Checkpoint) say(*Incident, Event) Saying {
	return Saying{Tag: "journal", Text: fmt.Sprintf("signed up to event %d, head %s", f.Size, short(f.Head)), Tone: TonePast}
}

func (f LevelPaged) say(_ *Incident, _ Event) Saying {
	s := Saying{Tag: "page", Text: f.Role + " paged", Tone: ToneWarned}
	if f.Who != "" {
		s.Text = f.Role + " (" + f.Who + ") paged"
	}
	switch {
	case f.Late:
		s.Text, s.Tone = s.Text+", late", ToneBad
	case f.ByHand:
		s.Text += ", before it was due"
	}
	return s
}

func (f LevelAcked) say(*Incident, Event) Saying {
	return Saying{Tag: "ack", Text: f.Role + " acknowledged", Tone: ToneGood}
}

func (f AckLapsed) say(*Incident, Event) Saying {
	return Saying{Tag: "ack", Text: "the acknowledgement of " + f.By + " as " + f.Role + " has lapsed: nothing was heard since", Tone: ToneWarned}
}

func (f LevelSnoozed) say(*Incident, Event) Saying {
	return Saying{Tag: "page", Text: f.Role + " snoozed until " + clock(f.Until)}
}

func (f UpdatePosted) say(*Incident, Event) Saying {
	head := "status update"
	if f.Status != "" {
		head += " (" + string(f.Status) + ")"
	}
	text := phrase(head, f.Text)
	if f.Head != "" {
		text += " [head " + short(f.Head) + "]"
	}
	return Saying{Tag: "update", Text: text, Tone: ToneGood}
}

func (f MessageQueued) say(*Incident, Event) Saying {
	to := f.Channel
	if f.Audience != "" && f.Audience != f.Channel {
		to += " (" + f.Audience + ")"
	}
	return Saying{Tag: "message", Text: f.Purpose + " for " + to + " queued", Tone: TonePast}
}

func (f MessageCorrected) say(in *Incident, _ Event) Saying {
	what := "message " + f.ID
	for i := range in.Messages {
		if m := &in.Messages[i]; m.ID == f.ID {
			what = m.Purpose + " to " + m.Channel
		}
	}
	return Saying{Tag: "message", Text: what + " corrected, goes out again", Tone: TonePast}
}

func (f MessageTried) say(in *Incident, _ Event) Saying {
	what := "message " + f.ID
	for i := range in.Messages {
		if m := &in.Messages[i]; m.ID == f.ID {
			what = m.Purpose + " to " + m.Channel
		}
	}
	if f.Wording > 1 {
		what = "corrected " + what
	}
	tries := ""
	if f.Tries > 1 {
		tries = fmt.Sprintf(" at try %d", f.Tries)
	}
	switch {
	case f.OK:
		return Saying{Tag: "message", Text: what + " delivered" + tries, Tone: ToneGood}
	case f.Dead:
		what += " given up" + tries
		if f.Call != "" {
			what += ", call " + f.Call
		}
		return Saying{Tag: "message", Text: phrase(what, f.Err), Tone: ToneBad}
	}
	return Saying{Tag: "message", Text: phrase(what+" not delivered"+tries+", will be tried again", f.Err), Tone: ToneWarned}
}

func (f ProbesLaid) say(*Incident, Event) Saying {
	return Saying{Tag: "probe", Text: count(len(f.Probes), "probe") + " watched", Tone: TonePast}
}

func (f ProbeJudged) say(in *Incident, _ Event) Saying {
	x := f.Sample
	text := in.reading(x) + " is " + string(x.Verdict)
	if f.From != "" {
		text += ", was " + string(f.From)
	}
	return Saying{Tag: "probe", Text: text, Tone: ToneOf(x.Verdict)}
}

// spent writes how long something took, from seconds up; "" for no time at all.
func spent(from, to time.Time) string {
	if from.IsZero() || !to.After(from) {
		return ""
	}
	d := to.Sub(from)
	if d < 10*time.Second {
		return Duration(d.Round(100 * time.Millisecond)).String()
	}
	return Duration(d.Round(time.Second)).String()
}
