package cluster

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// bench is a store and its controllers on a fake clock, without a server.
type bench struct {
	*testing.T
	*store
}

var tester = write{manager: "test"}

// onBench runs a test in a bubble of time.
func onBench(t *testing.T, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		st := newStore(time.Now)
		if err := seed(st, shop()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() { newControllers(st).run(ctx) })
		defer done.Wait()
		defer cancel()
		f(&bench{t, st})
	})
}

func (b *bench) make(d *appsv1.Deployment) {
	b.Helper()
	if _, err := b.create(deployments, d, tester); err != nil {
		b.Fatal(err)
	}
	synctest.Wait()
}

func (b *bench) change(f func(*appsv1.Deployment)) {
	b.Helper()
	_, err := b.update(deployments, "shop", "app", tester, func(cur object) (object, error) {
		d := clone(cur.(*appsv1.Deployment))
		f(d)
		return d, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	synctest.Wait()
}

func (b *bench) deployment() *appsv1.Deployment {
	b.Helper()
	d, ok := stored[*appsv1.Deployment](b.store, deployments, "shop", "app")
	if !ok {
		b.Fatal("no deployment")
	}
	return d
}

func (b *bench) pods() []*corev1.Pod {
	var out []*corev1.Pod
	items, _ := b.list(pods, "shop")
	for _, it := range items {
		out = append(out, it.obj.(*corev1.Pod))
	}
	return out
}

// run is a kubelet that does all there is to do, until nothing is left. Pods of
// images that end in "broken" stay pending.
func (b *bench) run() {
	b.Helper()
	for moved := true; moved; synctest.Wait() {
		moved = false
		for _, p := range b.pods() {
			switch {
			case p.DeletionTimestamp != nil:
				now := int64(0)
				if _, _, err := b.remove(pods, p.Namespace, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}, tester); err != nil {
					b.Fatal(err)
				}
				moved = true
			case p.Status.Phase == corev1.PodPending && !strings.HasSuffix(p.Spec.Containers[0].Image, "broken"):
				b.ready(p)
				moved = true
			}
		}
	}
}

func (b *bench) ready(p *corev1.Pod) {
	b.Helper()
	_, err := b.update(pods, p.Namespace, p.Name, write{manager: "kubelet", sub: "status"}, func(cur object) (object, error) {
		n := clone(cur.(*corev1.Pod))
		n.Status.Phase, n.Status.PodIP = corev1.PodRunning, "10.0.0.1"
		n.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(b.now().Truncate(time.Second))}}
		return n, nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

func progressing(d *appsv1.Deployment) string {
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing {
			return string(c.Status) + " " + c.Reason
		}
	}
	return ""
}

func image(name string) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = name }
}

func TestProgressDeadline(t *testing.T) {
	onBench(t, func(b *bench) {
		b.make(deployment("app", 2, "shop:v1"))
		if got := progressing(b.deployment()); got != "True ReplicaSetUpdated" {
			t.Errorf("at the start %s", got)
		}
		b.run()
		if got := progressing(b.deployment()); got != "True NewReplicaSetAvailable" {
			t.Errorf("when done %s", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		b.change(image("shop:broken"))
		time.Sleep(599 * time.Second)
		synctest.Wait()
		if got := progressing(b.deployment()); got != "True ReplicaSetUpdated" {
			t.Errorf("before the deadline %s", got)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := progressing(b.deployment()); got != "False ProgressDeadlineExceeded" {
			t.Errorf("after the deadline %s", got)
		}
		b.change(image("shop:v1"))
		b.run()
		if got := progressing(b.deployment()); got != "True NewReplicaSetAvailable" {
			t.Errorf("when taken back %s", got)
		}
	})
}

func TestNothingIsWrittenWhenNothingHappens(t *testing.T) {
	onBench(t, func(b *bench) {
		b.make(deployment("app", 6, "shop:v1"))
		b.run()
		before := b.version()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if after := b.version(); after != before {
			t.Errorf("version %d, was %d", after, before)
		}
	})
}

func TestMinReadySeconds(t *testing.T) {
	onBench(t, func(b *bench) {
		d := deployment("app", 2, "shop:v1")
		d.Spec.MinReadySeconds = 30
		b.make(d)
		b.run()
		time.Sleep(28 * time.Second)
		synctest.Wait()
		if st := b.deployment().Status; st.ReadyReplicas != 2 || st.AvailableReplicas != 0 {
			t.Errorf("before: %+v", st)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if st := b.deployment().Status; st.AvailableReplicas != 2 || st.UnavailableReplicas != 0 {
			t.Errorf("after: %+v", st)
		}
	})
}

func TestRecreateStopsTheOldFirst(t *testing.T) {
	onBench(t, func(b *bench) {
		d := deployment("app", 3, "shop:v1")
		d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
		b.make(d)
		b.run()
		b.change(image("shop:v2"))
		for _, p := range b.pods() {
			if p.DeletionTimestamp == nil || p.Spec.Containers[0].Image != "shop:v1" {
				t.Errorf("%s of %s lives beside the old ones", p.Name, p.Spec.Containers[0].Image)
			}
		}
		b.run()
		if d := b.deployment(); !settled(d) || d.Status.UpdatedReplicas != 3 {
			t.Errorf("%+v", d.Status)
		}
	})
}

func TestPausedRolloutWaitsAndScales(t *testing.T) {
	onBench(t, func(b *bench) {
		b.make(deployment("app", 4, "shop:v1"))
		b.run()
		n := int32(6)
		b.change(func(d *appsv1.Deployment) { d.Spec.Paused, d.Spec.Replicas = true, &n; image("shop:v2")(d) })
		b.run()
		if d := b.deployment(); d.Status.UpdatedReplicas != 0 || d.Status.Replicas != 6 || progressing(d) != "Unknown DeploymentPaused" {
			t.Errorf("paused: %+v", d.Status)
		}
		b.change(func(d *appsv1.Deployment) { d.Spec.Paused = false })
		b.run()
		if d := b.deployment(); !settled(d) || d.Status.UpdatedReplicas != 6 {
			t.Errorf("resumed: %+v", d.Status)
		}
	})
}

func TestScalingInMidRolloutKeepsTheProportion(t *testing.T) {
	onBench(t, func(b *bench) {
		d := deployment("app", 10, "shop:v1")
		three, two := intstr.FromInt32(3), intstr.FromInt32(2)
		d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxSurge: &three, MaxUnavailable: &two}
		b.make(d)
		b.run()
		b.change(image("shop:broken"))
		b.run() // 5 new that never get ready, 8 old
		n := int32(15)
		b.change(func(d *appsv1.Deployment) { d.Spec.Replicas = &n })
		b.run()
		sizes := map[string]int32{}
		items, _ := b.list(replicaSets, "shop")
		for _, it := range items {
			rs := it.obj.(*appsv1.ReplicaSet)
			sizes[rs.Spec.Template.Spec.Containers[0].Image] = *rs.Spec.Replicas
		}
		if sizes["shop:v1"] != 11 || sizes["shop:broken"] != 7 { // the Kubernetes documentation's own example
			t.Errorf("%v", sizes)
		}
	})
}

func TestHistoryIsLimited(t *testing.T) {
	onBench(t, func(b *bench) {
		d := deployment("app", 1, "shop:v0")
		two := int32(2)
		d.Spec.RevisionHistoryLimit = &two
		b.make(d)
		for _, v := range []string{"v1", "v2", "v3", "v4"} {
			b.run()
			b.change(image("shop:" + v))
		}
		b.run()
		if items, _ := b.list(replicaSets, "shop"); len(items) != 3 {
			t.Errorf("%d ReplicaSets kept", len(items))
		}
		if n := revision(b.deployment()); n != 5 {
			t.Errorf("revision %d", n)
		}
	})
}

func TestGraceAndGarbage(t *testing.T) {
	for policy, left := range map[metav1.DeletionPropagation]int{metav1.DeletePropagationBackground: 0, metav1.DeletePropagationForeground: 0, metav1.DeletePropagationOrphan: 3} {
		t.Run(string(policy), func(t *testing.T) {
			onBench(t, func(b *bench) {
				b.make(deployment("app", 3, "shop:v1"))
				for _, p := range b.pods() {
					b.ready(p)
				}
				synctest.Wait()
				if _, _, err := b.remove(deployments, "shop", "app", metav1.DeleteOptions{PropagationPolicy: &policy}, tester); err != nil {
					t.Fatal(err)
				}
				time.Sleep(29 * time.Second)
				synctest.Wait()
				_, there := stored[*appsv1.Deployment](b.store, deployments, "shop", "app")
				if n := len(b.pods()); n != 3 || there != (policy == metav1.DeletePropagationForeground) {
					t.Errorf("within the grace period: %d Pods, deployment there: %v", n, there)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				_, there = stored[*appsv1.Deployment](b.store, deployments, "shop", "app")
				if n := len(b.pods()); n != left || there {
					t.Errorf("after it: %d Pods, deployment there: %v", n, there)
				}
				if policy == metav1.DeletePropagationOrphan {
					b.make(deployment("app", 3, "shop:v1"))
					if items, _ := b.list(replicaSets, "shop"); len(items) != 1 || len(b.pods()) != 3 {
						t.Errorf("not adopted: %d ReplicaSets, %d Pods", len(items), len(b.pods()))
					}
				}
			})
		})
	}
}
