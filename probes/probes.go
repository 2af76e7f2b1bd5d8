// Package probes looks at the world again and again and says what it sees. The
// [Hub] schedules probes, asks each through the [Asker] of its kind, turns the
// answers into samples with a verdict and hands those on in batches.
//
// A probe that cannot be asked, has no data or stays silent gives a sample that
// says so: not knowing is one of the verdicts, and it is never ok.
package probes

import (
	"context"
	"math"
	"time"
	"unicode/utf8"

	"mayday/state"
)

// Asker asks one kind of source. Implementations are safe for concurrent use and
// pass the suite in probes/probetest.
type Asker interface {
	// Ask reads the probe's value as it was at the incident time at. It blocks until
	// the source answered or ctx ended, and honours ctx: when it ends, Ask returns
	// within moments. An error means that the source could not be asked or answered
	// nonsense; that it has nothing is a Reading with NoData. Errors may hold raw
	// text from outside: the Hub cleans it.
	Ask(ctx context.Context, p state.Probe, at time.Time) (Reading, error)
}

// Historian is an Asker whose source remembers.
type Historian interface {
	Asker
	// Past reads what the probe's value was from one incident time to another, a step
	// apart, oldest first; what the source does not have is left out. As Ask otherwise.
	Past(ctx context.Context, p state.Probe, from, to time.Time, step time.Duration) ([]Reading, error)
}

// Reading is one answer.
type Reading struct {
	Value float64
	Text  string // "200 12ms", "3/3 ready"; optional
	// At is the incident time of the data behind the value; zero means the time
	// that was asked about.
	At     time.Time
	NoData bool // the source answered and had nothing
	// Pending: the source has only just begun and cannot have anything yet. The Hub
	// makes no sample of it; if that goes on, the silence becomes stale as any other.
	Pending bool
	// Verdict is what the asker knows beyond the value: a 500 is crit however fast
	// it came. Empty, or Warn or Crit; the worse of it and the thresholds' counts.
	Verdict state.Verdict
	// Lines are the last lines of a log that were counted, at most state.MaxLines.
	Lines []string
	// Parts are the values by label of a probe with By; what has no number is NaN.
	Parts []state.Part
}

// Judge turns the answer to one question into a sample: at is the incident time
// asked about, got the incident time of the answer. The sample's value is 0 unless
// the verdict is known, and it never is NaN or infinite.
func Judge(p state.Probe, r Reading, err error, at, got time.Time) state.Sample {
	s := state.Sample{Probe: p.Name, At: at, Got: got}
	if !r.At.IsZero() && err == nil {
		s.At = r.At
	}
	switch {
	case err != nil:
		s.Verdict, s.Text = state.Error, Reason(err)
	case r.NoData || math.IsNaN(r.Value):
		s.Verdict, s.Text, s.Parts = state.NoData, short(r.Text), judgeParts(p, r.Parts)
	case math.IsInf(r.Value, 0):
		s.Verdict, s.Text = state.Error, "the answer is infinite: does the query divide by zero?"
	case p.StaleAt > 0 && got.Sub(s.At) > p.StaleAt.D():
		s.Verdict = state.Stale
		s.Text = "the data is " + age(got.Sub(s.At)) + " old"
	default:
		s.Value, s.Text, s.Verdict, s.Parts = r.Value, short(r.Text), p.Judge(r.Value), judgeParts(p, r.Parts)
		s.Lines = lines(r.Lines)
		if r.Verdict == state.Warn || r.Verdict == state.Crit {
			s.Told = r.Verdict
			s = p.Rejudge(s)
		}
	}
	return s
}

// lines bounds and cleans what a sample keeps of a log.
func lines(all []string) []string {
	all = all[max(len(all)-state.MaxLines, 0):]
	if len(all) == 0 {
		return nil
	}
	out := make([]string, len(all))
	for i, l := range all {
		out[i] = short(l)
	}
	return out
}

// textLength bounds a sample's text, in characters.
const textLength = 240

// Reason says an error in one short, clean line.
func Reason(err error) string { return short(err.Error()) }

func short(s string) string {
	s = state.Clean(s)
	if utf8.RuneCountInString(s) <= textLength {
		return s
	}
	return string([]rune(s)[:textLength-1]) + "…"
}

func age(d time.Duration) string {
	if d > 10*time.Second {
		d = d.Round(time.Second)
	}
	return state.Duration(d.Round(time.Millisecond)).String()
}

// realSlack is the real time that scheduling and a loaded machine may take before
// a reading counts as old.
const realSlack = 2 * time.Second

// Fit gives the probe as it can be kept under a clock: where incident time runs
// faster than the wall, a reading may be as old as the real time that asking and
// scheduling take. Lay fitted probes down in the incident, so that Hub and screen
// agree on what is stale; the Hub fits what it is given. Fitting twice is no
// change.
func Fit(p state.Probe, c state.Clock) state.Probe {
	if p.Every <= 0 {
		p.Every = state.Duration(5 * time.Second)
	}
	if p.Timeout <= 0 {
		p.Timeout = state.Duration(5 * time.Second)
	}
	if p.StaleAt <= 0 {
		p.StaleAt = 3 * p.Every
	}
	if c.Speed > 1 {
		p.StaleAt = max(p.StaleAt, p.Every+state.Duration(c.Incident(realSlack)))
	}
	return p
}
