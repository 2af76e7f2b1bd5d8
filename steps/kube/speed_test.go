package kube_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"mayday/state"
	"mayday/state/journal"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/kube"
)

// stopwatch notes when the API server has accepted the first write.
type stopwatch struct {
	next  http.RoundTripper
	mu    sync.Mutex
	sent  time.Time
	at    time.Time
	wrote chan struct{} // closed by the first accepted write
	read  chan struct{} // closed by the first answer to a question
}

func (s *stopwatch) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := time.Now()
	resp, err := s.next.RoundTrip(r)
	if err != nil || resp.StatusCode >= 300 {
		return resp, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case realPatch(r) && s.at.IsZero():
		s.sent, s.at = sent, time.Now()
		close(s.wrote)
	case r.Method == http.MethodGet && s.read != nil:
		close(s.read)
		s.read = nil
	}
	return resp, err
}

// reset begins anew.
func (s *stopwatch) reset() (read, wrote <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.wrote, s.read = time.Time{}, make(chan struct{}), make(chan struct{})
	return s.read, s.wrote
}

func (s *stopwatch) first() (sent, accepted time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent, s.at
}

// timed gives a strategy whose first accepted write is noted.
func (s *shop) timed(name string, traffic steps.Traffic) (steps.Strategy, *stopwatch) {
	w := new(stopwatch)
	w.reset()
	cfg := rest.CopyConfig(s.cfg)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { w.next = next; return w })
	once := sync.OnceValues(func() (*kube.Cluster, error) { return kube.New(cfg) })
	return kube.Strategies(func(runbook.Environment) (*kube.Cluster, error) { return once() }, traffic, kube.Preview{}, testKeys)[name], w
}

// percentile gives the value that p percent of the list are not above.
func percentile[T cmp.Ordered](list []T, p int) T {
	list = slices.Sorted(slices.Values(list))
	return list[max((len(list)*p+99)/100-1, 0)]
}

// nobody stands in for what a keeper of these benchmarks does not need.
type nobody struct{}

func (nobody) Check(context.Context, runbook.Environment, runbook.Check) (string, error) {
	return "", nil
}
func (nobody) Render(string, string, *state.Incident, time.Time, map[string]string) (string, error) {
	return "", nil
}
func (nobody) Channels(string) []string            { return nil }
func (nobody) Corrects(string) bool                { return false }
func (nobody) Add(...state.Sample) (string, error) { return "", nil }
func (nobody) Flush() error                        { return nil }
func (nobody) Write(b []byte) (int, error)         { return len(b), nil }
func (nobody) Close() error                        { return nil }

// keeper is an Engine with a journal on the disk, in whose incident a rollout has run.
func keeper(t testing.TB, st steps.Strategy, p state.Plan, n int) (e *steps.Engine, end func()) {
	t.Helper()
	id := fmt.Sprintf("INC-20261122-%d", n)
	j, err := journal.Create(journal.Folder(t.TempDir(), id))
	if err != nil {
		t.Fatal(err)
	}
	rb, err := runbook.Parse("mayday.yaml", []byte("service: shop\nenvironments: {production: {image: 'registry.local/shop:{version}', blue_green: {service: app-service, blue: app-blue, green: app-green, label: version}}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	alice := state.Actor{User: "alice", Via: "cockpit"}
	events, err := j.Append(time.Now(), alice, 0, state.Declared{ID: id, Title: "logins fail", Severity: 1, Service: "shop", Policy: state.DefaultPolicy(1), PublicKey: j.PublicKey(), Steps: steps.Catalogue(rb)},
		state.RolloutLaid{Plan: p, Item: "10.deploy"}, state.RolloutStarted{Rollout: p.ID, Item: "10.deploy"}, state.StageStarted{Rollout: p.ID, Stage: 2}, state.StageEffected{Rollout: p.ID, Stage: 2, Effect: "seen"})
	if err != nil {
		t.Fatal(err)
	}
	e, err = steps.NewEngine(steps.Options{Journal: j, History: events, Runbook: rb, Strategies: map[string]steps.Strategy{st.Name(): st},
		Checker: nobody{}, Messenger: nobody{}, Samples: nobody{}, Output: func(string) (io.WriteCloser, error) { return nobody{}, nil },
		Redact: func(s string) string { return s }, Actor: alice, Now: time.Now})
	if err == nil {
		err = e.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	// What a keeper does when it starts is over long before somebody presses R.
	for changed := e.Changed(); e.Incident().Item("2.roles").Status != state.ItemDone || e.Incident().Facts["cluster.now"] == ""; changed = e.Changed() {
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatal("the keeper does not start")
		}
	}
	return e, func() {
		if err := errors.Join(e.Close("the benchmark is over"), j.Close()); err != nil {
			t.Error(err)
		}
	}
}

// speeds are the figures of n rollbacks of a blue-green rollout that has switched.
type speeds struct {
	disk, bare  []time.Duration // the fdatasync of the bare patch; both
	before, now []time.Duration // until the write is sent; until it is accepted
	verified    []time.Duration
}

// rollBack measures, in turns, a bare patch of the Service and one fdatasync, and a
// rollback through the Engine and its journal, from the intent that says "now" until its
// first write is accepted, and from there until it is verified. armed: R was pressed
// before; else nothing was read but by the last proof.
func rollBack(t testing.TB, n int, armed bool) speeds {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	s := realShop(t, colourObjects()...)
	s.settled(t, "app-blue", "app-green")
	st, watch := s.timed("blue-green", coloursOf(s))
	p := mustPlan(t, st, s.order(blueGreenEnv()))
	for i := range 3 {
		if _, err := st.Stage(ctx, p, i, fence(0), t.Output()); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	services := dynamic.NewForConfigOrDie(s.cfg).Resource(services).Namespace(s.ns)
	patch := func(kind types.PatchType, patch string) {
		if _, err := services.Patch(ctx, "app-service", kind, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var out speeds
	for i := range n {
		begun := time.Now()
		if _, err := file.WriteString("a line of a journal as long as one of these lines usually is, more or less\n"); err != nil {
			t.Fatal(err)
		}
		if err := unix.Fdatasync(int(file.Fd())); err != nil {
			t.Fatal(err)
		}
		out.disk = append(out.disk, time.Since(begun))
		patch(types.JSONPatchType, fmt.Sprintf(`[{"op":"add","path":"/metadata/labels","value":{"n":"n%d"}}]`, i))
		out.bare = append(out.bare, time.Since(begun))
		if i > 0 { // production runs the new version again
			patch(types.MergePatchType, `{"spec":{"selector":{"version":"green"}}}`)
		}
		if proof, err := st.Prove(ctx, p, true); err != nil || proof.Ready != state.Ready { // as every 30 s
			t.Fatalf("%+v, %v", proof, err)
		}
		e, end := keeper(t, st, p, i)
		read, wrote := watch.reset()
		if armed {
			do(t, e, state.Arm{Trigger: "R"})
			<-read
		}
		begun = time.Now()
		do(t, e, state.Fire{Trigger: "R"})
		select {
		case <-wrote:
		case <-ctx.Done():
			t.Fatal("no write was accepted")
		}
		for changed := e.Changed(); e.Incident().Rollback.Status != state.RollbackDone; changed = e.Changed() {
			select {
			case <-changed:
			case <-ctx.Done():
				t.Fatalf("%+v", e.Incident().Rollback)
			}
		}
		sent, accepted := watch.first()
		out.before = append(out.before, sent.Sub(begun))
		out.now = append(out.now, accepted.Sub(begun))
		out.verified = append(out.verified, time.Since(accepted))
		end()
	}
	return out
}

func do(t testing.TB, e *steps.Engine, i state.Intent) {
	t.Helper()
	if _, err := e.Do(t.Context(), state.Actor{User: "alice", Via: "cockpit"}, i); err != nil {
		t.Fatal(err)
	}
}

// rollbacks is how many rollbacks are measured: of so many, the slowest four are above
// the 99th percentile.
const rollbacks = 400

// BenchmarkRollback is "rollback now" on a real control plane, its plan proven. Wanted:
// with R pressed before, the 99th percentile at most 1.3 times that of a bare patch and
// one fdatasync, and verified within a second. Nothing fails: other work on the machine
// is no error of the code.
func BenchmarkRollback(b *testing.B) {
	for _, armed := range []bool{true, false} {
		b.Run(map[bool]string{true: "armed", false: "at-once"}[armed], func(b *testing.B) {
			n := rollbacks
			if testing.Short() {
				n /= 4
			}
			for b.Loop() {
				v := rollBack(b, n, armed)
				ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
				for _, p := range []int{50, 90, 99} {
					b.ReportMetric(ms(percentile(v.bare, p)), fmt.Sprintf("bare-p%d-ms", p))
					b.ReportMetric(ms(percentile(v.now, p)), fmt.Sprintf("now-p%d-ms", p))
					b.ReportMetric(ms(percentile(v.now, p))/ms(percentile(v.bare, p)), fmt.Sprintf("ratio-p%d", p))
					b.ReportMetric(ms(percentile(v.disk, p)), fmt.Sprintf("bare-disk-p%d-ms", p))
					b.ReportMetric(ms(percentile(v.before, p)), fmt.Sprintf("now-unsent-p%d-ms", p))
					b.ReportMetric(ms(percentile(v.verified, p)), fmt.Sprintf("verified-p%d-ms", p))
				}
			}
		})
	}
}

// TestArmedRollbackWritesAhead of reading what the last proof has read and what it was
// told while it was armed; where that has moved since, it reads.
func TestArmedRollbackWritesAhead(t *testing.T) { inEachWorld(t, testArmedRollbackWritesAhead) }

func testArmedRollbackWritesAhead(t *testing.T, open world) {
	t.Parallel()
	s := open(t, colourObjects()...)
	s.settled(t, "app-blue", "app-green")
	var mu sync.Mutex
	var asked []string
	st := s.with("blue-green", func(r *http.Request) (int, string) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Method+" "+filepath.Base(r.URL.Path))
		return 0, ""
	})
	for epoch, moved := range []bool{false, true} {
		o := s.order(blueGreenEnv())
		o.ID = fmt.Sprintf("r%d", epoch)
		p := mustPlan(t, st, o)
		for i := range 3 {
			if _, err := st.Stage(t.Context(), p, i, fence(epoch), t.Output()); err != nil {
				t.Fatal(err)
			}
		}
		if proof, err := st.Prove(t.Context(), p, true); err != nil || proof.Ready == state.NotReady {
			t.Fatalf("%+v, %v", proof, err)
		}
		if moved {
			s.patch(t, "app-service", `{"metadata":{"labels":{"somebody":"else"}}}`)
		}
		steps.Prepare(t.Context(), st, p)
		kube.KeepYoung(st)
		mu.Lock()
		asked = nil
		mu.Unlock()
		if _, err := st.Rollback(t.Context(), p, fence(epoch+1), quietly); err != nil {
			t.Errorf("moved %t: %v", moved, err)
		}
		mu.Lock()
		want := []string{"PATCH app-service"}
		if moved {
			want = append(want, "GET app-service", "PATCH app-service")
		}
		if got := asked[:len(want)]; !slices.Equal(got, want) {
			t.Errorf("moved %t: asked %q first, want %q", moved, got, want)
		}
		mu.Unlock()
		svc, err := s.client.CoreV1().Services(s.ns).Get(t.Context(), "app-service", metav1.GetOptions{})
		if err != nil || svc.Spec.Selector["version"] != "blue" {
			t.Errorf("moved %t: selector %v, %v", moved, svc.Spec.Selector, err)
		}
	}
}
