package kube_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

func realPatch(r *http.Request) bool {
	return r.Method == http.MethodPatch && !r.URL.Query().Has("dryRun")
}

// TestConflicts: writes that lose races are built anew and tried again.
func TestConflicts(t *testing.T) { inEachWorld(t, testConflicts) }

func testConflicts(t *testing.T, open world) {
	t.Parallel()
	s := open(t, canaryObjects(t, virtualService)...)
	s.settled(t, "app-stable")
	p := mustPlan(t, s.strategy("canary", nil), s.order(canaryEnv("VirtualService/app")))
	var n atomic.Int32
	lossy := s.with("canary", func(r *http.Request) (int, string) {
		if !realPatch(r) {
			return 0, ""
		}
		switch i := n.Add(1); {
		case i%8 == 0:
			return 0, ""
		case i%8 < 4:
			return http.StatusConflict, status("Conflict", "the object has been modified", "409")
		default:
			return http.StatusUnprocessableEntity, status("", "testing path failed", "422")
		}
	})
	for i := range 3 {
		if _, err := lossy.Stage(t.Context(), p, i, fence(0), io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := lossy.Rollback(t.Context(), p, fence(1), quietly); err != nil {
		t.Errorf("rollback: %v, %+v", err, v)
	}
}

// TestLostToRollback: who loses a write to a rollback reads the fence first, and
// stops; the fields it wanted to change have no say.
func TestLostToRollback(t *testing.T) { inEachWorld(t, testLostToRollback) }

func testLostToRollback(t *testing.T, open world) {
	t.Parallel()
	s := open(t, canaryObjects(t, virtualService)...)
	s.settled(t, "app-stable")
	st := s.strategy("canary", nil)
	p := mustPlan(t, st, s.order(canaryEnv("VirtualService/app")))
	for i := range 2 {
		if _, err := st.Stage(t.Context(), p, i, fence(0), io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	var patches atomic.Int32
	stopped := s.with("canary", func(r *http.Request) (int, string) {
		if realPatch(r) && patches.Add(1) == 1 { // between its read and its patch, somebody pressed R
			if _, err := s.strategy("canary", nil).Rollback(t.Context(), p, fence(1), quietly); err != nil {
				t.Error(err)
			}
		}
		return 0, ""
	})
	if _, err := stopped.Stage(t.Context(), p, 2, fence(0), io.Discard); !errors.Is(err, steps.ErrFenced) {
		t.Errorf("the stage ended with %v, want steps.ErrFenced", err)
	}
	if n := patches.Load(); n != 1 {
		t.Errorf("%d patches were sent, want the one that lost", n)
	}
	if lines, err := st.Look(t.Context(), p); err != nil || !strings.Contains(lines[0], "app-stable 100, app-canary 0") {
		t.Errorf("look: %q, %v", lines, err)
	}
}

// TestInvalid: a change the server will never accept is told, not tried for ever.
func TestInvalid(t *testing.T) {
	t.Parallel()
	s := newShop(t, canaryObjects(t, virtualService)...)
	s.settled(t, "app-stable")
	p := mustPlan(t, s.strategy("canary", nil), s.order(canaryEnv("VirtualService/app")))
	refusing := s.with("canary", func(r *http.Request) (int, string) {
		if realPatch(r) {
			return http.StatusUnprocessableEntity, status("Invalid", "spec is invalid", "422")
		}
		return 0, ""
	})
	_, err := refusing.Stage(t.Context(), p, 0, fence(0), io.Discard)
	if prob := state.AsProblem(err); prob == nil || !strings.Contains(prob.Why, "spec is invalid") {
		t.Errorf("stage: %v", err)
	}
}

// TestDrift: what somebody else changed during the rollout is not overwritten.
func TestDrift(t *testing.T) { inEachWorld(t, testDrift) }

func testDrift(t *testing.T, open world) {
	t.Parallel()
	s := open(t, canaryObjects(t, virtualService)...)
	s.settled(t, "app-stable")
	st := s.strategy("rolling", nil)
	o := s.order(canaryEnv(""))
	o.Environment.Rolling = rollingEnv("app-stable")
	p := mustPlan(t, st, o)
	if _, err := st.Stage(t.Context(), p, 0, fence(0), io.Discard); err != nil {
		t.Fatal(err)
	}
	other := []byte(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"registry.local/shop:v9"}]`)
	if _, err := s.client.AppsV1().Deployments(s.ns).Patch(t.Context(), "app-stable", types.JSONPatchType, other, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Stage(t.Context(), p, 1, fence(0), io.Discard); !state.HasCode(err, "drift") {
		t.Errorf("stage: %v", err)
	}
	if v, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil {
		t.Errorf("rollback: %v, %+v", err, v)
	}
}

// TestTheLastLookIsTriedAgain: a rollback that is finished has not failed because the API
// server was away for the moment in which it looked at what it had done.
func TestTheLastLookIsTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		strategy, reads string
		objects         []runtime.Object
		env             runbook.Environment
		settled         func(t *testing.T, s *shop)
	}{
		"the traffic's way": {"blue-green", "services/app-service", colourObjects(), blueGreenEnv(), func(t *testing.T, s *shop) { s.settled(t, "app-blue") }},
		"a Deployment":      {"blue-green", "deployments/app-blue", colourObjects(), blueGreenEnv(), func(t *testing.T, s *shop) { s.settled(t, "app-blue") }},
		"a StatefulSet":     {"rolling", "statefulsets/db", []runtime.Object{stateful("db", "registry.local/shop:v1.2.3", 1)}, orderedEnv(), func(t *testing.T, s *shop) { s.setSettled(t, "db") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, c.objects...)
			c.settled(t, s)
			var looks, away atomic.Bool
			st := s.with(c.strategy, func(r *http.Request) (int, string) {
				if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, c.reads) && looks.Load() && away.CompareAndSwap(false, true) {
					return http.StatusServiceUnavailable, status("ServiceUnavailable", "etcdserver: leader changed", "503")
				}
				return 0, ""
			})
			p := mustPlan(t, st, s.order(c.env))
			stages(t, st, p, 0, 1)
			_, err := st.Rollback(t.Context(), p, fence(1), func(op state.RollbackOp) {
				if op.Op == "verify" && op.Status == state.ItemRunning {
					looks.Store(true)
				}
			})
			if err != nil || !away.Load() {
				t.Errorf("rollback: %v, the server was away: %t", err, away.Load())
			}
		})
	}
}
