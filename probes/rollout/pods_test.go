package rollout

import (
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"mayday/probes"
	"mayday/probes/probetest"
	"mayday/state"
)

// of makes the asker of a kind on a cluster.
func of(t *testing.T, kind, host string) (probes.Asker, state.Probe) {
	t.Helper()
	cfg, p := &rest.Config{Host: host}, state.Probe{Name: kind, Kind: kind, Query: "app=app"}
	if kind == KindEvents {
		p.Query = "Pod/app"
		e, err := NewEvents(cfg, "shop")
		if err != nil {
			t.Fatal(err)
		}
		return e, p
	}
	a, err := New(cfg, "shop")
	if err != nil {
		t.Fatal(err)
	}
	if kind == KindPods {
		return Pods{a}, p
	}
	return NewRestarts(a), p
}

func TestConformanceOfPodsRestartsAndEvents(t *testing.T) {
	for _, kind := range []string{KindPods, KindRestarts, KindEvents} {
		t.Run(kind, func(t *testing.T) {
			probetest.Run(t, func(t *testing.T, w probetest.World) (probetest.Subject, bool) {
				h, c := probetest.Web(w), newCluster()
				host := ""
				switch w {
				case probetest.Well:
					c.put("pods/app-1", pod("app-1", "app", "", ""))
					h = c.ServeHTTP
				case probetest.Empty:
					if kind != KindEvents { // no warnings are none
						h = c.ServeHTTP
					}
				case probetest.Escapes:
					if kind == KindPods {
						c.put("pods/app-1", pod("app-1", "app", "CrashLoopBackOff", "back-off\x1b[31m 5m\r\n"))
						h = c.ServeHTTP
					}
				case probetest.Refuses:
					host = probetest.Nobody(t)
				}
				if h != nil {
					host = probetest.Serve(t, h)
				}
				if host == "" {
					return probetest.Subject{}, false
				}
				a, p := of(t, kind, host)
				return probetest.Subject{Asker: a, Probe: p}, true
			})
		})
	}
}

// told asks once.
func told(t *testing.T, a probes.Asker, p state.Probe, at time.Time) probes.Reading {
	t.Helper()
	r, err := a.Ask(t.Context(), p, at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func ready(p *corev1.Pod) *corev1.Pod {
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
	return p
}

func TestPodsOfASelector(t *testing.T) {
	c := newCluster()
	a, p := of(t, KindPods, probetest.Serve(t, c))
	c.put("pods/app-1", ready(pod("app-1", "app", "", "")))
	c.put("pods/app-2", ready(pod("app-2", "app", "", "")))
	c.put("pods/app-3", pod("app-3", "app", "ContainerCreating", ""))
	leaving := pod("app-4", "app", "CrashLoopBackOff", "")
	leaving.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	over := pod("app-5", "app", "", "")
	over.Status.Phase = corev1.PodSucceeded
	c.put("pods/app-4", leaving)
	c.put("pods/app-5", over)
	if r := told(t, a, p, time.Now()); r.Value != 2./3 || r.Text != "2/3 ready" || r.Verdict != "" {
		t.Errorf("%+v", r)
	}
	c.put("pods/app-3", pod("app-3", "app", "ImagePullBackOff", ""))
	if r := told(t, a, p, time.Now()); r.Verdict != state.Crit || r.Text != "2/3 ready: ImagePullBackOff (pod app-3)" {
		t.Errorf("%+v", r)
	}
	p.Query = "app=("
	if _, err := a.Ask(t.Context(), p, time.Now()); !state.HasCode(err, "pods-selector") {
		t.Error(err)
	}
}

func TestRestartsAreCountedForTenMinutes(t *testing.T) {
	c := newCluster()
	a, p := of(t, KindRestarts, probetest.Serve(t, c))
	at := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	restarted := func(name string, n int32) {
		x := pod(name, "app", "", "")
		x.UID = types.UID("uid of " + name)
		x.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "shop", RestartCount: n}}
		c.put("pods/"+name, x)
	}
	restarted("app-1", 7)
	for _, step := range []struct {
		after time.Duration
		do    func()
		want  float64
		text  string
	}{
		{0, func() {}, 0, ""}, // what was before does not count
		{5 * time.Second, func() { restarted("app-1", 8) }, 1, "the last: app-1/shop"},
		{10 * time.Second, func() { restarted("app-2", 2) }, 3, "the last: app-2/shop"}, // a new pod's all count
		{9 * time.Minute, func() { c.remove("pods/app-2") }, 3, "the last: app-2/shop"},
		{10*time.Minute + 7*time.Second, func() {}, 2, "the last: app-2/shop"},
		{11 * time.Minute, func() {}, 0, ""},
	} {
		step.do()
		if r := told(t, a, p, at.Add(step.after)); r.Value != step.want || r.Text != step.text || r.NoData {
			t.Errorf("after %v: %+v", step.after, r)
		}
	}
	c.remove("pods/app-1")
	if r := told(t, a, p, at.Add(time.Hour)); !r.NoData {
		t.Errorf("without pods: %+v", r)
	}
}

func happened(name, about, why string, n int32, at time.Time) *corev1.Event {
	return &corev1.Event{TypeMeta: metav1.TypeMeta{Kind: "Event", APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID("uid of " + name)},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: about}, Type: "Warning", Reason: why, Message: "because \x1b[31mof it", Count: n, LastTimestamp: metav1.NewTime(at)}
}

// The same by reading and by watching.
func TestWarningsSinceTheLastLook(t *testing.T) {
	for name, watched := range map[string]bool{"read": false, "watched": true} {
		t.Run(name, func(t *testing.T) {
			c := newCluster()
			asked := probetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Get("fieldSelector") != warnings {
					t.Errorf("asked %s", r.URL)
				}
				c.ServeHTTP(w, r)
			}))
			a, p := of(t, KindEvents, asked)
			at := time.Now().Truncate(time.Second)
			c.put("events/e1", happened("e1", "app-1", "BackOff", 5, at))
			if watched {
				e := a.(*Events)
				runs(t, e.Run)
				eventually(t, "the watch stands", func() bool { _, live := e.mirror.get("e1"); return live })
			}
			if r := told(t, a, p, at); r.Value != 0 || r.Text != "" || r.NoData {
				t.Fatalf("what was before counts: %+v", r)
			}
			c.put("events/e1", happened("e1", "app-1", "BackOff", 7, at.Add(time.Second)))
			c.put("events/e2", happened("e2", "app-2", "Unhealthy", 0, at.Add(2*time.Second)))
			c.put("events/e3", happened("e3", "other-1", "BackOff", 9, at.Add(3*time.Second)))
			var n float64
			var text string
			eventually(t, "three warnings", func() bool {
				r := told(t, a, p, at)
				if n += r.Value; r.Value > 0 {
					text = r.Text
				}
				return n >= 3
			})
			if n != 3 || text != "Pod/app-2 Unhealthy: because of it" {
				t.Errorf("%v warnings, the newest %q", n, text)
			}
			c.remove("events/e1") // its time is up: no news
			if r := told(t, a, p, at); r.Value != 0 {
				t.Errorf("%+v", r)
			}
		})
	}
	a, p := of(t, KindEvents, probetest.Serve(t, newCluster()))
	p.Query = "("
	if _, err := a.Ask(t.Context(), p, time.Now()); !state.HasCode(err, "events-match") || strings.Contains(err.Error(), "\x1b") {
		t.Error(err)
	}
}
