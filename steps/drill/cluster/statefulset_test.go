package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// database gives a StatefulSet of n Pods in the namespace shop.
func database(n int32, image string) *appsv1.StatefulSet {
	l := map[string]string{"app": "db"}
	return &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "shop"}, Spec: appsv1.StatefulSetSpec{
		Replicas: &n, ServiceName: "db", Selector: &metav1.LabelSelector{MatchLabels: l},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: l}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "app", Image: image}}}}}}
}

func (b *bench) makeSet(s *appsv1.StatefulSet) {
	b.Helper()
	if _, err := b.create(statefulSets, s, tester); err != nil {
		b.Fatal(err)
	}
	synctest.Wait()
}

func (b *bench) changeSet(f func(*appsv1.StatefulSetSpec)) {
	b.Helper()
	_, err := b.update(statefulSets, "shop", "db", tester, func(cur object) (object, error) {
		s := clone(cur.(*appsv1.StatefulSet))
		f(&s.Spec)
		return s, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	synctest.Wait()
}

func (b *bench) endPod(name string) {
	b.Helper()
	if _, _, err := b.remove(pods, "shop", name, metav1.DeleteOptions{}, tester); err != nil {
		b.Fatal(err)
	}
	synctest.Wait()
}

// seen tells the Pods: their number, image and whether they are ready or ending.
func (b *bench) seen() string {
	var out []string
	for _, p := range b.pods() {
		_, tag, _ := strings.Cut(p.Spec.Containers[0].Image, ":")
		state := ""
		if _, ready := readyTime(p); !ready {
			state = "?"
		}
		if p.DeletionTimestamp != nil {
			state = "-"
		}
		out = append(out, strings.TrimPrefix(p.Name, "db-")+":"+tag+state)
	}
	return strings.Join(out, " ")
}

func (b *bench) sees(want string) {
	b.Helper()
	if got := b.seen(); got != want {
		b.Errorf("pods %q, want %q", got, want)
	}
}

func (b *bench) set() *appsv1.StatefulSet {
	b.Helper()
	s, ok := stored[*appsv1.StatefulSet](b.store, statefulSets, "shop", "db")
	if !ok {
		b.Fatal("no stateful set")
	}
	return s
}

// counts tells the status: replicas, ready, current and updated ones, and whether
// the two revisions are one.
func (b *bench) counts() string {
	st := b.set().Status
	return fmt.Sprintf("%d %d %d %d %t", st.Replicas, st.ReadyReplicas, st.CurrentReplicas, st.UpdatedReplicas, st.CurrentRevision == st.UpdateRevision)
}

func (b *bench) counted(want string) {
	b.Helper()
	if got := b.counts(); got != want {
		b.Errorf("status %q, want %q", got, want)
	}
}

func runs(tag string) func(*appsv1.StatefulSetSpec) {
	return func(s *appsv1.StatefulSetSpec) { s.Template.Spec.Containers[0].Image = "shop:" + tag }
}

func above(n int32) func(*appsv1.StatefulSetSpec) {
	return func(s *appsv1.StatefulSetSpec) { s.UpdateStrategy.RollingUpdate.Partition = &n }
}

func TestStatefulSetMakesPodsInOrder(t *testing.T) {
	onBench(t, func(b *bench) {
		b.makeSet(database(3, "shop:v1"))
		b.sees("0:v1?") // the next one waits until this is ready
		b.ready(b.pods()[0])
		synctest.Wait()
		b.sees("0:v1 1:v1?")
		b.run()
		b.sees("0:v1 1:v1 2:v1")
		b.counted("3 3 3 3 true")
		p := b.pods()[1]
		if p.Labels[appsv1.StatefulSetPodNameLabel] != "db-1" || p.Labels[appsv1.PodIndexLabel] != "1" || p.Spec.Hostname != "db-1" || p.Spec.Subdomain != "db" ||
			p.Labels[appsv1.StatefulSetRevisionLabel] != b.set().Status.UpdateRevision || !metav1.IsControlledBy(p, b.set()) {
			t.Errorf("pod %+v", p.ObjectMeta)
		}
		b.changeSet(func(s *appsv1.StatefulSetSpec) { *s.Replicas = 1 })
		b.sees("0:v1 1:v1 2:v1-") // and back in the other order
		b.run()
		b.sees("0:v1")
	})
}

func TestStatefulSetPartition(t *testing.T) {
	onBench(t, func(b *bench) {
		b.makeSet(database(3, "shop:v1"))
		b.run()
		old := b.set().Status.CurrentRevision
		b.changeSet(func(s *appsv1.StatefulSetSpec) { runs("v2")(s); above(2)(s) })
		b.run()
		b.sees("0:v1 1:v1 2:v2")
		b.counted("3 3 2 1 false")
		b.endPod("db-0") // one below the partition comes back as it was
		b.run()
		b.sees("0:v1 1:v1 2:v2")
		b.changeSet(above(0))
		b.sees("0:v1 1:v1- 2:v2")
		b.run()
		b.sees("0:v2 1:v2 2:v2")
		b.counted("3 3 3 3 true")
		b.changeSet(runs("v1"))
		b.run()
		if st := b.set().Status; st.CurrentRevision != old {
			t.Errorf("back at %s, want the revision of before, %s", st.CurrentRevision, old)
		}
		rev, _ := stored[*appsv1.ControllerRevision](b.store, controllerRevisions, "shop", old)
		if rev.Revision != 3 || !strings.Contains(string(rev.Data.Raw), `"image":"shop:v1"`) {
			t.Errorf("revision %d, data %s", rev.Revision, rev.Data.Raw)
		}
	})
}

// TestStatefulSetBroken: the documented trap. A Pod that never gets ready blocks the
// update, and the way back too, until somebody deletes it.
func TestStatefulSetBroken(t *testing.T) {
	onBench(t, func(b *bench) {
		b.makeSet(database(3, "shop:v1"))
		b.run()
		b.changeSet(runs("broken"))
		b.run()
		b.sees("0:v1 1:v1 2:broken?")
		b.changeSet(runs("v1"))
		b.run()
		b.sees("0:v1 1:v1 2:broken?")
		b.counted("3 2 2 2 true")
		b.endPod("db-2")
		b.run()
		b.sees("0:v1 1:v1 2:v1")
		b.counted("3 3 3 3 true")
	})
}

func TestStatefulSetParallel(t *testing.T) {
	onBench(t, func(b *bench) {
		s := database(3, "shop:v1")
		s.Spec.PodManagementPolicy = appsv1.ParallelPodManagement
		b.makeSet(s)
		b.sees("0:v1? 1:v1? 2:v1?")
		b.run()
		b.changeSet(runs("broken"))
		b.run()
		b.sees("0:v1 1:v1 2:broken?") // updates go one by one all the same
		b.changeSet(runs("v1"))
		b.run()
		b.sees("0:v1 1:v1 2:v1") // but nothing blocks the way back
	})
}

func TestStatefulSetOnDelete(t *testing.T) {
	onBench(t, func(b *bench) {
		s := database(2, "shop:v1")
		s.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
		b.makeSet(s)
		b.run()
		b.changeSet(runs("v2"))
		b.run()
		b.sees("0:v1 1:v1")
		b.endPod("db-0")
		b.run()
		b.sees("0:v2 1:v1")
	})
}

func TestStatefulSetHistory(t *testing.T) {
	onBench(t, func(b *bench) {
		s := database(1, "shop:v1")
		limit := int32(1)
		s.Spec.RevisionHistoryLimit = &limit
		b.makeSet(s)
		for _, tag := range []string{"v2", "v3", "v4"} {
			b.changeSet(runs(tag))
			b.run()
		}
		items, _ := b.list(controllerRevisions, "shop")
		var have []int64
		for _, it := range items {
			have = append(have, it.obj.(*appsv1.ControllerRevision).Revision)
		}
		if slices.Sort(have); !slices.Equal(have, []int64{3, 4}) {
			t.Errorf("revisions %d, want the present one and one more", have)
		}
		if _, _, err := b.remove(statefulSets, "shop", "db", metav1.DeleteOptions{}, tester); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.run()
		if items, _ := b.list(controllerRevisions, "shop"); len(items) > 0 || b.seen() != "" {
			t.Errorf("%d revisions and pods %q outlive their owner", len(items), b.seen())
		}
	})
}

func TestStatefulSetRefuses(t *testing.T) {
	onBench(t, func(b *bench) {
		s := database(1, "shop:v1")
		s.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{}}
		if _, err := b.create(statefulSets, s, tester); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "no volumes") {
			t.Errorf("with volumes: %v", err)
		}
		b.makeSet(database(1, "shop:v1"))
		_, err := b.update(statefulSets, "shop", "db", tester, func(cur object) (object, error) {
			n := clone(cur.(*appsv1.StatefulSet))
			n.Spec.ServiceName = "other"
			return n, nil
		})
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "are forbidden") {
			t.Errorf("another service: %v", err)
		}
	})
}
