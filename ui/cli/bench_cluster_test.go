package cli_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"mayday/probes/rollout"
	"mayday/state"
	"mayday/state/journal"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/kube"
	"mayday/steps/kube/kubetest"
)

// deployments is YAML of Deployments app-0 to app-n.
func deploymentsYAML(n, replicas int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app-%[1]d}
spec:
  replicas: %[2]d
  selector: {matchLabels: {app: app-%[1]d}}
  template:
    metadata: {labels: {app: app-%[1]d}}
    spec: {containers: [{name: app, image: "registry.local/shop:v1.2.3"}]}
`, i, replicas)
	}
	return b.String()
}

// BenchmarkRollbackCommand compares "mayday rollback --immediate" with kubectl's "rollout
// undo", in turns, on a real control plane. The whole process ends when the old pods are
// seen to be back; kubectl's ends when the API server has accepted the change, so there
// are three ratios: that of the whole processes, that of our process until its change is
// seen to be accepted, and that to "undo" and "rollout status", which waits too.
func BenchmarkRollbackCommand(b *testing.B) {
	mayday := built(b)
	c := kubetest.Shared(b)
	ns := c.Namespace(b)
	c.Apply(b, ns, deploymentsYAML(2, 2))
	timed := func(want int, env []string, dir, name string, args ...string) time.Duration {
		cmd := exec.CommandContext(b.Context(), name, args...)
		cmd.Env, cmd.Dir = env, dir
		begun := time.Now()
		out, _ := cmd.CombinedOutput() // the code says it
		if code := cmd.ProcessState.ExitCode(); code != want {
			b.Fatalf("%s %v ends with %d: %s", name, args, code, out)
		}
		return time.Since(begun)
	}
	kubectl := func(args ...string) time.Duration {
		return timed(0, nil, "", c.Kubectl, append([]string{"--kubeconfig", c.Kubeconfig, "-n", ns}, args...)...)
	}
	kubectl("rollout", "status", "deployment/app-0")
	kubectl("rollout", "status", "deployment/app-1")
	var ours, accepted, undo, both []time.Duration
	for b.Loop() {
		for n := range 10 {
			env, dir := rolledOutTo(b, c, ns, n)
			back := goesBack(b, c, ns)
			begun := time.Now()
			ours = append(ours, timed(3, env, dir, mayday, "rollback", "--immediate"))
			accepted = append(accepted, (<-back).Sub(begun))
			kubectl("set", "image", "deployment/app-1", fmt.Sprintf("app=registry.local/shop:v2.%d.%d", n, b.N))
			kubectl("rollout", "status", "deployment/app-1")
			u := kubectl("rollout", "undo", "deployment/app-1")
			undo, both = append(undo, u), append(both, u+kubectl("rollout", "status", "deployment/app-1"))
		}
	}
	b.ReportMetric(ms(median(ours)), "mayday-ms")
	b.ReportMetric(ms(median(undo)), "undo-ms")
	b.ReportMetric(ms(median(both)), "undo-status-ms")
	b.ReportMetric(ms(median(accepted)), "mayday-accepted-ms")
	b.ReportMetric(ms(median(ours))/ms(median(undo)), "ratio-undo")
	report(b, ms(median(accepted))/ms(median(undo)), 0.8, "ratio-accepted-undo")
	report(b, ms(median(ours))/ms(median(both)), 0.8, "ratio-undo-status")
}

// goesBack gives the time at which Deployment app-0 is seen to be told v1.2.3 again.
func goesBack(b *testing.B, c *kubetest.Cluster, ns string) <-chan time.Time {
	b.Helper()
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		b.Fatal(err)
	}
	live, err := client.AppsV1().Deployments(ns).Get(b.Context(), "app-0", metav1.GetOptions{})
	if err != nil {
		b.Fatal(err)
	}
	w, err := client.AppsV1().Deployments(ns).Watch(b.Context(), metav1.ListOptions{FieldSelector: "metadata.name=app-0", ResourceVersion: live.ResourceVersion})
	if err != nil {
		b.Fatal(err)
	}
	back := make(chan time.Time, 1)
	go func() {
		defer w.Stop()
		defer close(back)
		for e := range w.ResultChan() {
			if d, ok := e.Object.(*appsv1.Deployment); ok && strings.HasSuffix(d.Spec.Template.Spec.Containers[0].Image, ":v1.2.3") {
				back <- time.Now()
				return
			}
		}
	}()
	return back
}

// rolledOutTo leaves an incident that has given Deployment app-0 another version, and
// nobody who keeps it. It gives the environment and the folder to act on it from.
func rolledOutTo(b *testing.B, c *kubetest.Cluster, ns string, n int) (env []string, dir string) {
	b.Helper()
	env, dir = private(b), b.TempDir()
	path := filepath.Join(dir, runbook.FileName)
	text := fmt.Sprintf("service: shop\nenvironments:\n  production:\n    namespace: %s\n    kubeconfig: %s\n    image: \"registry.local/shop:{version}\"\n    immediate: {deployment: app-0}\n", ns, c.Kubeconfig)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	rb, err := runbook.Load(path)
	if err != nil {
		b.Fatal(err)
	}
	production, _ := rb.Production()
	home := strings.TrimPrefix(env[len(env)-2], "MAYDAY_HOME=")
	id := "INC-20261122-01"
	j, err := journal.Create(journal.Folder(home, id))
	if err != nil {
		b.Fatal(err)
	}
	tell := func(facts ...state.Fact) {
		for _, f := range facts {
			if _, err := j.Append(time.Now(), state.Actor{User: "alice", Via: "cockpit"}, 0, f); err != nil {
				b.Fatal(err)
			}
		}
	}
	tell(state.Declared{ID: id, Title: "logins fail", Severity: 1, Service: "shop", Policy: state.DefaultPolicy(1),
		Steps: steps.Catalogue(rb), PublicKey: j.PublicKey(), Runbook: path})
	s := kube.Strategies(kube.Connect, nil, kube.Preview{}, nil)["immediate"]
	// Each incident is another one to the cluster, too: the one before has closed its fence.
	of := fmt.Sprintf("INC-2026%04d-%d", n, time.Now().UnixNano())
	p, err := s.Plan(b.Context(), steps.Order{ID: "r1", Environment: production, Version: fmt.Sprintf("v2.%d.%d", n, b.N), Previous: "v1.2.3", Incident: of})
	if err != nil {
		b.Fatal(err)
	}
	tell(state.RolloutLaid{Plan: p, Item: "10.deploy"}, state.RolloutStarted{Rollout: "r1", Item: "10.deploy"})
	tell(state.StageStarted{Rollout: "r1", Stage: 0})
	if _, err := s.Stage(b.Context(), p, 0, steps.Fence{Incident: of}, io.Discard); err != nil {
		b.Fatal(err)
	}
	tell(state.StageEffected{Rollout: "r1", Stage: 0, Effect: "seen"})
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	return env, dir
}

// counted counts requests.
type counted struct {
	next http.RoundTripper
	n    *atomic.Int64
}

func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.next.RoundTrip(r)
}

// BenchmarkWatched is what two hundred watched Deployments cost: the heap, and the
// requests of half a minute in which each is asked about every five seconds.
func BenchmarkWatched(b *testing.B) {
	const n = 200
	c := kubetest.Shared(b)
	ns := c.Namespace(b)
	c.Apply(b, ns, deploymentsYAML(n, 2))
	var requests atomic.Int64
	cfg := rest.CopyConfig(c.Config())
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return counted{next, &requests} })
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapInuse+m.StackInuse) / (1 << 20)
	}
	before := heap()
	a, err := rollout.New(cfg, ns)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	ask := func() (ready int) {
		for i := range n {
			r, err := a.Ask(ctx, state.Probe{Name: "x", Kind: rollout.Kind, Query: fmt.Sprintf("deployment/app-%d", i)}, time.Now())
			if err == nil && strings.HasPrefix(r.Text, "2/2") {
				ready++
			}
		}
		return ready
	}
	for give := time.Now().Add(2 * time.Minute); ask() < n; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(give) {
			b.Fatalf("%d of %d are seen ready", ask(), n)
		}
	}
	for b.Loop() {
		from := requests.Load()
		for range 6 {
			ask()
			time.Sleep(5 * time.Second)
		}
		b.ReportMetric(float64(requests.Load()-from), "requests")
	}
	report(b, heap()-before, 60, "MiB")
	cancel()
	<-ended
}
