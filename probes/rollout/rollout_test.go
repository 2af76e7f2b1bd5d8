package rollout

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"mayday/probes"
	"mayday/probes/probetest"
	"mayday/state"
)

var app = state.Probe{Name: "pods", Kind: Kind, Query: "deployment/app"}

func TestConformance(t *testing.T) {
	probetest.Run(t, func(t *testing.T, w probetest.World) (probetest.Subject, bool) {
		h, c := probetest.Web(w), newCluster()
		switch w {
		case probetest.Well:
			c.put("deployments/app", deployment(1, 3, 3, 3, 3))
			h = c.ServeHTTP
		case probetest.Refuses:
			a, err := New(&rest.Config{Host: probetest.Nobody(t)}, "shop")
			return probetest.Subject{Asker: a, Probe: app}, err == nil
		case probetest.Escapes:
			c.put("deployments/app", deployment(1, 3, 3, 1, 3))
			c.put("pods/app-1", pod("app-1", "app", "CrashLoopBackOff", "back-off\x1b[31m 5m\r\n"))
			h = c.ServeHTTP
		}
		if h == nil {
			return probetest.Subject{}, false
		}
		return probetest.Subject{Asker: asker(t, h), Probe: app}, true
	})
}

func TestStatus(t *testing.T) {
	late := deployment(1, 3, 1, 2, 3)
	late.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Status: "False", Reason: "ProgressDeadlineExceeded"}}
	older := late.DeepCopy()
	older.Generation = 2
	alone := pod("app-9", "app", "", "")
	alone.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: "False", Reason: "Unschedulable", Message: "0/3 nodes are available"}}
	leaving := pod("app-8", "app", "CrashLoopBackOff", "")
	leaving.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	for name, c := range map[string]struct {
		d    *appsv1.Deployment
		pods []*corev1.Pod
		want state.Verdict
		v    float64
		text string
	}{
		"complete":        {deployment(1, 3, 3, 3, 3), nil, state.OK, 1, "3/3 ready"},
		"scaled to zero":  {deployment(1, 0, 0, 0, 0), nil, state.OK, 1, "0/0 ready"},
		"not observed":    {deployment(2, 3, 3, 3, 3), nil, state.Warn, 1, "3/3 ready, the change is not observed yet"},
		"updating":        {deployment(1, 3, 1, 3, 4), nil, state.Warn, 1, "3/3 ready, 1 of 3 updated"},
		"old ones end":    {deployment(1, 3, 3, 3, 4), nil, state.Warn, 1, "3/3 ready, 1 old to end"},
		"not available":   {deployment(1, 4, 4, 3, 4), nil, state.Warn, 0.75, "3/4 ready, 3 of 4 available"},
		"deadline":        {late, nil, state.Crit, 2. / 3, "2/3 ready: progress deadline exceeded"},
		"an old deadline": {older, nil, state.Warn, 2. / 3, "not observed"},
		"crash loop": {deployment(1, 3, 1, 2, 3), []*corev1.Pod{pod("app-1", "app", "CrashLoopBackOff", "back-off 5m")},
			state.Crit, 2. / 3, "2/3 ready: CrashLoopBackOff: back-off 5m (pod app-1)"},
		"two pods": {deployment(1, 3, 1, 2, 3), []*corev1.Pod{pod("app-2", "app", "ImagePullBackOff", ""), pod("app-1", "app", "ErrImagePull", "")},
			state.Crit, 2. / 3, "ErrImagePull (pod app-1) and 1 more"},
		"no room":       {deployment(1, 3, 3, 2, 3), []*corev1.Pod{alone}, state.Crit, 2. / 3, "unschedulable: 0/3 nodes are available"},
		"starting":      {deployment(1, 3, 3, 2, 3), []*corev1.Pod{pod("app-1", "app", "ContainerCreating", "")}, state.Warn, 2. / 3, "2 of 3 available"},
		"a leaving pod": {deployment(1, 3, 3, 3, 3), []*corev1.Pod{leaving}, state.OK, 1, "3/3 ready"},
	} {
		r := status(c.d, c.pods, revision{})
		s := probes.Judge(app, r, nil, time.Now(), time.Now())
		if s.Verdict != c.want || s.Value != c.v || !strings.Contains(s.Text, c.text) {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// says asks once and gives the text, or the error.
func says(t *testing.T, a *Asker) string {
	t.Helper()
	r, err := a.Ask(t.Context(), app, time.Now())
	if err != nil {
		return err.Error()
	}
	return r.Text
}

func TestWatchNeedsNoReads(t *testing.T) {
	c := newCluster()
	c.put("deployments/app", deployment(1, 3, 3, 3, 3))
	c.put("pods/other-1", pod("other-1", "other", "CrashLoopBackOff", ""))
	a := asker(t, c)
	a.deployments.quiet, a.pods.quiet, a.sets.quiet = time.Hour, time.Hour, time.Hour
	run(t, a)
	live := func() bool {
		_, d := a.deployments.get("app")
		_, p := a.pods.where(func(*corev1.Pod) bool { return false })
		_, s := a.sets.where(func(*replicaSet) bool { return false })
		return d && p && s
	}
	eventually(t, "all watches stand", live)
	before, _ := c.counts()

	c.put("deployments/app", deployment(1, 3, 1, 2, 3))
	eventually(t, "the change is seen", func() bool { return says(t, a) == "2/3 ready, 1 of 3 updated" })
	c.put("pods/app-1", pod("app-1", "app", "CrashLoopBackOff", ""))
	eventually(t, "the crash is seen", func() bool { return says(t, a) == "2/3 ready: CrashLoopBackOff (pod app-1)" })
	c.remove("pods/app-1")
	eventually(t, "the pod is gone", func() bool { return says(t, a) == "2/3 ready, 1 of 3 updated" })
	c.remove("deployments/app")
	eventually(t, "the deployment is gone", func() bool { return strings.Contains(says(t, a), `no deployment "app" in namespace "shop"`) })
	if after, _ := c.counts(); after != before {
		t.Fatalf("%d reads beside the watches", after-before)
	}
}

// TestOldPodsAreNoNews: what was broken before the rollout is named, not blamed on it.
func TestOldPodsAreNoNews(t *testing.T) {
	of := func(p *corev1.Pod, hash string) *corev1.Pod {
		p.Labels["pod-template-hash"] = hash
		return p
	}
	set := func(name, revision string, owner types.UID) *appsv1.ReplicaSet {
		return &appsv1.ReplicaSet{TypeMeta: metav1.TypeMeta{Kind: "ReplicaSet", APIVersion: "apps/v1"}, ObjectMeta: metav1.ObjectMeta{Name: "app-" + name, Namespace: "shop",
			Labels: map[string]string{"app": "app", "pod-template-hash": name}, Annotations: map[string]string{revisionKey: revision}, OwnerReferences: []metav1.OwnerReference{{UID: owner}}}}
	}
	c := newCluster()
	d := deployment(1, 3, 1, 2, 4)
	d.UID, d.Annotations = "u1", map[string]string{revisionKey: "2"}
	c.put("deployments/app", d)
	c.put("replicasets/app-old", set("old", "1", "u1"))
	c.put("replicasets/app-new", set("new", "2", "u1"))
	c.put("replicasets/app-other", set("other", "2", "u2"))
	c.put("pods/app-old-1", of(pod("app-old-1", "app", "CrashLoopBackOff", ""), "old"))
	verdict := func(t *testing.T, a *Asker) (state.Verdict, string) {
		t.Helper()
		r, err := a.Ask(t.Context(), app, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return r.Verdict, r.Text
	}
	a := asker(t, c) // reads, as long as nothing watches
	const old = "; of an older revision, as before: CrashLoopBackOff (pod app-old-1)"
	if v, text := verdict(t, a); v != state.Warn || text != "2/3 ready, 1 of 3 updated"+old {
		t.Errorf("%s %q", v, text)
	}
	run(t, a)
	eventually(t, "all watches stand", func() bool { _, n := c.counts(); return n == 3 })
	c.put("pods/app-new-1", of(pod("app-new-1", "app", "ImagePullBackOff", ""), "new"))
	eventually(t, "the new pod is seen", func() bool {
		v, text := verdict(t, a)
		return v == state.Crit && text == "2/3 ready: ImagePullBackOff (pod app-new-1)"+old
	})
	// The next change: until its ReplicaSet is there, no pod is of it.
	next := deployment(2, 3, 1, 2, 4)
	next.UID, next.Annotations = d.UID, d.Annotations
	c.put("deployments/app", next)
	eventually(t, "the change is seen", func() bool {
		v, text := verdict(t, a)
		return v == state.Warn && text == "2/3 ready, the change is not observed yet; of an older revision, as before: CrashLoopBackOff (pod app-old-1) and 1 more"
	})
	seen := deployment(2, 3, 0, 2, 4)
	seen.UID, seen.Annotations, seen.Status.ObservedGeneration = d.UID, map[string]string{revisionKey: "3"}, 2
	c.put("deployments/app", seen)
	eventually(t, "its ReplicaSet is awaited", func() bool {
		v, text := verdict(t, a)
		return v == state.Warn && strings.HasPrefix(text, "2/3 ready, 0 of 3 updated; of an older")
	})
	// Who may not read ReplicaSets blames every pod, rather than none.
	denied := asker(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "replicasets") {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		c.ServeHTTP(w, r)
	}))
	if v, text := verdict(t, denied); v != state.Crit || !strings.HasPrefix(text, "2/3 ready: CrashLoopBackOff") {
		t.Errorf("without the right to list ReplicaSets: %s %q", v, text)
	}
}

func TestReadsWhileTheWatchIsDown(t *testing.T) {
	c := newCluster()
	c.put("deployments/app", deployment(1, 3, 3, 3, 3))
	a := asker(t, c)
	run(t, a)
	eventually(t, "all watches stand", func() bool { _, n := c.counts(); return n == 3 })
	c.change(func() { c.cut = true })
	eventually(t, "the watch is known to be down", func() bool { _, live := a.deployments.get("app"); return !live })
	c.put("deployments/app", deployment(1, 3, 1, 2, 3))
	// A watch that is cut as it begins stands for a moment, with what was listed before.
	eventually(t, "the change is read", func() bool { return says(t, a) == "2/3 ready, 1 of 3 updated" })
	c.change(func() { c.cut = false })
	eventually(t, "the watches are back", func() bool {
		_, d := a.deployments.get("app")
		_, p := a.pods.get("x")
		return d && p
	})
	// Back, it may begin with what was listed before the change, which comes after that.
	eventually(t, "the watches tell the change", func() bool { return says(t, a) == "2/3 ready, 1 of 3 updated" })
}

// A watch whose connection died says nothing, as one to which nothing happens: it is not
// believed for long, but believed again where the server says the same.
func TestSilentWatchIsNotBelieved(t *testing.T) {
	c := newCluster()
	c.put("deployments/app", deployment(1, 3, 3, 3, 3))
	c.put("pods/app-1", pod("app-1", "app", "", ""))
	a := asker(t, c)
	age := func(d time.Duration) {
		for _, m := range []func(){
			func() {
				a.deployments.mu.Lock()
				defer a.deployments.mu.Unlock()
				a.deployments.heard = time.Now().Add(-d)
			},
			func() { a.pods.mu.Lock(); defer a.pods.mu.Unlock(); a.pods.heard = time.Now().Add(-d) },
			func() { a.sets.mu.Lock(); defer a.sets.mu.Unlock(); a.sets.heard = time.Now().Add(-d) },
		} {
			m()
		}
	}
	a.deployments.quiet, a.pods.quiet, a.sets.quiet = time.Hour, time.Hour, time.Hour
	run(t, a)
	eventually(t, "all watches stand", func() bool {
		_, d := a.deployments.get("app")
		_, p := a.pods.get("x")
		_, s := a.sets.get("x")
		return d && p && s
	})
	c.change(func() { c.mute = true })
	reads := func() int { n, _ := c.counts(); return n }
	before := reads()
	if got := says(t, a); got != "3/3 ready" || reads() != before {
		t.Fatalf("%q after %d reads", got, reads()-before)
	}
	age(2 * time.Hour)
	if got := says(t, a); got != "3/3 ready" || reads() != before+3 {
		t.Fatalf("silent for long: %q after %d reads", got, reads()-before)
	}
	if got := says(t, a); got != "3/3 ready" || reads() != before+3 {
		t.Fatalf("found to be right: %q after %d reads", got, reads()-before)
	}
	c.put("deployments/app", deployment(1, 3, 1, 2, 3))
	c.put("pods/app-2", pod("app-2", "app", "CrashLoopBackOff", ""))
	age(2 * time.Hour)
	for range 2 {
		before = reads()
		if got := says(t, a); got != "2/3 ready: CrashLoopBackOff (pod app-2)" || reads() < before+2 {
			t.Fatalf("found to be wrong: %q after %d reads", got, reads()-before)
		}
	}
	c.change(func() { c.deaf = true })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if r, err := a.Ask(ctx, app, time.Now()); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("nobody answers: %+v, %v", r, err)
	}
}

func TestOddQueries(t *testing.T) {
	a := asker(t, newCluster())
	for _, q := range []string{"", "app", "deployment/", "statefulset/app"} {
		if _, err := a.Ask(t.Context(), state.Probe{Query: q}, time.Now()); !state.HasCode(err, "rollout-query") {
			t.Errorf("%q: %v", q, err)
		}
	}
	if _, err := a.Ask(t.Context(), app, time.Now()); !state.HasCode(err, "deployment-missing") {
		t.Error(err)
	}
}

const kubeconfig = `apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: c, user: u}}
- {name: plugin, context: {cluster: c, user: p}}
- {name: asks, context: {cluster: c, user: q}}
clusters:
- {name: c, cluster: {server: "https://127.0.0.1:1"}}
users:
- {name: u, user: {token: secret}}
- {name: p, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: helper, interactiveMode: IfAvailable}}}
- {name: q, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: helper, interactiveMode: Always}}}
`

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("KUBECONFIG", filepath.Join(dir, "none"))
	t.Setenv("HOME", dir)
	file := filepath.Join(dir, "config")
	if err := os.WriteFile(file, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, err := Config(file, ""); err != nil || cfg.Host != "https://127.0.0.1:1" || cfg.BearerToken != "secret" {
		t.Fatal(cfg, err)
	}
	if cfg, err := Config(file, "plugin"); err != nil || cfg.ExecProvider.InteractiveMode != "Never" || !cfg.ExecProvider.StdinUnavailable {
		t.Fatal(cfg, err)
	}
	for what, c := range map[string][2]string{
		"there is no kubeconfig at": {filepath.Join(dir, "gone"), ""},
		"get-contexts lists them":   {file, "two"},
		"wants a terminal":          {file, "asks"},
		"Set KUBECONFIG":            {"", ""},
	} {
		if _, err := Config(c[0], c[1]); !state.HasCode(err, "kubeconfig") || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
