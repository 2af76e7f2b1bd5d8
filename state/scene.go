package state

import (
	"fmt"
	"time"
)

// SeriesLength bounds the samples a scene keeps per probe: fifteen minutes at a
// reading every two seconds and a half.
const SeriesLength = 360

// OutputLines bounds the lines of live output a scene keeps per run.
const OutputLines = 2000

// Scene is everything a screen shows except the time: the fold of the frames a
// client received, or of a recording up to a cursor. Both the live cockpit and
// the replay build one by the same Fold, which is why they look the same. Not
// safe for concurrent use.
type Scene struct {
	Hello    Hello
	Incident *Incident
	Events   []Event             // all of them, in order
	Series   map[string]*Series  // by probe name
	Run      string              // the run whose output came last
	Output   map[string][]string // by run: the last lines
	Journal  JournalState
	Lost     string // why there is no keeper right now; empty: there is one
	// Version changes with every fold that can change the picture.
	Version uint64
}

// NewScene makes an empty scene.
func NewScene() *Scene {
	return &Scene{Incident: new(Incident), Series: map[string]*Series{}, Output: map[string][]string{}}
}

// Fold takes one frame in. An event that is already known is skipped (a new
// keeper sends history again); a gap is an error and changes nothing.
func (s *Scene) Fold(f Frame) error {
	s.Version++
	switch {
	case f.Hello != nil:
		s.Hello, s.Lost = *f.Hello, ""
	case f.Event != nil:
		if f.Event.Seq <= s.Incident.Seq {
			return nil
		}
		if err := s.Incident.Apply(*f.Event); err != nil {
			return fmt.Errorf("fold: %w", err)
		}
		s.Events = append(s.Events, *f.Event)
	case f.Samples != nil:
		for _, x := range f.Samples {
			s.sample(x)
		}
	case f.Output != nil:
		s.output(*f.Output)
	case f.Journal != nil:
		s.Journal = *f.Journal
	case f.Lost != "":
		s.Lost = f.Lost
	}
	return nil
}

func (s *Scene) sample(x Sample) {
	r := s.Series[x.Probe]
	if r == nil {
		r = NewSeries(SeriesLength)
		s.Series[x.Probe] = r
	}
	r.Add(x)
}

func (s *Scene) output(o Output) {
	lines := s.Output[o.Run]
	start := 0
	for i := 0; i < len(o.Text); i++ {
		if o.Text[i] == '\n' {
			lines = append(lines, o.Text[start:i])
			start = i + 1
		}
	}
	if start < len(o.Text) {
		lines = append(lines, o.Text[start:])
	}
	if extra := len(lines) - OutputLines; extra > 0 {
		lines = append([]string(nil), lines[extra:]...)
	}
	s.Output[o.Run], s.Run = lines, o.Run
}

// Reading gives a probe's last sample, aged to now. ok is false before the first.
func (s *Scene) Reading(p Probe, now time.Time) (x Sample, ok bool) {
	x, ok = s.Series[p.Name].Last()
	if !ok {
		if x, ok = s.Incident.Verdicts[p.Name]; !ok {
			return Sample{}, false
		}
	}
	return p.Aged(x, now), true
}
