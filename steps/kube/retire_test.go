package kube_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"mayday/state"
	"mayday/steps"
	"mayday/steps/kube"
)

// rolledColours is a blue-green rollout that is done: green serves, blue stands by.
func rolledColours(t *testing.T, open world) (*shop, steps.Retirer, state.Plan) {
	t.Helper()
	s := open(t, colourObjects()...)
	s.settled(t, "app-blue", "app-green")
	env := blueGreenEnv()
	env.BlueGreen.Drain = 300e9
	st, ok := s.strategy("blue-green", coloursOf(s)).(steps.Retirer)
	if !ok {
		t.Fatal("blue-green retires nothing")
	}
	p := mustPlan(t, st, s.order(env))
	if at, err := rolled(t, st, p); err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	if !st.Retires(p) {
		t.Error("the plan leaves nothing")
	}
	s.faults.Reset(nil)
	return s, st, p
}

func (s *shop) replicas(t *testing.T, name string) int32 {
	t.Helper()
	d, err := s.client.AppsV1().Deployments(s.ns).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return *d.Spec.Replicas
}

// TestRetire: the old colour goes when its time is over, not before; and R still works.
func TestRetire(t *testing.T) { inEachWorld(t, testRetire) }

func testRetire(t *testing.T, open world) {
	t.Parallel()
	s, st, p := rolledColours(t, open)
	for _, dry := range []bool{true, false} {
		_, _, err := st.Retire(t.Context(), p, 4*time.Minute, fence(0), dry)
		if !state.HasCode(err, "early") || !strings.Contains(err.Error(), "drain is 5m, and the traffic left it 4m ago") {
			t.Errorf("too early: %v", err)
		}
	}
	commands, text, err := st.Retire(t.Context(), p, 5*time.Minute, fence(0), true)
	if err != nil || len(commands) != 1 || !strings.HasPrefix(text, "app-blue: 2 pods end") {
		t.Fatalf("%q, %q, %v", commands, text, err)
	}
	for _, want := range []string{"kubectl -n " + s.ns + " patch deployment app-blue --type=json", `{"op":"test","path":"/metadata/annotations/mayday.dev~1fence","value":"INC-20261122-01/0"}`,
		`{"op":"test","path":"/spec/replicas","value":2},{"op":"add","path":"/spec/replicas","value":0}`, `"/spec/template/spec/containers/0/image","value":"registry.local/shop:v1.2.3"`} {
		if !strings.Contains(commands[0], want) {
			t.Errorf("by hand: %s\nlacks %s", commands[0], want)
		}
	}
	if n := s.faults.Writes(); n != 0 || s.replicas(t, "app-blue") != 2 {
		t.Fatalf("looking made %d writes", n)
	}
	if _, text, err = st.Retire(t.Context(), p, 5*time.Minute, fence(0), false); err != nil || !strings.HasPrefix(text, "app-blue scaled from 2 pods to 0") || s.replicas(t, "app-blue") != 0 {
		t.Fatalf("%q, %v, %d pods", text, err, s.replicas(t, "app-blue"))
	}
	s.faults.Reset(nil)
	if commands, text, err = st.Retire(t.Context(), p, time.Hour, fence(0), false); err != nil || len(commands) != 0 || text != "app-blue has no pods already" || s.faults.Writes() != 0 {
		t.Errorf("again: %q, %q, %v, %d writes", commands, text, err, s.faults.Writes())
	}
	if proof, err := st.Prove(t.Context(), p, true); err != nil || proof.Ready != state.Doubtful || !strings.Contains(proof.Why, "gets its pods first") {
		t.Errorf("proof: %+v, %v", proof, err)
	}
	var order []string
	v, err := st.Rollback(t.Context(), p, fence(1), func(op state.RollbackOp) {
		if op.Status == state.ItemRunning {
			order = append(order, op.Op)
		}
	})
	if err != nil || strings.Join(order, " ") != "live traffic idle verify" || !strings.Contains(v.Text, "v1.2.3 answered 50 of 50") || s.replicas(t, "app-blue") != 2 {
		t.Errorf("%+v in the order %v, %v", v, order, err)
	}
	// What was taken back is not scaled down.
	if _, _, err := st.Retire(t.Context(), p, time.Hour, fence(0), false); err == nil || s.replicas(t, "app-blue") != 2 {
		t.Errorf("after the rollback: %v, %d pods", err, s.replicas(t, "app-blue"))
	}
}

// TestRetireRefuses: an old colour that is not what the rollout left stays as it is.
func TestRetireRefuses(t *testing.T) {
	patch := func(s *shop, t *testing.T, patch string) {
		if _, err := s.client.AppsV1().Deployments(s.ns).Patch(t.Context(), "app-blue", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, code, says string
		change           func(*shop, *testing.T)
	}{
		{"traffic led back", "traffic", "does not lead to green alone", func(s *shop, t *testing.T) { s.patch(t, "app-service", `{"spec":{"selector":{"version":"blue"}}}`) }},
		{"another incident", "fenced", "INC-20261122-02/0", func(s *shop, t *testing.T) {
			patch(s, t, `{"metadata":{"annotations":{"`+kube.FenceAnnotation+`":"INC-20261122-02/0"}}}`)
		}},
		{"another incident, ended", "fenced", "INC-20261122-02/0", func(s *shop, t *testing.T) {
			patch(s, t, `{"metadata":{"annotations":{"`+kube.FenceAnnotation+`":"INC-20261122-02/0","`+kube.ClosedAnnotation+`":"INC-20261122-02/0"}}}`)
		}},
		{"another version", "drift", "another version since", func(s *shop, t *testing.T) {
			patch(s, t, `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"registry.local/shop:v9"}]}}}}`)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, st, p := rolledColours(t, newShop)
			c.change(s, t)
			for _, dry := range []bool{true, false} {
				if _, _, err := st.Retire(t.Context(), p, time.Hour, fence(0), dry); !state.HasCode(err, c.code) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v, want %s saying %q", err, c.code, c.says)
				}
			}
			if n := s.replicas(t, "app-blue"); n != 2 || s.faults.Writes() != 0 {
				t.Errorf("%d pods, %d writes", n, s.faults.Writes())
			}
		})
	}
}

// TestRetireMeetsARollback: the traffic is led back from elsewhere right before the pods
// are taken away. They come back at once.
func TestRetireMeetsARollback(t *testing.T) {
	t.Parallel()
	s, st, p := rolledColours(t, newShop)
	s.faults.Reset(func(n int, sent bool) error {
		if n == 0 && !sent {
			s.patch(t, "app-service", `{"spec":{"selector":{"version":"blue"}}}`)
		}
		return nil
	})
	if _, _, err := st.Retire(t.Context(), p, time.Hour, fence(0), false); !state.HasCode(err, "traffic") || s.replicas(t, "app-blue") != 2 {
		t.Errorf("%v, %d pods", err, s.replicas(t, "app-blue"))
	}
	// And one that raised the epoch in time is not hindered.
	s.patch(t, "app-service", `{"spec":{"selector":{"version":"green"}}}`)
	s.faults.Reset(func(n int, sent bool) error {
		if n == 0 && !sent {
			if _, err := s.client.AppsV1().Deployments(s.ns).Patch(t.Context(), "app-blue", types.MergePatchType,
				[]byte(`{"metadata":{"annotations":{"`+kube.FenceAnnotation+`":"INC-20261122-01/1"}}}`), metav1.PatchOptions{}); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	if _, _, err := st.Retire(t.Context(), p, time.Hour, fence(0), false); !errors.Is(err, steps.ErrFenced) || s.replicas(t, "app-blue") != 2 {
		t.Errorf("%v, %d pods", err, s.replicas(t, "app-blue"))
	}
}

// TestRetireLeavesAutoscalers: what an autoscaler owns is never lowered, and nothing but
// blue-green leaves anything.
func TestRetireLeavesAutoscalers(t *testing.T) {
	t.Parallel()
	least := int32(2)
	s := newShop(t, append(colourObjects(), &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "scaler", Namespace: ns},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MinReplicas: &least, MaxReplicas: 9,
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "app-blue"}}})...)
	s.settled(t, "app-blue", "app-green")
	st, _ := s.strategy("blue-green", coloursOf(s)).(steps.Retirer)
	p := mustPlan(t, st, s.order(blueGreenEnv()))
	if at, err := rolled(t, st, p); err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	if _, _, err := st.Retire(t.Context(), p, time.Hour, fence(0), false); !state.HasCode(err, "autoscaler") || s.replicas(t, "app-blue") != 2 {
		t.Errorf("%v", err)
	}
	one := newShop(t, colourObjects()[:1]...)
	one.settled(t, "app-blue")
	env := blueGreenEnv()
	env.BlueGreen, env.Rolling = nil, rollingEnv("app-blue")
	rolling, _ := one.strategy("rolling", nil).(steps.Retirer)
	if rolling.Retires(mustPlan(t, rolling, one.order(env))) {
		t.Error("rolling leaves nothing")
	}
}
