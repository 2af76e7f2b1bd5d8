package state

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"
)

// Relative is a threshold that follows a baseline: so many times its value, and Plus
// added, for where the baseline is near nothing.
type Relative struct {
	Times float64 `json:"times"`
	Plus  float64 `json:"plus,omitempty"`
}

// Limit gives the threshold for a baseline.
func (r Relative) Limit(baseline float64) float64 { return r.Times*baseline + r.Plus }

// Text writes it as a runbook does: "1.2 x baseline + 0.01".
func (r Relative) Text() string {
	num := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	out := num(r.Times) + " x baseline"
	switch {
	case r.Plus > 0:
		out += " + " + num(r.Plus)
	case r.Plus < 0:
		out += " - " + num(-r.Plus)
	}
	return out
}

// IsRelative reports whether a threshold needs a baseline to say anything.
func (p Probe) IsRelative() bool { return p.WarnTo != nil || p.CritTo != nil }

// Against gives the probe with its relative thresholds turned into those for a
// baseline: what Judge, Text and the charts need.
func (p Probe) Against(baseline float64) Probe {
	for _, x := range []struct {
		to  **Relative
		abs **float64
	}{{&p.WarnTo, &p.Warn}, {&p.CritTo, &p.Crit}} {
		if *x.to != nil {
			limit := (*x.to).Limit(baseline)
			*x.abs, *x.to = &limit, nil
		}
	}
	return p
}

// Baseline finds what a reading is compared with: the old version now, where the probe
// names it and it can be seen; else what that was like before the rollout, else the
// probe's own time before it (that of label, where that is not empty). before is
// Incident.Before; now gives another probe's newest sample, aged, and false where there
// is none.
func (p Probe) Baseline(s Sample, label string, before map[string]Sample, now func(probe string) (Sample, bool)) (Baseline, bool) {
	of := func(name string, x Sample) (Baseline, bool) {
		return Baseline{Of: name, At: x.At, Value: x.Value, Verdict: x.Verdict, Told: x.Told}, x.Verdict.Known()
	}
	if p.Compare != "" && now != nil {
		if x, ok := now(p.Compare); ok && x.Verdict.Known() {
			return of(p.Compare+" now", x)
		}
	}
	if x, ok := s.Part(p.Old); ok && p.New != "" && x.Verdict.Known() {
		return of(p.Old+" now", s.Of(p.Old))
	}
	// The old version has no traffic left: then what it was before counts.
	if b, ok := before[p.Compare]; ok && p.Compare != "" {
		return of(p.Compare+" before the rollout", b)
	}
	b, ok := before[p.Name]
	if !ok {
		return Baseline{}, false
	}
	if label != "" {
		b = b.Of(label)
	}
	return of(BeforeRollout, b)
}

// BeforeRollout is what a Baseline is of that is the probe's own time before the rollout.
const BeforeRollout = "before the rollout"

// Rejudge gives a known sample's verdict anew: by the thresholds, and what the source
// itself said. What is not known stays so.
func (p Probe) Rejudge(s Sample) Sample {
	if s.Verdict.Known() {
		if s.Verdict = p.Judge(s.Value); s.Told.Worse() > s.Verdict.Worse() {
			s.Verdict = s.Told
		}
	}
	return s
}

// NoWorse reports whether a known reading is no worse than a known one before: the
// source says nothing worse, and where it has no word of its own the value has not
// worsened. What failed by its source's word, and is only slow now, is better.
func (p Probe) NoWorse(before, now Sample) bool {
	switch a, b := before.Told.Worse(), now.Told.Worse(); {
	case a != b:
		return b < a
	case a != 0: // two failures: their values (how fast they came) say little
		return p.Judge(now.Value).Worse() <= p.Judge(before.Value).Worse()
	}
	return !p.Worsened(before.Value, now.Value)
}

// Typical gives the reading that nine of ten known ones were no worse than; false
// where none is known. A window of a few requests wobbles: the last reading alone, by
// chance a good one, would make a service that is as ill as before look worse, and roll
// a good fix back; the worst alone, a single spike, would excuse too much.
func (p Probe) Typical(window []Sample) (Sample, bool) {
	known := slices.DeleteFunc(slices.Clone(window), func(s Sample) bool { return !s.Verdict.Known() })
	if len(known) == 0 {
		return Sample{}, false
	}
	slices.SortStableFunc(known, func(a, b Sample) int {
		return cmp.Or(cmp.Compare(a.Told.Worse(), b.Told.Worse()), p.badness(a.Value, b.Value))
	})
	return known[(len(known)*9+9)/10-1], true
}

// Point is one known reading of a series from before a rollout.
type Point struct {
	At    time.Time `json:"at"`
	Value float64   `json:"value"`
}

// Bounds of what is kept from before a rollout: readings of a series, the newest, and
// of all series together.
const (
	WindowLength = RankMost
	WindowsTotal = 20000
)

// Points gives the known readings of a window, at most the newest WindowLength of them.
func Points(window []Sample) []Point {
	var out []Point
	for _, s := range window {
		if s.Verdict.Known() && !math.IsInf(s.Value, 0) {
			out = append(out, Point{s.At, s.Value})
		}
	}
	return out[max(len(out)-WindowLength, 0):]
}

// Judged is one reading as a gate judged it, with all that is needed to judge it again.
type Judged struct {
	Probe   string    `json:"probe"`
	Label   string    `json:"label,omitempty"` // of a part
	Query   string    `json:"query,omitempty"`
	Unit    string    `json:"unit,omitempty"`
	At      time.Time `json:"at,omitzero"` // of the reading; zero: there was none
	Got     time.Time `json:"got,omitzero"`
	Value   float64   `json:"value"`
	Verdict Verdict   `json:"verdict,omitempty"`
	Told    Verdict   `json:"told,omitempty"`
	Text    string    `json:"text,omitempty"`
	// Warn and Crit are the thresholds in effect, relative ones for Baseline.
	Warn  *float64 `json:"warn,omitempty"`
	Crit  *float64 `json:"crit,omitempty"`
	Below bool     `json:"below,omitempty"`
	// Baseline is what the reading was compared with. NoBaseline says that its thresholds
	// are relative ones, and nothing was known to compare it with.
	Baseline   *Baseline `json:"baseline,omitempty"`
	NoBaseline bool      `json:"no_baseline,omitempty"`
	// A bad reading counts when it has been bad For so long, here since Since, and a
	// crit one when it is the Consecutive-th in a row, here the InARow-th.
	For         Duration  `json:"for,omitempty"`
	Since       time.Time `json:"since,omitzero"`
	InARow      int       `json:"in_a_row,omitempty"`
	Consecutive int       `json:"consecutive,omitempty"`
	Rank        *RankedBy `json:"rank,omitempty"`
	Answer      string    `json:"answer"`            // pass, wait, ask or rollback
	Excused     bool      `json:"excused,omitempty"` // bad, and no worse than the baseline
	Why         string    `json:"why,omitempty"`
}

// Baseline is what a reading is compared with, and whence: a probe's name, or a label,
// and "now" or "before the rollout".
type Baseline struct {
	Of      string    `json:"of"`
	At      time.Time `json:"at"`
	Value   float64   `json:"value"`
	Verdict Verdict   `json:"verdict,omitempty"`
	Told    Verdict   `json:"told,omitempty"`
}

// RankedBy is a rank test with its question and its data.
type RankedBy struct {
	Ranked
	Rank    Rank    `json:"by"`
	Verdict Verdict `json:"verdict"`
	InARow  int     `json:"in_a_row,omitempty"`
	News    []Point `json:"news,omitempty"`
	Olds    []Point `json:"olds,omitempty"`
	Against string  `json:"against"`
}
