package drill

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/drill/app"
	"mayday/steps/drill/follow"
)

func newRange(t *testing.T, scenario string, speed float64) *Range {
	t.Helper()
	s, err := Find(scenario)
	if err != nil {
		t.Fatal(err)
	}
	var clock state.Clock
	if speed > 0 {
		clock = state.Clock{Origin: time.Now(), Base: time.Now(), Speed: speed}
	}
	r, err := Start(t.Context(), Options{Scenario: s, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// TestRange looks at everything that a range promises.
func TestRange(t *testing.T) {
	r := newRange(t, "good", 60)
	if got, err := r.Answers(t.Context(), 50); err != nil || got[Broken] != 50 || len(got) != 1 {
		t.Errorf("production answers %v, %v", got, err)
	}
	rb, err := runbook.Load(filepath.Join(r.Clone, "mayday.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if rb.Drill == nil || rb.Drill.Scenario != "good" || !rb.Drill.Clock.Origin.Equal(r.clock.Origin) || rb.Drill.Clock.Speed != 60 {
		t.Errorf("drill: %+v", rb.Drill)
	}
	git := exec.Command("git", "status", "--porcelain")
	git.Dir = r.Clone
	if out, err := git.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("the clone is not clean: %v\n%s", err, out)
	}
	config, err := clientcmd.BuildConfigFromFlags("", r.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	d, err := kubernetes.NewForConfigOrDie(config).AppsV1().Deployments("shop").Get(t.Context(), "app-stable", metav1.GetOptions{})
	if err != nil || d.Spec.Replicas == nil || *d.Spec.Replicas != Replicas {
		t.Errorf("app-stable: %v, %v", d, err)
	}
	var a Addresses
	b, _ := os.ReadFile(filepath.Join(r.Dir, "addresses.json"))
	if err := json.Unmarshal(b, &a); err != nil || a.App != r.AppURL || a.Clone != r.Clone {
		t.Errorf("addresses.json: %v\n%s", err, b)
	}
	if b, _ := os.ReadFile(filepath.Join(r.Dir, "README.txt")); !strings.Contains(string(b), "cd "+r.Clone) {
		t.Errorf("README.txt:\n%s", b)
	}
	targets := readTargets(t, r)
	if len(targets) != Replicas+stagingReplicas {
		t.Errorf("targets: %v", targets)
	}
	for _, x := range targets {
		if text := get(t, "http://"+x.Targets[0]+"/metrics"); !strings.Contains(text, `http_requests_total{`) || x.Labels["pod"] == "" {
			t.Errorf("%v: %s", x, text)
		}
	}
	resp, err := http.Post(r.SinkURL+"/team", "application/json", strings.NewReader(`{"text":"hello"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if m := r.Messages(); len(m) != 1 || m[0].Text != "hello" || m[0].Channel != "team" {
		t.Errorf("messages: %v", m)
	}
	if text := get(t, r.SinkURL); !strings.Contains(text, "    hello\n") {
		t.Errorf("the sink shows %q", text)
	}
}

// TestRunbookCommands runs the runbook's own commands on the fresh range.
func TestRunbookCommands(t *testing.T) {
	r := newRange(t, "good", 0)
	rb, err := runbook.Load(filepath.Join(r.Clone, "mayday.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"smoke", "backup", "alerts", "migration", "config", "security", "security-validation", "fix", "fix", "focused"} {
		c := rb.Commands[name]
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, c.Run[0], c.Run[1:]...)
		cmd.Dir, cmd.Env = c.Dir, append(os.Environ(), "PREVIOUS_VERSION="+Broken, "VERSION="+Fixed)
		for k, v := range c.Env {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		cancel()
	}
}

func readTargets(t *testing.T, r *Range) []target {
	t.Helper()
	var out []target
	b, err := os.ReadFile(r.MetricsTargets)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		t.Fatalf("targets: %v\n%s", err, b)
	}
	return out
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// weigh runs Fixed in the canary and gives it a share of the traffic.
func weigh(t *testing.T, r *Range, weight int) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", r.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := follow.Client(config)
	if err != nil {
		t.Fatal(err)
	}
	patch := func(kind, name, body string) {
		if _, err := client.Resource(resources[kind]).Namespace("shop").Patch(t.Context(), name, types.MergePatchType, []byte(body), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	patch("Deployment", "app-canary",
		`{"spec":{"replicas":2,"template":{"spec":{"containers":[{"name":"app","image":"registry.local/shop:`+Fixed+`"}]}}}}`)
	if err := r.routers[0].Wait(t.Context(), serves("app-canary", 2)); err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(map[string]any{"spec": map[string]any{"http": []any{map[string]any{"route": []any{
		map[string]any{"destination": map[string]any{"host": "app-stable"}, "weight": 100 - weight},
		map[string]any{"destination": map[string]any{"host": "app-canary"}, "weight": weight}}}}}})
	patch("VirtualService", "app", string(b))
}

// logins sends n logins of an account with a profile, eight at a time, and counts
// the failures by version.
func logins(t *testing.T, r *Range, n int) map[string]int {
	t.Helper()
	var mu sync.Mutex
	failed := map[string]int{}
	var group errgroup.Group
	group.SetLimit(8)
	for range n {
		group.Go(func() error {
			resp, err := http.Post(r.AppURL+"/api/login", "application/json", strings.NewReader(`{"email":"ada@example.com","password":"`+app.Password+`"}`))
			if err != nil {
				return err
			}
			resp.Body.Close()
			if resp.StatusCode != 200 {
				mu.Lock()
				defer mu.Unlock()
				failed[resp.Header.Get("X-Version")]++
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	return failed
}

// eventually waits for what other goroutines of the range bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestBadCanaryBreaksAtAQuarter(t *testing.T) {
	t.Parallel()
	r := newRange(t, "bad-canary", 0)
	weigh(t, r, 10)
	if failed := logins(t, r, 60); len(failed) > 0 {
		t.Errorf("at 10 %%: %v", failed)
	}
	weigh(t, r, 25)
	eventually(t, "logins fail at 25 %", func() bool { return logins(t, r, 20)[Fixed] > 0 })
	weigh(t, r, 0)
	eventually(t, "logins work again at 0 %", func() bool { return len(logins(t, r, 20)) == 0 })
}

func TestNoDataGoesMuteAtHalf(t *testing.T) {
	t.Parallel()
	r := newRange(t, "no-data", 0)
	answering := func() (n int) {
		for _, x := range readTargets(t, r) {
			if x.Labels["namespace"] == "shop" && strings.Contains(get(t, "http://"+x.Targets[0]+"/metrics"), "http_requests_total") {
				n++
			}
		}
		return n
	}
	weigh(t, r, 25)
	logins(t, r, 40)
	if n := answering(); n != Replicas+2 {
		t.Errorf("at 25 %%: %d pods give metrics", n)
	}
	weigh(t, r, 50)
	eventually(t, "no pod gives metrics at 50 %", func() bool { return answering() == 0 })
	if failed := logins(t, r, 20); len(failed) > 0 {
		t.Errorf("the app itself fails: %v", failed)
	}
}

func TestSlowBurnClimbsOnceItIsAlone(t *testing.T) {
	t.Parallel()
	r := newRange(t, "slow-burn", 600)  // two and twelve minutes are 1.4 s
	took := func(n int) time.Duration { // the best of n: what a busy machine adds is not the app's
		best := time.Hour
		for range n {
			start := time.Now()
			logins(t, r, 8)
			best = min(best, time.Since(start))
		}
		return best
	}
	weigh(t, r, 100)
	before := took(4)
	config, err := clientcmd.BuildConfigFromFlags("", r.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kubernetes.NewForConfigOrDie(config).AppsV1().Deployments("shop").Patch(t.Context(), "app-stable", types.MergePatchType,
		[]byte(`{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"registry.local/shop:`+Fixed+`"}]}}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the slowest of 8 logins takes twice as long", func() bool { return took(1) > max(2*before, 600*time.Millisecond) })
}

func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	s, _ := Find("good")
	r, err := Start(t.Context(), Options{Scenario: s})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.Dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", r.Dir, err)
	}
	if _, err := http.Get(r.AppURL); err == nil {
		t.Error("the router still answers")
	}
	http.DefaultClient.CloseIdleConnections()
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}

func TestDir(t *testing.T) {
	s, _ := Find("good")
	dir := filepath.Join(t.TempDir(), "range")
	r, err := Start(t.Context(), Options{Scenario: s, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "shop", "mayday.yaml")); err != nil {
		t.Errorf("a folder that was given went away: %v", err)
	}
	if _, err := Start(t.Context(), Options{Scenario: s, Dir: dir}); !state.HasCode(err, "usage") {
		t.Errorf("a folder in use: %v", err)
	}
}

func TestFind(t *testing.T) {
	for _, s := range Scenarios() {
		if got, err := Find(s.Name); err != nil || got.Title != s.Title || s.Story == "" || s.Teaches == "" {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	if _, err := Find("god"); !state.HasCode(err, "usage") || !strings.Contains(err.Error(), "bad-canary") {
		t.Errorf("got %v", err)
	}
}

func BenchmarkStart(b *testing.B) {
	s, _ := Find("good")
	for b.Loop() {
		r, err := Start(b.Context(), Options{Scenario: s})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		r.Close()
		b.StartTimer()
	}
}
