package kube

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// behindPreview is what a preview URL leads to as time goes by. It implements
// steps.Traffic and steps.Checker.
type behindPreview struct {
	began   time.Time
	follows time.Duration // until it leads to the new version
	serves  time.Duration // until what the second check asks for is served there
	asked   []string
}

func (b *behindPreview) Versions(_ context.Context, _ runbook.Environment, n int) (map[string]int, error) {
	if time.Since(b.began) < b.follows {
		return nil, errors.New("503: no endpoints")
	}
	return map[string]int{"v2": n}, nil
}

func (b *behindPreview) Check(_ context.Context, _ runbook.Environment, c runbook.Check) (string, error) {
	b.asked = append(b.asked, c.Name)
	if c.Name == "login" && time.Since(b.began) < b.serves {
		return "", errors.New("502 bad gateway")
	}
	return "200", nil
}

// TestThePreviewFollows: what leads to the idle colour before users do learns of its pods
// after they are ready. A try that comes too early is none that failed.
func TestThePreviewFollows(t *testing.T) {
	for _, c := range []struct {
		name            string
		follows, serves time.Duration
		fence           string
		says, code      string
		once            bool // the check that passes at first is made once
	}{
		{"at once", 0, 0, "INC-1/0", "2 checks pass at http://preview, v2 answered 20 of 20", "", true},
		{"after a while", 3 * time.Second, 5 * time.Second, "INC-1/0", "2 checks pass at http://preview, v2 answered 20 of 20", "", true},
		{"never leads there", time.Hour, 0, "INC-1/0", "the preview at http://preview does not lead to green: 503: no endpoints", "checks", false},
		{"never serves", 0, time.Hour, "INC-1/0", "1 of 2 checks fail at http://preview: login: 502 bad gateway", "checks", true},
		{"a rollback takes over", time.Hour, 0, "INC-1/1", "newer epoch", "fenced", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &behindPreview{began: time.Now(), follows: c.follows, serves: c.serves}
				cl := clusterOf(t, func(*http.Request) (int, string) {
					return http.StatusOK, `{"apiVersion":"v1","kind":"Service","metadata":{"name":"app","namespace":"shop","annotations":{"mayday.dev/fence":"` + c.fence + `"}}}`
				})
				checks := []runbook.Check{{Name: "buy"}, {Name: "login"}}
				var out bytes.Buffer
				r := &run{base: &base{traffic: b, patience: usual, preview: Preview{Checker: b, Environments: map[string]runbook.Environment{"production": {Checks: checks}}}},
					c: cl, out: &out, fence: steps.Fence{Incident: "INC-1"}, plan: state.Plan{Environment: "production", Namespace: "shop", Version: "v2"},
					s: snapshot{Colours: &colours{Service: "app", Idle: "green", Preview: "http://preview"}}}
				text, err := r.tryOut(t.Context())
				if c.code == "" && (err != nil || text != c.says) || c.code != "" && (!state.HasCode(err, c.code) || !strings.Contains(err.Error(), c.says)) {
					t.Errorf("%q, %v, want %q", text, err, c.says)
				}
				if n := len(b.asked) - len(slices.DeleteFunc(slices.Clone(b.asked), func(name string) bool { return name == "buy" })); c.once != (n == 1) {
					t.Errorf("asked %q", b.asked)
				}
				if took := time.Since(b.began); took > usual.follow+time.Second {
					t.Errorf("it took %v", took)
				}
				if n := strings.Count(out.String(), "502"); n > 1 {
					t.Errorf("the same is told %d times", n)
				}
			})
		})
	}
}
