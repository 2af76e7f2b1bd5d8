package probes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// askFunc makes an asker of a function.
type askFunc func(ctx context.Context, p state.Probe, at time.Time) (Reading, error)

func (f askFunc) Ask(ctx context.Context, p state.Probe, at time.Time) (Reading, error) {
	return f(ctx, p, at)
}

func probe(name string) state.Probe {
	return state.Probe{
		Name: name, Kind: "test", Every: state.Duration(5 * time.Second),
		Timeout: state.Duration(3 * time.Second), StaleAt: state.Duration(15 * time.Second),
	}
}

// rig is a Hub that runs inside a synctest bubble and keeps what it delivers.
type rig struct {
	*Hub
	mu      sync.Mutex
	samples []state.Sample
	batches int
	stop    func()
}

func start(t *testing.T, clock state.Clock, f askFunc, probes ...state.Probe) *rig {
	t.Helper()
	r := &rig{Hub: New(Options{Clock: clock, Askers: map[string]Asker{"test": f}})}
	r.Set(probes)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- r.Run(ctx, func(b []state.Sample) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.samples = append(r.samples, b...)
			r.batches++
		})
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *rig) of(name string) []state.Sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []state.Sample
	for _, s := range r.samples {
		if s.Probe == name {
			out = append(out, s)
		}
	}
	return out
}

func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func value(v float64) askFunc {
	return func(context.Context, state.Probe, time.Time) (Reading, error) { return Reading{Value: v}, nil }
}

func TestHubAsksOnItsInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, state.Clock{}, value(2), probe("a"))
		after(time.Second)
		if n := len(r.of("a")); n != 1 {
			t.Fatalf("%d samples after a second, want the first at once", n)
		}
		after(50 * time.Second)
		if n := len(r.of("a")); n < 10 || n > 12 {
			t.Fatalf("%d samples in 51 s at 5 s", n)
		}
		r.stop()
		all := r.of("a")
		for i := 2; i < len(all); i++ {
			if gap := all[i].At.Sub(all[i-1].At); gap < 4900*time.Millisecond || gap > 5100*time.Millisecond {
				t.Fatalf("gap %v between questions %d and %d", gap, i-1, i)
			}
		}
	})
}

func TestHubIntervalIsIncidentTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		clock := state.Clock{Origin: now, Base: now.Add(-time.Hour), Speed: 60}
		var asked atomic.Pointer[time.Time]
		r := start(t, clock, func(_ context.Context, _ state.Probe, at time.Time) (Reading, error) {
			asked.Store(&at)
			return Reading{Value: 1}, nil
		}, func() state.Probe { p := probe("a"); p.Every = state.Duration(15 * time.Second); return p }())
		after(10 * time.Second) // ten incident minutes, a question every 250 ms
		if n := len(r.of("a")); n < 39 || n > 42 {
			t.Fatalf("%d samples, want about 40", n)
		}
		want := clock.At(time.Now())
		if d := want.Sub(*asked.Load()); d < 0 || d > 16*time.Second {
			t.Fatalf("asked about %v, incident time is %v", asked.Load(), want)
		}
		for _, s := range r.of("a") {
			if s.Verdict != state.OK {
				t.Fatalf("%+v", s)
			}
		}
	})
}

func TestSlowProbeDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// More probes hang than there is room for quick questions.
		var all []state.Probe
		for i := range 2 * quickAsks {
			all = append(all, probe(fmt.Sprintf("hang %d", i)))
		}
		all = append(all, probe("good"))
		r := start(t, state.Clock{}, func(ctx context.Context, p state.Probe, _ time.Time) (Reading, error) {
			if p.Name != "good" {
				<-ctx.Done()
				return Reading{}, ctx.Err()
			}
			return Reading{Value: 1}, nil
		}, all...)
		after(2 * time.Second)
		if len(r.of("good")) == 0 {
			t.Fatal("the good probe waits for those that hang")
		}
		after(60 * time.Second)
		good := r.of("good")
		if len(good) < 12 {
			t.Fatalf("only %d samples of the good probe in 62 s", len(good))
		}
		for _, s := range good {
			if s.Verdict != state.OK {
				t.Fatalf("%+v", s)
			}
		}
		bad := r.of("hang 7")
		if len(bad) < 10 || bad[0].Verdict != state.Error || !strings.Contains(bad[0].Text, "no answer within 3s") {
			t.Fatalf("hanging probe: %+v", bad)
		}
	})
}

// lag is how late a question comes, from its probe's place on the grid of its interval.
// The first one of a probe comes early.
func lag(p state.Probe, now time.Time) time.Duration {
	every := p.Every.D()
	return time.Duration((now.UnixNano() - int64(spread(p.Name, every))) % int64(every))
}

// A server that everything is asked of stops, and the others are asked as before.
func TestASourceThatHangsDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const metrics, pages = 3000, 200
		var all []state.Probe
		for i := range metrics {
			all = append(all, probe(fmt.Sprintf("metric %d", i)))
		}
		for i := range pages {
			p := probe(fmt.Sprintf("page %d", i))
			p.Query = fmt.Sprintf("http://10.0.0.%d/health", i)
			all = append(all, p)
		}
		var hangs atomic.Bool
		hangs.Store(true)
		var mu sync.Mutex
		asked, late := map[string]int{}, time.Duration(0)
		r := start(t, state.Clock{}, func(ctx context.Context, p state.Probe, _ time.Time) (Reading, error) {
			if p.Query == "" {
				if hangs.Load() {
					<-ctx.Done()
				}
				return Reading{Value: 1}, ctx.Err()
			}
			mu.Lock()
			defer mu.Unlock()
			if asked[p.Name]++; asked[p.Name] > 1 {
				late = max(late, lag(p, time.Now()))
			}
			return Reading{Value: 1}, nil
		}, all...)
		newest := func() map[string]state.Sample {
			r.mu.Lock()
			defer r.mu.Unlock()
			out := map[string]state.Sample{}
			for _, x := range r.samples {
				out[x.Probe] = x
			}
			return out
		}
		after(time.Minute)
		mu.Lock()
		if len(asked) != pages || late > 100*time.Millisecond {
			t.Errorf("%d of %d pages were asked, one %v late", len(asked), pages, late)
		}
		mu.Unlock()
		for name, x := range newest() {
			if hung := strings.HasPrefix(name, "metric"); hung && x.Verdict != state.Error && x.Verdict != state.Stale || !hung && x.Verdict != state.OK {
				t.Fatalf("while metrics hang: %+v", x)
			}
		}
		hangs.Store(false)
		after(10 * time.Second)
		for _, x := range newest() {
			if x.Verdict != state.OK {
				t.Fatalf("ten seconds after the metrics are back: %+v", x)
			}
		}
	})
}

func TestRunningProbeIsNotAskedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		p := probe("a")
		p.Every, p.Timeout = state.Duration(time.Second), state.Duration(10*time.Second)
		start(t, state.Clock{}, func(context.Context, state.Probe, time.Time) (Reading, error) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(4 * time.Second)
			now.Add(-1)
			return Reading{}, nil
		}, p)
		after(30 * time.Second)
		if most.Load() != 1 {
			t.Fatalf("%d questions of one probe at a time", most.Load())
		}
	})
}

func TestSilenceBecomesStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hang atomic.Bool
		p := probe("a")
		p.Timeout = state.Duration(time.Hour)
		r := start(t, state.Clock{}, func(ctx context.Context, _ state.Probe, _ time.Time) (Reading, error) {
			if hang.Load() {
				<-ctx.Done()
			}
			return Reading{Value: 1}, ctx.Err()
		}, p)
		after(6 * time.Second)
		hang.Store(true)
		last := r.of("a")[len(r.of("a"))-1]
		after(14 * time.Second)
		after(2 * time.Second)
		all := r.of("a")
		got := all[len(all)-1]
		if got.Verdict != state.Stale || !got.At.Equal(last.At) || got.Value != 0 {
			t.Fatalf("after silence: %+v", got)
		}
		n := len(all)
		after(time.Minute)
		if len(r.of("a")) != n {
			t.Fatal("silence is said more than once")
		}
	})
}

// While a source hangs its probes say so once: an error does not take turns with stale.
func TestAnErrorStaysAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := probe("a")
		p.StaleAt, p.Timeout = state.Duration(4*time.Second), state.Duration(20*time.Second)
		r := start(t, state.Clock{}, func(ctx context.Context, _ state.Probe, _ time.Time) (Reading, error) {
			<-ctx.Done()
			return Reading{}, ctx.Err()
		}, p)
		after(5 * time.Minute)
		var turns []state.Verdict
		for _, x := range r.of("a") {
			if n := len(turns); n == 0 || turns[n-1] != x.Verdict {
				turns = append(turns, x.Verdict)
			}
		}
		if len(turns) != 2 || turns[0] != state.Stale || turns[1] != state.Error {
			t.Fatalf("%v", turns)
		}
	})
}

func TestTimeoutIsToldWhenTheAskerIgnoresIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		r := start(t, state.Clock{}, func(context.Context, state.Probe, time.Time) (Reading, error) {
			<-free
			return Reading{Value: 1}, nil
		}, probe("a"))
		after(4 * time.Second)
		if all := r.of("a"); len(all) != 1 || all[0].Verdict != state.Error {
			t.Fatalf("%+v", all)
		}
		close(free)
		r.stop()
	})
}

func TestSetKeepsWhatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asks sync.Map
		count := func(n string) int32 {
			v, _ := asks.LoadOrStore(n, new(atomic.Int32))
			return v.(*atomic.Int32).Load()
		}
		r := start(t, state.Clock{}, func(_ context.Context, p state.Probe, _ time.Time) (Reading, error) {
			v, _ := asks.LoadOrStore(p.Name, new(atomic.Int32))
			v.(*atomic.Int32).Add(1)
			return Reading{Value: 1}, nil
		}, probe("a"), probe("b"))
		after(time.Second)
		changed := probe("b")
		changed.Unit = "s"
		r.Set([]state.Probe{probe("a"), changed, probe("c")})
		after(300 * time.Millisecond)
		if count("a") != 1 || count("b") != 2 || count("c") != 1 {
			t.Fatalf("asked a %d, b %d, c %d times", count("a"), count("b"), count("c"))
		}
		r.Set([]state.Probe{probe("a")})
		after(20 * time.Second)
		if count("c") != 1 || count("a") < 4 {
			t.Fatalf("asked a %d, c %d times", count("a"), count("c"))
		}
	})
}

func TestKickAsksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, q := probe("a"), probe("b")
		p.Every, q.Every = state.Duration(time.Hour), state.Duration(time.Hour)
		p.StaleAt, q.StaleAt = state.Duration(3*time.Hour), state.Duration(3*time.Hour)
		r := start(t, state.Clock{}, func(context.Context, state.Probe, time.Time) (Reading, error) {
			time.Sleep(200 * time.Millisecond)
			return Reading{Value: 1}, nil
		}, p, q)
		after(time.Second)
		r.Kick("a", "nobody")
		after(100 * time.Millisecond)
		r.Kick("a") // while it runs: once more afterwards
		after(time.Second)
		if a, b := len(r.of("a")), len(r.of("b")); a != 3 || b != 1 {
			t.Fatalf("%d samples of a, %d of b", a, b)
		}
		r.Kick()
		after(time.Second)
		if b := len(r.of("b")); b != 2 {
			t.Fatalf("%d samples of b after kicking all", b)
		}
	})
}

func TestBatchesAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []state.Probe
		for i := range 500 {
			p := probe(fmt.Sprint(i))
			p.Every, p.StaleAt = state.Duration(time.Second), state.Duration(time.Minute)
			all = append(all, p)
		}
		r := start(t, state.Clock{}, value(1), all...)
		after(10 * time.Second)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.batches > 210 || r.batches < 100 {
			t.Fatalf("%d batches in 10 s", r.batches)
		}
		if len(r.samples) < 4900 {
			t.Fatalf("%d samples of 500 probes in 10 s", len(r.samples))
		}
	})
}

func TestBlockedSinkLosesOnlyTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{Askers: map[string]Asker{"test": value(1)}})
		h.Set([]state.Probe{probe("a")})
		ctx, cancel := context.WithCancel(context.Background())
		block := make(chan struct{})
		var got []state.Sample
		done := make(chan error, 1)
		go func() {
			done <- h.Run(ctx, func(b []state.Sample) { <-block; got = append(got, b...) })
		}()
		time.Sleep(10 * time.Minute)
		close(block)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if len(got) > 2*backlog+1 || time.Since(got[len(got)-1].At) > 6*time.Second {
			t.Fatalf("%d samples, the last %v old", len(got), time.Since(got[len(got)-1].At))
		}
	})
}

func TestPanicAndUnknownKindAreErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		odd := probe("odd")
		odd.Kind = "gopher"
		r := start(t, state.Clock{}, func(context.Context, state.Probe, time.Time) (Reading, error) { panic("boom") }, probe("a"), odd)
		after(time.Second)
		if s := r.of("a")[0]; s.Verdict != state.Error || !strings.Contains(s.Text, "boom") {
			t.Fatalf("%+v", s)
		}
		if s := r.of("odd")[0]; s.Verdict != state.Error || !strings.Contains(s.Text, "gopher") {
			t.Fatalf("%+v", s)
		}
		if err := r.Run(context.Background(), nil); err == nil {
			t.Fatal("a second Run at once is no error")
		}
	})
}

func TestJudge(t *testing.T) {
	limit := func(f float64) *float64 { return &f }
	p := state.Probe{Name: "p", Warn: limit(1), Crit: limit(2), StaleAt: state.Duration(15 * time.Second)}
	at := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		r    Reading
		err  error
		want state.Verdict
		text string
	}{
		"ok":               {r: Reading{Value: 0.5}, want: state.OK},
		"warn":             {r: Reading{Value: 1.5}, want: state.Warn},
		"crit":             {r: Reading{Value: 3}, want: state.Crit},
		"asker knows more": {r: Reading{Value: 0.5, Verdict: state.Crit, Text: "500 12ms"}, want: state.Crit, text: "500 12ms"},
		"limits say more":  {r: Reading{Value: 3, Verdict: state.Warn}, want: state.Crit},
		"nothing":          {r: Reading{NoData: true}, want: state.NoData},
		"NaN":              {r: Reading{Value: math.NaN()}, want: state.NoData},
		"infinite":         {r: Reading{Value: math.Inf(1)}, want: state.Error, text: "infinite"},
		"old":              {r: Reading{Value: 0.5, At: at.Add(-20 * time.Second)}, want: state.Stale, text: "20s old"},
		"old but failed":   {r: Reading{At: at.Add(-20 * time.Second)}, err: errors.New("x\x1b[31my\nz"), want: state.Error, text: "xy z"},
		"endless":          {err: errors.New(strings.Repeat("é", 5000)), want: state.Error, text: "…"},
	} {
		s := Judge(p, c.r, c.err, at, at)
		if s.Verdict != c.want || !strings.Contains(s.Text, c.text) || len([]rune(s.Text)) > textLength {
			t.Errorf("%s: %+v", name, s)
		}
		if !s.Verdict.Known() && s.Value != 0 {
			t.Errorf("%s: value %v of an unknown verdict", name, s.Value)
		}
		if _, err := json.Marshal(s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPendingIsNoSampleButItsSilenceTurnsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		r := start(t, state.Clock{}, askFunc(func(context.Context, state.Probe, time.Time) (Reading, error) {
			asked.Add(1)
			return Reading{NoData: true, Pending: true}, nil
		}), probe("a"))
		after(12 * time.Second)
		if n := len(r.of("a")); n != 0 || asked.Load() < 2 {
			t.Fatalf("%d samples of %d questions", n, asked.Load())
		}
		after(20 * time.Second)
		if all := r.of("a"); len(all) != 1 || all[0].Verdict != state.Stale {
			t.Fatalf("%+v", all)
		}
	})
}
