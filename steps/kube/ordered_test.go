package kube_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

func orderedEnv() runbook.Environment {
	return runbook.Environment{Rolling: &runbook.Rolling{StatefulSet: "db", Hold: 30}}
}

// setShop is a shop with a StatefulSet of three pods, settled.
func setShop(t *testing.T, change func(*appsv1.StatefulSet)) *shop {
	t.Helper()
	set := stateful("db", "registry.local/shop:v1.2.3", 3)
	if change != nil {
		change(set)
	}
	s := newShop(t, set)
	s.setSettled(t, "db")
	return s
}

// set gives the StatefulSet's pods by number with their versions, and its partition.
func (s *shop) set(t testing.TB) string {
	t.Helper()
	l, err := s.client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "app=db"})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range l.Items {
		out = append(out, strings.TrimPrefix(p.Name, "db-")+" "+strings.SplitAfter(p.Spec.Containers[0].Image, ":")[1])
	}
	slices.Sort(out)
	set, err := s.client.AppsV1().StatefulSets(ns).Get(t.Context(), "db", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s; partition %d", strings.Join(out, ", "), *set.Spec.UpdateStrategy.RollingUpdate.Partition)
}

func (s *shop) setIs(t testing.TB, want string) {
	t.Helper()
	if got := s.set(t); got != want {
		t.Errorf("pods %s, want %s", got, want)
	}
}

func (s *shop) patchSet(t testing.TB, patch string) {
	t.Helper()
	if _, err := s.client.AppsV1().StatefulSets(ns).Patch(t.Context(), "db", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

// stages runs stages of a plan that must succeed.
func stages(t *testing.T, st steps.Strategy, p state.Plan, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if _, err := st.Stage(t.Context(), p, i, fence(0), t.Output()); err != nil {
			t.Fatalf("stage %d %q: %v", i, p.Stages[i].Name, err)
		}
	}
}

func mustRollBack(t *testing.T, st steps.Strategy, p state.Plan) steps.Verification {
	t.Helper()
	v, err := st.Rollback(t.Context(), p, fence(1), quietly)
	if err != nil {
		t.Fatalf("rollback: %v, by hand %q", err, v.Manual)
	}
	return v
}

func TestOrderedTells(t *testing.T) {
	t.Parallel()
	s := setShop(t, nil)
	st := s.strategy("rolling", nil)
	p := mustPlan(t, st, s.order(orderedEnv()))
	names := ""
	for _, stage := range p.Stages {
		names += fmt.Sprintf("%s (%d, %d); ", stage.Name, stage.Weight, stage.Hold)
	}
	if want := "batch 1 of 3 (33, 30); batch 2 of 3 (66, 30); batch 3 of 3 (100, 30); db released (100, 0); "; names != want {
		t.Errorf("stages: %s\nwant:   %s", names, want)
	}
	if p.Subject != "StatefulSet db" || !strings.HasPrefix(p.Revision, "db-") {
		t.Errorf("subject %s, revision %s", p.Subject, p.Revision)
	}
	if op := p.Stages[1].Ops[0]; op.Title != "partition of db 2 → 1" || op.Object != "StatefulSet/shop/db" || !strings.HasPrefix(op.Command, "kubectl -n shop patch statefulset db --type=json -p ") ||
		!strings.Contains(op.Diff, "@@ spec.updateStrategy.rollingUpdate.partition @@\n-2\n+1\n") {
		t.Errorf("operation: %+v", op)
	}
	if c := p.Inverse[0].Command; !strings.Contains(c, `"path":"/spec/updateStrategy"`) || !strings.HasSuffix(c, " && kubectl -n shop rollout undo statefulset db --to-revision=1") {
		t.Errorf("template by hand: %s", c)
	}
	if c := p.Inverse[1].Command; !strings.HasPrefix(c, "kubectl -n shop delete pod --wait=false $(kubectl -n shop get pods -l 'app=db,controller-revision-hash!="+p.Revision+"' -o go-template='") {
		t.Errorf("pods by hand: %s", c)
	}
	for i, want := range []string{"0 v1.2.3, 1 v1.2.3, 2 v1.2.4; partition 2", "0 v1.2.3, 1 v1.2.4, 2 v1.2.4; partition 1", "0 v1.2.4, 1 v1.2.4, 2 v1.2.4; partition 0"} {
		e, err := st.Stage(t.Context(), p, i, fence(0), t.Output())
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%d of 3 ready on v1.2.4, %d on the old version", i+1, 2-i); !strings.HasSuffix(e.Text, want) {
			t.Errorf("effect %q, want %q", e.Text, want)
		}
		s.setIs(t, want)
	}
	if lines, err := st.Look(t.Context(), p); err != nil || len(lines) != 1 || lines[0] != "StatefulSet db: v1.2.4 3/3 ready, partition 0 (fence INC-20261122-01/0)" {
		t.Errorf("look: %q, %v", lines, err)
	}
	if v := mustRollBack(t, st, p); v.Text != "v1.2.3 3/3 ready, answers not observed" {
		t.Errorf("verification %q", v.Text)
	}
	s.setIs(t, "0 v1.2.3, 1 v1.2.3, 2 v1.2.3; partition 0")
}

// deletions counts what a strategy deletes, and with which preconditions.
type deletions struct {
	mu   sync.Mutex
	seen []string
}

func (d *deletions) watch(r *http.Request) (int, string) {
	if r.Method != http.MethodDelete {
		return 0, ""
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	var opts metav1.DeleteOptions
	_ = json.Unmarshal(body, &opts)
	guarded := opts.Preconditions != nil && opts.Preconditions.UID != nil && opts.Preconditions.ResourceVersion != nil
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = append(d.seen, fmt.Sprintf("%s guarded %t", filepath.Base(r.URL.Path), guarded))
	return 0, ""
}

// TestStuckPod: the pod of a version that never starts blocks the way back. The
// rollback deletes it and no other.
func TestStuckPod(t *testing.T) {
	for version, reason := range map[string]string{"v1.2.4-crash": "CrashLoopBackOff", "v1.2.4-nopull": "ImagePullBackOff"} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			s := setShop(t, nil)
			o := s.order(orderedEnv())
			o.Version = version
			p := mustPlan(t, s.strategy("rolling", nil), o)
			var d deletions
			st := s.with("rolling", d.watch)
			if _, err := st.Stage(t.Context(), p, 0, fence(0), t.Output()); !state.HasCode(err, "pod") || !strings.Contains(err.Error(), reason) {
				t.Fatalf("stage: %v, want %s", err, reason)
			}
			if lines, err := st.Look(t.Context(), p); err != nil || !strings.Contains(lines[0], "pod db-2: "+reason) {
				t.Errorf("look: %q, %v", lines, err)
			}
			if len(d.seen) > 0 {
				t.Errorf("the rollout deleted %q", d.seen)
			}
			mustRollBack(t, st, p)
			if got := strings.Join(slices.Compact(d.seen), ", "); got != "db-2 guarded true" {
				t.Errorf("deleted: %s", got)
			}
			s.setIs(t, "0 v1.2.3, 1 v1.2.3, 2 v1.2.3; partition 0")
		})
	}
}

// TestStuckByHand: the commands of the plan do by hand what the rollback does.
func TestStuckByHand(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("no kubectl on PATH")
	}
	s := setShop(t, nil)
	o := s.order(orderedEnv())
	o.Version = "v1.2.4-crash"
	st := s.strategy("rolling", nil)
	p := mustPlan(t, st, o)
	if _, err := st.Stage(t.Context(), p, 0, fence(0), t.Output()); !state.HasCode(err, "pod") {
		t.Fatal(err)
	}
	home := t.TempDir()
	config := filepath.Join(home, "config")
	if err := os.WriteFile(config, s.kubeconfig, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, op := range p.Inverse {
		if op.Command == "" {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", "-c", op.Command)
		cmd.WaitDelay = time.Second
		cmd.Env = append(os.Environ(), "KUBECONFIG="+config, "HOME="+home)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", op.Command, err, out)
		}
	}
	s.setSettled(t, "db")
	s.setIs(t, "0 v1.2.3, 1 v1.2.3, 2 v1.2.3; partition 0")
}

// TestPartitionLeft: a partition that somebody left behind does not keep pods from the
// new version or from the old one, and is there again afterwards.
func TestPartitionLeft(t *testing.T) {
	t.Parallel()
	s := setShop(t, func(set *appsv1.StatefulSet) {
		two := int32(2)
		set.Spec.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType,
			RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: &two}}
	})
	st := s.strategy("rolling", nil)
	p := mustPlan(t, st, s.order(orderedEnv()))
	if got := p.Stages[3].Ops[0].Title; got != "partition of db back at 2, its fence closed" {
		t.Errorf("last operation: %s", got)
	}
	if op := p.Inverse[2]; op.Title != "partition of db back at 2" || op.Command == "" {
		t.Errorf("third operation of the inverse: %+v", op)
	}
	stages(t, st, p, 0, 4)
	s.setIs(t, "0 v1.2.4, 1 v1.2.4, 2 v1.2.4; partition 2")
	mustRollBack(t, st, p)
	s.setIs(t, "0 v1.2.3, 1 v1.2.3, 2 v1.2.3; partition 2")
	s.faults.Reset(nil)
	mustRollBack(t, st, p)
	if n := s.faults.Writes(); n > 0 {
		t.Errorf("a second rollback made %d writes", n)
	}
	s.patchSet(t, `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"registry.local/shop:v9"}]}}}}`)
	s.eventually(t, "half-way", func() bool { return s.set(t) == "0 v1.2.3, 1 v1.2.3, 2 v9; partition 2" })
	if _, err := st.Plan(t.Context(), s.order(orderedEnv())); !state.HasCode(err, "half-way") || !strings.Contains(err.Error(), "partition") {
		t.Errorf("plan in the middle of somebody else's rollout: %v", err)
	}
}

// TestParallelSet: pods that start side by side are rolled one batch after the other too.
func TestParallelSet(t *testing.T) {
	t.Parallel()
	s := setShop(t, func(set *appsv1.StatefulSet) { set.Spec.PodManagementPolicy = appsv1.ParallelPodManagement })
	st := s.strategy("rolling", nil)
	p := mustPlan(t, st, s.order(orderedEnv()))
	stages(t, st, p, 0, 2)
	s.setIs(t, "0 v1.2.3, 1 v1.2.4, 2 v1.2.4; partition 1")
	mustRollBack(t, st, p)
	s.setIs(t, "0 v1.2.3, 1 v1.2.3, 2 v1.2.3; partition 0")
	o := s.order(orderedEnv())
	o.Version = "v1.2.4-crash"
	p = mustPlan(t, st, o)
	if _, err := st.Stage(t.Context(), p, 0, fence(1), t.Output()); !state.HasCode(err, "pod") {
		t.Fatal(err)
	}
	if v, err := st.Rollback(t.Context(), p, fence(2), quietly); err != nil {
		t.Fatalf("rollback: %v, %+v", err, v)
	}
	s.setIs(t, "0 v1.2.3, 1 v1.2.3, 2 v1.2.3; partition 0")
}

// TestSickSet: pods that were not ready before do not hold the fix up. By batches from
// the highest number down it would never get past them.
func TestSickSet(t *testing.T) {
	t.Parallel()
	s := setShop(t, nil)
	s.patchSet(t, `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"registry.local/shop:v1.2.3-crash"}]}}}}`)
	s.eventually(t, "stuck", func() bool { return s.set(t) == "0 v1.2.3, 1 v1.2.3, 2 v1.2.3-crash; partition 0" })
	st := s.strategy("rolling", nil)
	p := mustPlan(t, st, s.order(orderedEnv()))
	if p.Target != "v1.2.3" {
		t.Errorf("target %s, want the version that was last complete", p.Target)
	}
	if len(p.Stages) != 2 || len(p.Stages[0].Ops) != 2 {
		t.Fatalf("stages %+v", p.Stages)
	}
	if op := p.Stages[0].Ops[1]; op.Title != "db-2: not ready, deleted to make way" || op.Command != "kubectl -n shop delete pod --wait=false db-2" {
		t.Errorf("operation %+v", op)
	}
	stages(t, st, p, 0, 2)
	s.setIs(t, "0 v1.2.4, 1 v1.2.4, 2 v1.2.4; partition 0")
	mustRollBack(t, st, p)
	s.setIs(t, "0 v1.2.3, 1 v1.2.3, 2 v1.2.3; partition 0")
}

func TestOrderedRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*appsv1.StatefulSet)
		env    func(*runbook.Environment)
		code   string
		says   string
	}{
		{name: "OnDelete", change: func(s *appsv1.StatefulSet) {
			s.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
		}, code: "on-delete", says: "OnDelete"},
		{name: "missing", env: func(e *runbook.Environment) { e.Rolling.StatefulSet = "gone" }, code: "not-found", says: "StatefulSet gone"},
		{name: "container", env: func(e *runbook.Environment) { e.Container = "web" }, code: "container", says: "it has app"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			set := stateful("db", "registry.local/shop:v1.2.3", 1)
			if c.change != nil {
				c.change(set)
			}
			s := newShop(t, set)
			s.eventually(t, "the controller has seen it", func() bool {
				set, err := s.client.AppsV1().StatefulSets(ns).Get(t.Context(), "db", metav1.GetOptions{})
				return err == nil && set.Status.ObservedGeneration > 0
			})
			o := s.order(orderedEnv())
			if c.env != nil {
				c.env(&o.Environment)
			}
			_, err := s.strategy("rolling", nil).Plan(t.Context(), o)
			if !state.HasCode(err, c.code) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want code %q saying %q", err, c.code, c.says)
			}
		})
	}
}

// TestOrderedRights: who may not delete pods learns of it before the rollout.
func TestOrderedRights(t *testing.T) {
	t.Parallel()
	s := setShop(t, nil)
	p := mustPlan(t, s.strategy("rolling", nil), s.order(orderedEnv()))
	poor := s.with("rolling", func(r *http.Request) (int, string) {
		if !strings.Contains(r.URL.Path, "selfsubjectaccessreviews") {
			return 0, ""
		}
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		if strings.Contains(string(body), `"delete"`) {
			return http.StatusCreated, review
		}
		return 0, ""
	})
	if proof, err := poor.Prove(t.Context(), p, false); err != nil || proof.Ready != state.NotReady || !strings.Contains(proof.Why, "can-i delete pods -n shop") {
		t.Errorf("proof: %+v, %v", proof, err)
	}
	gone := s.strategy("rolling", nil)
	stages(t, gone, p, 0, 4)
	if err := s.client.AppsV1().ControllerRevisions(ns).Delete(t.Context(), p.Revision, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if proof, err := gone.Prove(t.Context(), p, true); err != nil || proof.Ready != state.NotReady || !strings.Contains(proof.Why, "its ControllerRevision no longer exists") {
		t.Errorf("proof without the revision: %+v, %v", proof, err)
	}
	mustRollBack(t, gone, p) // by its image, at least
	s.setIs(t, "0 v1.2.3, 1 v1.2.3, 2 v1.2.3; partition 0")
}

// TestDeletedUnderWay: a workload that somebody deletes during the rollout is a clear
// problem on the way forth, and commands for a person on the way back.
func TestDeletedUnderWay(t *testing.T) {
	now := metav1.DeletePropagationBackground
	for name, c := range map[string]struct {
		object runtime.Object
		env    runbook.Environment
		remove func(*testing.T, *shop) error
	}{
		"Deployment app": {deploy("app", "registry.local/shop:v1.2.3", 3, stableLabels()), runbook.Environment{Rolling: rollingEnv("app")}, func(t *testing.T, s *shop) error {
			return s.client.AppsV1().Deployments(ns).Delete(t.Context(), "app", metav1.DeleteOptions{PropagationPolicy: &now})
		}},
		"StatefulSet db": {stateful("db", "registry.local/shop:v1.2.3", 3), orderedEnv(), func(t *testing.T, s *shop) error {
			return s.client.AppsV1().StatefulSets(ns).Delete(t.Context(), "db", metav1.DeleteOptions{PropagationPolicy: &now})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, c.object)
			if _, ok := c.object.(*appsv1.StatefulSet); ok {
				s.setSettled(t, "db")
			} else {
				s.settled(t, "app")
			}
			st := s.strategy("rolling", nil)
			p := mustPlan(t, st, s.order(c.env))
			stages(t, st, p, 0, 1)
			if err := c.remove(t, s); err != nil {
				t.Fatal(err)
			}
			if _, err := st.Stage(t.Context(), p, 1, fence(0), t.Output()); !state.HasCode(err, "gone") || !strings.Contains(err.Error(), name+" no longer exists") {
				t.Errorf("stage: %v", err)
			}
			v, err := st.Rollback(t.Context(), p, fence(1), quietly)
			if !state.HasCode(err, "gone") || len(v.Manual) < 3 || !strings.HasPrefix(v.Manual[0], "kubectl -n shop apply -f MANIFEST # of "+name+", where it is gone: 3 pods, image of app registry.local/shop:v1.2.3") {
				t.Errorf("rollback: %v, by hand %q", err, v.Manual)
			}
		})
	}
}
