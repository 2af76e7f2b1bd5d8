package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mayday/state"
	"mayday/steps/drill"
	"mayday/steps/drill/sink"
)

// says wants words in what a command printed.
func (a *account) says(t *testing.T, name string, words ...string) {
	t.Helper()
	saying(t, a.said, name, words)
}

func saying(t *testing.T, said map[string]string, name string, words []string) {
	t.Helper()
	text, ok := said[name]
	if !ok {
		t.Fatalf("nobody said %q", name)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s does not say %q:\n%s", name, w, text)
		}
	}
}

func (a *account) fact(t *testing.T, name, want string) {
	t.Helper()
	if got := a.in.Facts[name]; got != want {
		t.Errorf("%s is %q, want %q", name, got, want)
	}
}

// heard wants messages on one of the range's channels, each with its words.
func (a *account) heard(t *testing.T, channel string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !slices.ContainsFunc(a.messages, func(m sink.Message) bool { return m.Channel == channel && strings.Contains(m.Text, w) }) {
			t.Errorf("nobody read %q in %s", w, channel)
		}
	}
}

// posted wants one request to a service with all the words.
func (a *account) posted(t *testing.T, path string, words ...string) {
	t.Helper()
	ok := slices.ContainsFunc(a.posts, func(p post) bool {
		return p.path == path && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(p.body, w) })
	})
	if !ok {
		t.Errorf("%s was not told %q", path, words)
	}
}

// before wants items done, with evidence, before another began.
func (a *account) before(t *testing.T, other string, items ...string) {
	t.Helper()
	var began time.Time
	done := map[string]time.Time{}
	for _, e := range a.events {
		switch f := e.Fact.(type) {
		case state.ItemStarted:
			if f.Item == other {
				began = e.Time
			}
		case state.ItemFinished:
			if f.Outcome == state.ItemDone && len(f.Evidence) > 0 {
				done[f.Item] = e.Time
			}
		}
	}
	for _, item := range items {
		if at := done[item]; at.IsZero() || other != "" && !at.Before(began) {
			t.Errorf("%s was not done before %s", item, other)
		}
	}
}

// stages wants weights to have been reached and passed by their gates, in order.
func (a *account) stages(t *testing.T, weights ...int) {
	t.Helper()
	var seen []int
	for _, r := range a.in.Rollouts {
		for _, st := range r.Stages {
			if r.Production && st.Status == state.ItemDone && st.Weight > 0 && !slices.Contains(seen, st.Weight) {
				seen = append(seen, st.Weight)
			}
		}
	}
	if !slices.Equal(seen, weights) {
		t.Errorf("the stages were %v, want %v", seen, weights)
	}
}

// undone wants an operation of the rollback to have ended so.
func (a *account) undone(t *testing.T, op string, status state.ItemStatus, words string) {
	t.Helper()
	for _, e := range a.events {
		if f, ok := e.Fact.(state.RollbackOp); ok && f.Op == op && f.Status == status && strings.Contains(f.Text, words) {
			return
		}
	}
	t.Errorf("the rollback's %s is not %s %q", op, status, words)
}

func (a *account) left(t *testing.T, hook, words string) {
	t.Helper()
	a.says(t, "hook "+hook, words)
}

// trafficFirst: the traffic is back before anything else of the rollback has ended.
func (a *account) trafficFirst(t *testing.T) {
	r := a.in.OwnRollout()
	if r == nil || len(r.Inverse) == 0 || !strings.HasPrefix(r.Inverse[0].Object, "VirtualService/") {
		t.Fatalf("the first operation is not the traffic's: %+v", r)
	}
	for _, e := range a.events {
		if f, ok := e.Fact.(state.RollbackOp); ok && f.Status == state.ItemDone {
			if f.Op != r.Inverse[0].ID {
				t.Errorf("%s came before the traffic", f.Op)
			}
			return
		}
	}
	t.Error("no operation was done")
}

// continuity: nobody who used the service meanwhile was cut off, and both versions served.
func (a *account) continuity(t *testing.T) {
	if a.answered[""] > 0 || a.answered[drill.Fixed] == 0 || a.answered[drill.Broken] == 0 {
		t.Errorf("the answers were by %v", a.answered)
	}
}

// cadence: the next update is due one interval after the last.
func (a *account) cadence(t *testing.T) {
	in := new(state.Incident)
	for _, e := range a.events {
		if err := in.Apply(e); err != nil {
			t.Fatal(err)
		}
		if _, ok := e.Fact.(state.UpdatePosted); ok {
			if due, ok := in.NextUpdate(); !ok || due.Sub(e.Time) != 15*time.Minute {
				t.Errorf("the next update is due %v after this one", due.Sub(e.Time))
			}
			return
		}
	}
	t.Error("no update was posted")
}

func (a *account) resolved(t *testing.T, ok func(state.IncidentResolved) bool) {
	t.Helper()
	for _, e := range a.events {
		if f, is := e.Fact.(state.IncidentResolved); is {
			if !ok(f) {
				t.Errorf("it ended so: %+v", f)
			}
			return
		}
	}
	t.Error("the incident has not ended")
}

// passed wants checks of a suite to have passed, with evidence.
func (a *account) passed(t *testing.T, name string, checks ...string) {
	t.Helper()
	var v validation
	if err := json.Unmarshal([]byte(a.said[name]), &v); err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		i := slices.IndexFunc(v.Evidence, func(e state.Evidence) bool { return e.Name == c })
		if i < 0 || !strings.HasPrefix(v.Evidence[i].Value, "passed") || v.Evidence[i].File == "" {
			t.Errorf("%s did not pass in %+v", c, v.Evidence)
		}
	}
}

// covered wants a sign of health to have been read while it was verified, and none to
// be missing.
func (a *account) covered(t *testing.T, sign string) {
	t.Helper()
	var v verified
	if err := json.Unmarshal([]byte(a.said["verify"]), &v); err != nil {
		t.Fatal(err)
	}
	if v.Outcome != "well" || slices.Contains(v.Uncovered, sign) ||
		!slices.ContainsFunc(v.Probes, func(p verifiedOf) bool {
			return p.Covers == sign && p.Readings > 0 && p.Last != nil && p.Last.Verdict.Known()
		}) {
		t.Errorf("%s was not verified: %s", sign, a.said["verify"])
	}
}

// paper wants words in one of the papers that the end of the incident leaves.
func (a *account) paper(t *testing.T, name string, words ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(a.folder, "report", name))
	if err != nil {
		t.Fatal(err)
	}
	saying(t, map[string]string{name: string(text)}, name, words)
}
