package journal

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"mayday/state"
)

// Cards are kept once a drill, by their time, and a torn line costs itself only.
func TestScoresAreKept(t *testing.T) {
	home := filepath.Join(t.TempDir(), "new")
	if got, err := Scores(home); err != nil || len(got) != 0 {
		t.Fatalf("%v %v", got, err)
	}
	at := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	late := Score{Incident: "INC-20261122-02", Declared: at.Add(time.Hour), Auto: true, Speed: 60, Card: state.Score{Scenario: "good", Passed: true}}
	early := Score{Incident: "INC-20261122-01", Declared: at, Card: state.Score{Scenario: "slow-burn", Rollback: state.Duration(time.Minute)}}
	for _, s := range []Score{late, early, late} {
		if err := KeepScore(home, s); err != nil {
			t.Fatal(err)
		}
	}
	late.V, early.V = 1, 1
	if got, err := Scores(home); err != nil || !reflect.DeepEqual(got, []Score{early, late}) {
		t.Errorf("%+v %v", got, err)
	}
	file := filepath.Join(home, scoresFile)
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st.Mode(), err)
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"v":2,"incident":"INC-2"}` + "\n" + `{"v":1,"incident":"INC-3","decl`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	third := Score{Incident: "INC-20261123-01", Declared: at.AddDate(0, 0, 1)}
	if err := KeepScore(home, third); err != nil {
		t.Fatal(err)
	}
	third.V = 1
	if got, err := Scores(home); err != nil || !reflect.DeepEqual(got, []Score{early, late, third}) {
		t.Errorf("behind a torn line: %+v %v", got, err)
	}
}

// EachSample gives what ReadSamples gives.
func TestEachSampleIsReadSamples(t *testing.T) {
	folder := t.TempDir()
	for range 2 { // two keepers
		w, err := NewSampleWriter(folder)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			at := time.Unix(int64(i), 0).UTC()
			if _, err := w.Add(state.Sample{Probe: "p", At: at, Got: at, Value: float64(i), Verdict: state.OK}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	want, err := ReadSamples(folder)
	if err != nil || len(want) != 200 {
		t.Fatalf("%d %v", len(want), err)
	}
	var got []state.Sample
	if err := EachSample(folder, func(x state.Sample) { got = append(got, x) }); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%d samples, %v", len(got), err)
	}
	if err := EachSample(filepath.Join(folder, "none"), func(state.Sample) { t.Error("a sample of nothing") }); err != nil {
		t.Error(err)
	}
}
