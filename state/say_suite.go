package state

func (f SuiteStarted) say(*Incident, Event) Saying {
	return Saying{Tag: "suite", Text: f.Suite + " in " + f.Environment + " started", Tone: ToneRunning}
}

func (f SuiteFinished) say(*Incident, Event) Saying {
	s := Saying{Tag: "suite", Text: phrase(f.Suite+" in "+f.Environment+" passed", f.Summary), Tone: ToneGood}
	if f.Problem != nil {
		s.Tone, s.Text = ToneBad, phrase(f.Suite+" in "+f.Environment+" FAILED", why(f.Problem))
	}
	return s
}
