package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/journal"
)

// drilled leaves a drill's journal with its card.
func drilled(t *testing.T, id string, at time.Time, auto bool, s state.Score) {
	t.Helper()
	home, err := journal.Home()
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Create(journal.Folder(home, id))
	if err != nil {
		t.Fatal(err)
	}
	via := map[bool]string{true: "auto", false: "cockpit"}[auto]
	for _, f := range []state.Fact{state.Declared{ID: id, Title: "x", Drill: s.Scenario, Clock: state.Clock{Origin: at, Base: at, Speed: 60}}, state.KeeperStarted{}, state.DrillScored{Score: s}} {
		if _, err := j.Append(at, state.Actor{User: "alice", Via: via}, 0, f); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func trendOf(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(append([]string{"drill", "--trend"}, args...), strings.NewReader(""), &out, &errs); code != 0 || errs.Len() > 0 {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	return out.String()
}

// The scores of drills are kept, and outlive their folders; what people did and what the
// scripted operator did are told apart.
func TestDrillTrend(t *testing.T) {
	t.Setenv("MAYDAY_HOME", t.TempDir())
	if got := trendOf(t); !strings.Contains(got, "no drill on this host yet") {
		t.Error(got)
	}
	day := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	seconds := func(n int) state.Duration { return state.Duration(time.Duration(n) * time.Second) }
	card := func(passed bool, missed, detect, rollback int) state.Score {
		return state.Score{Scenario: "bad-canary", Passed: passed, Acknowledge: seconds(50), Decide: seconds(100), Detect: seconds(detect), Rollback: seconds(rollback), MissedUpd: missed, Done: 9}
	}
	drilled(t, "INC-20261102-01", day, false, card(false, 2, 90, 120))
	drilled(t, "INC-20261109-01", day.AddDate(0, 0, 7), false, card(true, 2, 60, 80))
	drilled(t, "INC-20261116-01", day.AddDate(0, 0, 14), false, card(true, 0, 30, 40))
	drilled(t, "INC-20261117-01", day.AddDate(0, 0, 15), true, card(true, 0, 16, 20))
	drilled(t, "INC-20261118-01", day.AddDate(0, 0, 16), false, state.Score{Scenario: "good", Passed: true, Done: 18, Mitigate: seconds(1200)})
	first := trendOf(t)
	for _, want := range []string{
		"2026-11-02 09:00  bad-canary  hand      40  badly", "2026-11-16 09:00  bad-canary  hand     100  well", "  9/18", " 18/18",
		"bad-canary, hand\n", "points       ▃▇▇  100, better (before: 65)", "rollback     ▇▅▃  40s, better (before: 1m40s)",
		"acknowledge  ▄▄▄  50s, steady (before: 50s)", "bad-canary, auto\n", "20s, the first", "good, hand\n", "mitigate       ▄  20m, the first",
		"50 for the right end",
	} {
		if !strings.Contains(first, want) {
			t.Errorf("no %q in\n%s", want, first)
		}
	}
	if _, good, _ := strings.Cut(first, "good, hand\n"); strings.Contains(good, "rollback ") {
		t.Errorf("a rollback that did not happen has a figure:\n%s", first)
	}
	home, err := journal.Home()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(journal.Folder(home, "INC-20261109-01")); err != nil {
		t.Fatal(err)
	}
	if again := trendOf(t); again != first {
		t.Errorf("without a drill's folder:\n%s\nbefore:\n%s", again, first)
	}
	var shape struct {
		V      int `json:"v"`
		Drills []struct {
			Incident string      `json:"incident"`
			Points   int         `json:"points"`
			Auto     bool        `json:"auto"`
			Speed    float64     `json:"speed"`
			Score    state.Score `json:"score"`
		} `json:"drills"`
		Trends []trend `json:"trends"`
	}
	if err := json.Unmarshal([]byte(trendOf(t, "--json")), &shape); err != nil {
		t.Fatal(err)
	}
	if shape.V != 1 || len(shape.Drills) != 5 || shape.Drills[1].Points != 90 || !shape.Drills[3].Auto || shape.Drills[0].Speed != 60 || shape.Drills[2].Score.Detect != seconds(30) {
		t.Errorf("%+v", shape)
	}
	for _, tr := range shape.Trends {
		if tr.Scenario == "bad-canary" && !tr.Auto && tr.Figure == "detect" && (tr.Direction != "better" || tr.Last != 30 || tr.Before != 75 || len(tr.Values) != 3) {
			t.Errorf("%+v", tr)
		}
	}
}

// A figure that got worse says so, in its own sense of worse.
func TestTrendDirections(t *testing.T) {
	for name, c := range map[string]struct {
		values []float64
		low    bool
		want   string
	}{"one": {[]float64{1}, true, "first"}, "slower": {[]float64{10, 20}, true, "worse"}, "quicker": {[]float64{20, 10}, true, "better"},
		"more points": {[]float64{50, 90}, false, "better"}, "fewer": {[]float64{100, 100, 80}, false, "worse"}, "a tenth": {[]float64{100, 109}, true, "steady"}} {
		x := trend{Values: c.values}
		if x.direct(c.low); x.Direction != c.want {
			t.Errorf("%s: %s", name, x.Direction)
		}
	}
}
