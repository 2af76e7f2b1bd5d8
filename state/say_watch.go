package state

import "strings"

func (f WatchDecided) say(*Incident, Event) Saying {
	s := Saying{Tag: "watch", Tone: ToneWarned}
	text := f.Watch + ": not all is well"
	switch f.State {
	case GateHolding:
		s.Tone, text = ToneRunning, f.Watch+": all is well"
		if f.Hold > 0 {
			text = f.Watch + " for " + f.Hold.String() + " began"
		}
	case GatePassed:
		s.Tone, text = ToneGood, f.Watch+" ended well"
	case GateAsking:
		s.Tone, text = ToneUnknown, f.Watch+": not known"
	case GateFailed:
		s.Tone, s.Mark, text = ToneBad, true, f.Watch+" failed"
	}
	if f.Ended && f.State != GatePassed && f.State != GateFailed {
		text += " at its end"
	}
	s.Text = phrase(text, strings.Join(f.Reasons, ", "))
	return s
}
