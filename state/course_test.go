package state

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
)

// The course of four hours keeps every extreme and every verdict, whatever the ring
// dropped, in order of time, and ends where the ring begins.
func TestCourseKeepsExtremes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := NewSeries(60)
	t0 := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	var all []Sample
	for i := range int(CourseReach / (5 * time.Second)) {
		x := Sample{At: t0.Add(time.Duration(i) * 5 * time.Second), Value: r.NormFloat64(), Verdict: []Verdict{OK, OK, Warn, Crit, NoData, Stale, Error}[r.IntN(7)]}
		if i == 1000 {
			x.Value, x.Verdict = 99, Crit
		}
		all = append(all, x)
		s.Add(x)
	}
	l := s.Long()
	if d := all[0].At.Sub(l.At(0).At); d < 0 || d >= CourseSlot {
		t.Fatalf("it begins at %s, the first reading was at %s", l.At(0).At, all[0].At)
	}
	if first := l.At(l.Len() - 60); !first.At.Equal(s.At(0).At) {
		t.Fatalf("after the slots comes %s, not the ring's first, %s", first.At, s.At(0).At)
	}
	for i := 1; i < l.Len(); i++ {
		if l.At(i).At.Before(l.At(i - 1).At) {
			t.Fatalf("sample %d lies before the one before it", i)
		}
	}
	slots := map[time.Time][]Sample{}
	for i := range l.Len() - 60 {
		slots[l.At(i).At] = append(slots[l.At(i).At], l.At(i))
	}
	for at, three := range slots {
		lo, hi, known, unknown := math.Inf(1), math.Inf(-1), OK, OK
		for _, x := range all {
			switch {
			case x.At.Before(at) || !x.At.Before(at.Add(CourseSlot)):
			case !x.Verdict.Known():
				if unknown == OK || x.Verdict.Worse() > unknown.Worse() {
					unknown = x.Verdict
				}
			default:
				lo, hi = min(lo, x.Value), max(hi, x.Value)
				if x.Verdict.Worse() > known.Worse() {
					known = x.Verdict
				}
			}
		}
		seen := func(want Sample) bool {
			return slices.ContainsFunc(three, func(x Sample) bool {
				return x.Verdict == want.Verdict && (!want.Verdict.Known() || x.Value == float64(float32(want.Value)))
			})
		}
		if unknown != OK && !seen(Sample{Verdict: unknown}) || !math.IsInf(lo, 0) && (!seen(Sample{Value: lo, Verdict: known}) || !seen(Sample{Value: hi, Verdict: known})) {
			t.Fatalf("slot %s: %v, want %v to %v, %s and %s", at, three, lo, hi, known, unknown)
		}
	}
}

// What another series is told of the past gives it the same long view, in whatever order
// it comes; what lies before all that is kept changes nothing.
func TestCourseIsRecalled(t *testing.T) {
	t0 := time.Date(2026, 11, 22, 3, 0, 7, 0, time.UTC)
	one, two := NewSeries(10), NewSeries(10)
	for i := range 2 * courseSlots {
		x := Sample{At: t0.Add(time.Duration(i) * CourseSlot), Value: float64(i), Verdict: OK}
		if one.Add(x); i >= 2*courseSlots-10 {
			two.Add(x)
		}
	}
	if n := len(one.own); n != courseSlots || cap(one.own) > courseSlots {
		t.Fatalf("%d slots of %d are kept", n, cap(one.own))
	}
	past := one.Long().Slots("p")
	slices.Reverse(past)
	for _, x := range append(past, Sample{At: t0, Value: -1, Verdict: OK, Past: true}) {
		two.Add(x)
	}
	a, b := one.Long(), two.Long()
	if a.Len() != b.Len() || a.Len() < 3*(courseSlots-12) {
		t.Fatalf("%d and %d samples", a.Len(), b.Len())
	}
	for i := range a.Len() {
		if x, y := a.At(i), b.At(i); !x.At.Equal(y.At) || x.Value != y.Value || x.Verdict != y.Verdict {
			t.Fatalf("sample %d: %v and %v", i, x, y)
		}
	}
	if (*Series)(nil).Long().Len() != 0 {
		t.Error("nothing has a past")
	}
}

// Each label of the parts is remembered as far back as the series itself, also by another
// that is told of the past; of too many those that are gone make way.
func TestCourseOfLabels(t *testing.T) {
	t0 := time.Date(2026, 11, 22, 3, 0, 7, 0, time.UTC)
	one, two := NewSeries(10), NewSeries(10)
	const n = courseSlots - 20
	for i := range n {
		x := Sample{At: t0.Add(time.Duration(i) * CourseSlot), Value: 1, Verdict: OK, Parts: []Part{{"v2", float64(i), OK}}}
		if i < 100 {
			x.Parts = []Part{{"v1", 0.5, Warn}, {"v2", float64(i), OK}}
		}
		if i == 50 { // twice in its slot
			one.Add(Sample{At: x.At, Value: 1, Verdict: OK, Parts: []Part{{"v2", 7, Crit}}})
		}
		if one.Add(x); i >= n-10 {
			two.Add(x)
		}
	}
	for _, x := range one.Long().Slots("p") {
		two.Add(x)
	}
	for name, s := range map[string]*Series{"it": one, "another": two} {
		v1, v2 := s.Long().Of("v1"), s.Long().Of("v2")
		if v1.Len() != 3*100+10 || v1.At(0).Value != 0.5 || v1.At(0).Verdict != Warn || v1.At(v1.Len()-1).Verdict != NoData {
			t.Errorf("%s: v1 has %d samples, from %+v", name, v1.Len(), v1.At(0))
		}
		if v2.Len() != 3*(n-10)+10 || v2.At(v2.Len()-1).Value != float64(n-1) {
			t.Errorf("%s: v2 has %d samples", name, v2.Len())
		}
		if lo, hi := v2.At(3*50), v2.At(3*50+1); lo.Value != 7 || hi.Value != 50 || hi.Verdict != Crit {
			t.Errorf("%s: of two readings of a slot there is %+v to %+v", name, lo, hi)
		}
		if got := s.Labels(t0.Add(200 * CourseSlot)); len(got) != 1 || got[0].Label != "v2" || got[0].Value != float64(n-1) {
			t.Errorf("%s: seen lately: %+v", name, got)
		}
		if got := s.Labels(t0); len(got) != 2 || got[0] != (Part{"v1", 0.5, Warn}) {
			t.Errorf("%s: seen at all: %+v", name, got)
		}
	}
	for i := range 3 * MaxParts {
		one.Add(Sample{At: t0.Add(time.Duration(n+i) * CourseSlot), Verdict: OK, Parts: []Part{{fmt.Sprint("pod-", i), 1, OK}, {"v2", 1, OK}}})
	}
	if got := one.Labels(t0); len(got) != MaxParts || !slices.ContainsFunc(got, func(p Part) bool { return p.Label == "v2" }) {
		t.Errorf("of many labels %d stay: %v", len(got), got)
	}
	if l := (*Series)(nil).Long().Of("v1"); l.Len() != 0 || (*Series)(nil).Labels(t0) != nil {
		t.Error("nothing has labels")
	}
}

// A series takes what SeriesBytes says, and not more with time.
func TestSeriesBytes(t *testing.T) {
	const n = 100
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	each := func(labels int) uint64 {
		var parts []Part
		for i := range labels {
			parts = append(parts, Part{Label: fmt.Sprint("v", i), Verdict: OK})
		}
		all := make([]*Series, n)
		before := heap()
		for i := range all {
			all[i] = NewSeries(SeriesLength)
			for j := range 3 * courseSlots {
				x := Sample{Probe: "p", At: time.Unix(int64(j)*10, 0), Value: float64(j), Verdict: OK}
				if j < 3*courseSlots-SeriesLength { // the ring's own samples are without
					x.Parts = parts
				}
				all[i].Add(x)
			}
		}
		after := heap()
		runtime.KeepAlive(all)
		return (after - before) / n
	}
	alone, labelled := each(0), each(4)
	t.Logf("%d bytes a series, %d more for each label", alone, (labelled-alone)/4)
	if alone > SeriesBytes || alone < SeriesBytes*3/4 {
		t.Errorf("a full series takes %d bytes, not %d", alone, SeriesBytes)
	}
	if label := (labelled - alone) / 4; label > LabelBytes || label < LabelBytes*3/4 {
		t.Errorf("a label takes %d bytes, not %d", label, LabelBytes)
	}
}
