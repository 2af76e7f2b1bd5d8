package state

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

func (f AttemptStarted) say(*Incident, Event) Saying {
	return Saying{Tag: "attempt", Text: "attempt " + strconv.Itoa(f.N) + " begins: fresh items and approvals",
		Tone: ToneRunning, Mark: true}
}

func (f AttemptClosed) say(*Incident, Event) Saying {
	return Saying{Tag: "attempt", Text: phrase("attempt "+strconv.Itoa(f.N)+" closed", f.Outcome), Mark: true}
}

func (f ItemStarted) say(in *Incident, _ Event) Saying {
	text := in.title(f.Item) + " started"
	commands := slices.DeleteFunc(slices.Clone(f.Commands), func(c string) bool { return strings.HasPrefix(c, "cd ") || strings.HasPrefix(c, "export ") })
	if len(commands) > 0 { // going somewhere is not what was done
		text = phrase(text, commands[0])
		if more := len(commands) - 1; more > 0 {
			text += " (and " + strconv.Itoa(more) + " more)"
		}
	}
	return Saying{Tag: "action", Text: text, Tone: ToneRunning}
}

func (f ItemFinished) say(in *Incident, _ Event) Saying {
	detail := f.Summary
	if f.Problem != nil {
		detail = why(f.Problem)
	}
	return Saying{Tag: "action", Text: phrase(in.title(f.Item)+" "+string(f.Outcome), detail), Tone: ToneOfItem(f.Outcome)}
}

func (f ItemChecked) say(in *Incident, _ Event) Saying {
	return Saying{Tag: "check", Text: phrase(in.title(f.Item), f.Value), Tone: ToneGood}
}

func (f ItemUnchecked) say(in *Incident, _ Event) Saying {
	return Saying{Tag: "check", Text: in.title(f.Item) + " taken back", Tone: ToneWarned}
}

func (f ItemSigned) say(_ *Incident, e Event) Saying {
	s := Saying{Tag: "sign-off", Text: "approved", Tone: ToneGood, Mark: true}
	if f.Reject {
		s.Text, s.Tone = "rejected", ToneBad
	}
	if f.Commit != "" {
		s.Text += " " + short(f.Commit)
	}
	if f.Signed != nil {
		s.Text += " by " + f.Signed.Person + ", signed by " + f.Signed.Key
	}
	if e.Actor.Host != "" {
		from := " from "
		if f.Signed != nil {
			from = ", taken in by "
		}
		s.Text += from + e.Actor.User + "@" + e.Actor.Host
	}
	s.Text = phrase(s.Text, f.Comment)
	return s
}

func (f ItemPassedOver) say(in *Incident, _ Event) Saying {
	return Saying{Tag: "override", Text: phrase(in.title(f.Item)+" passed over", f.Reason), Tone: ToneBad, Mark: true}
}

func (f ItemUnneeded) say(in *Incident, _ Event) Saying {
	return Saying{Tag: "check", Text: phrase(in.title(f.Item)+" not needed", f.Why), Tone: TonePast}
}

// machineFacts are the facts whose keys are no words; one that ends in a colon is followed
// by its value.
var machineFacts = map[string]string{"cluster.now": "in the cluster now:", "rollback.compared": "production compared with before the rollout"}

func (f FactsFound) say(*Incident, Event) Saying {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(f.Facts)) {
		text, ok := machineFacts[k]
		if !ok {
			text = k
		}
		if !ok || strings.HasSuffix(text, ":") {
			text += " " + f.Facts[k]
		}
		parts = append(parts, text)
	}
	return Saying{Tag: "found", Text: strings.Join(parts, ", "), Tone: TonePast}
}
