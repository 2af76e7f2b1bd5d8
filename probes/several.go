package probes

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"mayday/state"
)

// Series is one value of an answer that may hold several.
type Series struct {
	Labels string // as a person reads them: {version="v1.2.3"}
	Label  string // the value of the label that the probe tells series apart by
	Value  float64
	At     time.Time // incident time
}

// seriesNamed is how many series an error names before it only counts the others.
const seriesNamed = 3

// Gather makes a reading of an answer's series, as the probe says; none is no data.
// Where it says nothing, there must be one: two are an error that names them. A
// series that is NaN is not known: among "any" that is no data unless another is bad
// already, among the others it is left out.
func Gather(p state.Probe, all []Series) (Reading, error) {
	switch {
	case len(all) == 0:
		return Reading{NoData: true}, nil
	case p.By != "":
		return apart(p, all)
	case p.Series == "" && len(all) > 1:
		return Reading{}, &state.Problem{
			What: fmt.Sprintf("%d series where one is expected", len(all)), Why: names(all),
			Do: "Aggregate in the query, such as sum(…), or say with series what counts: any, all, max, min or by LABEL", Code: "many-series",
		}
	}
	return chosen(p, p.Series, all), nil
}

// MostPast bounds the series of a range that are made readings of.
const MostPast = 1000

// GatherPast makes a reading of each moment of a range as Gather does of one: of the
// series that had a value then. A moment that makes no reading is left out; of a probe
// that expects one series, more than one in all of the range is an error.
func GatherPast(p state.Probe, all []Series) ([]Reading, error) {
	moments := map[time.Time][]Series{}
	known := map[string]bool{}
	for _, s := range all {
		if p.By == "" && p.Series == "" && !known[s.Labels] && len(known) > 0 {
			_, err := Gather(p, []Series{all[0], s})
			return nil, err
		}
		known[s.Labels] = true
		moments[s.At] = append(moments[s.At], s)
	}
	var out []Reading
	for _, at := range slices.SortedFunc(maps.Keys(moments), time.Time.Compare) {
		if r, err := Gather(p, moments[at]); err == nil {
			r.At = at
			out = append(out, r)
		}
	}
	return out, nil
}

// names lists the first of the series, and counts the others.
func names(all []Series) string {
	var out []string
	for _, s := range all[:min(len(all), seriesNamed)] {
		out = append(out, s.Labels)
	}
	slices.Sort(out)
	why := strings.Join(out, " and ")
	if more := len(all) - seriesNamed; more > 0 {
		why += fmt.Sprintf(" and %d more", more)
	}
	return why
}

// chosen gives the value of the one series that counts.
func chosen(p state.Probe, how state.Several, all []Series) Reading {
	better := func(a, b float64) bool { return a > b } // max, and the one alone
	switch how {
	case state.SeveralAny:
		better = p.Worse
	case state.SeveralAll:
		better = func(a, b float64) bool { return p.Worse(b, a) }
	case state.SeveralMin:
		better = func(a, b float64) bool { return a < b }
	}
	var best, unknown *Series
	for i := range all {
		switch s := &all[i]; {
		case math.IsNaN(s.Value):
			unknown = cmp.Or(unknown, s)
		case best == nil || better(s.Value, best.Value):
			best = s
		}
	}
	r := Reading{At: oldest(all)}
	switch {
	case best == nil, how == state.SeveralAny && unknown != nil && p.Judge(best.Value) == state.OK:
		r.NoData = true
		if len(all) > 1 {
			r.Text = "nothing of " + unknown.Labels
		}
	default:
		if r.Value = best.Value; len(all) > 1 {
			r.Text = fmt.Sprintf("%s of %d", best.Labels, len(all))
		}
	}
	return r
}

// oldest is how old the data is that all of it has; zero where no series says.
func oldest(all []Series) (at time.Time) {
	for _, s := range all {
		if !s.At.IsZero() && (at.IsZero() || s.At.Before(at)) {
			at = s.At
		}
	}
	return at
}

// apart keeps the series by their label. What the reading's value is: the new
// version's where the probe knows one, before that the old one's, else the worst.
func apart(p state.Probe, all []Series) (Reading, error) {
	by := map[string]Series{}
	var parts []state.Part
	for _, s := range all {
		label := short(s.Label)
		other, twice := by[label]
		switch {
		case label == "":
			return Reading{}, &state.Problem{What: fmt.Sprintf("a series has no label %q to tell it apart by", p.By), Why: s.Labels,
				Do: "Aggregate in the query, such as sum by (" + p.By + ") (…)", Code: "many-series"}
		case twice:
			return Reading{}, &state.Problem{What: fmt.Sprintf("two series are of one %s, %q", p.By, label), Why: names([]Series{other, s}),
				Do: "Aggregate in the query, such as sum by (" + p.By + ") (…)", Code: "many-series"}
		}
		by[label] = s
		parts = append(parts, state.Part{Label: label, Value: s.Value})
	}
	r := chosen(p, state.SeveralAny, all)
	switch now, ok := by[cmp.Or(p.New, p.Old)]; {
	case ok:
		r = chosen(p, "", []Series{now})
	case p.New != "":
		r = Reading{NoData: true, At: r.At, Text: fmt.Sprintf("no %s %s among %d", p.By, p.New, len(all))}
	}
	r.Parts = parts
	return r, nil
}

// judgeParts gives each part its verdict, and bounds them.
func judgeParts(p state.Probe, parts []state.Part) []state.Part {
	if len(parts) == 0 {
		return nil
	}
	judged := slices.Clone(parts)
	for i := range judged {
		x := &judged[i]
		if x.Verdict = p.Judge(x.Value); math.IsInf(x.Value, 0) {
			x.Verdict = state.Error
		}
		if !x.Verdict.Known() {
			x.Value = 0
		}
	}
	return p.Fewer(judged)
}
