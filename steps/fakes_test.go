package steps

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// memory is a journal that can fail.
type memory struct {
	mu     sync.Mutex
	seq    uint64
	events []state.Event
	fail   error
	hang   chan struct{} // blocks Append while open
}

func (m *memory) Append(at time.Time, actor state.Actor, expect uint64, facts ...state.Fact) ([]state.Event, error) {
	m.mu.Lock()
	hang := m.hang
	m.mu.Unlock()
	if hang != nil {
		<-hang
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	if expect != 0 && expect != m.seq {
		return nil, errors.New("the journal has moved on")
	}
	var out []state.Event
	for _, f := range facts {
		m.seq++
		out = append(out, state.Event{Seq: m.seq, Time: at, Actor: actor, Fact: f})
	}
	m.events = append(m.events, out...)
	return out, nil
}

func (m *memory) Checkpoint(time.Time) ([]state.Event, error) { return nil, nil }
func (m *memory) Head() (uint64, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seq, "51ab9c2"
}
func (m *memory) Signed() uint64 { return 0 }

// all gives the events written so far.
func (m *memory) all() []state.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]state.Event(nil), m.events...)
}

func (m *memory) set(err error) {
	m.mu.Lock()
	m.fail = err
	m.mu.Unlock()
}

// stall makes every Append hang until answer is called.
func (m *memory) stall() (answer func()) {
	hang := make(chan struct{})
	m.mu.Lock()
	m.hang = hang
	m.mu.Unlock()
	return func() {
		m.mu.Lock()
		m.hang = nil
		m.mu.Unlock()
		close(hang)
	}
}

// world is a strategy whose cluster is a few numbers.
type world struct {
	mu      sync.Mutex
	weight  int
	version string // of stable
	epoch   int    // the highest fence seen
	asked   []Order
	fences  []Fence
	stages  []state.Stage
	failAt  int // stage that returns fail
	fail    error
	undone  int
	rollErr error
	ready   state.Readiness
}

func (w *world) Name() string { return "canary" }
func (w *world) Plan(_ context.Context, o Order) (state.Plan, error) {
	w.mu.Lock()
	w.asked = append(w.asked, o)
	w.mu.Unlock()
	return state.Plan{ID: "r1", Version: "v1.2.4", Target: "v1.2.3", Stages: w.stages,
		Inverse: []state.Op{{ID: "traffic", Title: "weights back", Command: "kubectl patch"}}}, nil
}
func (w *world) Prove(context.Context, state.Plan, bool) (state.Proof, error) {
	return state.Proof{Ready: w.ready, Target: "v1.2.3", Why: "because"}, nil
}
func (w *world) Look(context.Context, state.Plan) ([]string, error) {
	return []string{"weights 75/25"}, nil
}
func (w *world) Stage(ctx context.Context, p state.Plan, i int, f Fence, _ io.Writer) (Effect, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fences = append(w.fences, f)
	if f.Epoch < w.epoch {
		return Effect{}, ErrFenced
	}
	if w.fail != nil && i == w.failAt {
		return Effect{}, w.fail
	}
	w.weight = p.Stages[i].Weight
	return Effect{Text: "seen", Seen: float64(w.weight)}, ctx.Err()
}
func (w *world) Rollback(_ context.Context, p state.Plan, f Fence, report func(state.RollbackOp)) (Verification, error) {
	report(state.RollbackOp{Op: "traffic", Status: state.ItemRunning})
	w.mu.Lock() // never held over report: it may wait for the journal
	w.epoch, w.fences = f.Epoch, append(w.fences, f)
	err := w.rollErr
	if err == nil {
		w.weight, w.version, w.undone = 0, p.Target, w.undone+1
	}
	w.mu.Unlock()
	if err != nil {
		return Verification{Manual: []string{"kubectl patch by hand"}}, err
	}
	report(state.RollbackOp{Op: "traffic", Status: state.ItemDone})
	return Verification{Text: "v1.2.3 answered 50 of 50"}, nil
}

type nothing struct{}

func (nothing) Check(context.Context, runbook.Environment, runbook.Check) (string, error) {
	return "200", nil
}
func (nothing) Render(occasion, audience string, in *state.Incident, _ time.Time, _ map[string]string) (string, error) {
	if audience == "customers" && (occasion == "update" || occasion == "declared") {
		occasion = audience
	}
	return occasion + " " + in.ID, nil
}
func (nothing) Channels(audience string) []string {
	if audience == "alerts" || audience == "changes" {
		return nil
	}
	return []string{"#incidents"}
}
func (nothing) Corrects(string) bool                      { return true }
func (nothing) Add(...state.Sample) (string, error)       { return "", nil }
func (nothing) Flush() error                              { return nil }
func (nothing) Write(b []byte) (int, error)               { return len(b), nil }
func (nothing) Close() error                              { return nil }
func openNothing(string) (io.WriteCloser, error)          { return nothing{}, nil }
func done(context.Context, Job) (Outcome, error)          { return Outcome{Summary: "done"}, nil }
func failing(context.Context, Job) (Outcome, error)       { return Outcome{}, errors.New("no") }
func waiting(ctx context.Context, _ Job) (Outcome, error) { <-ctx.Done(); return Outcome{}, ctx.Err() }

// rig is an Engine with everything faked, at the door of step 10.
type rig struct {
	*Engine
	t       *testing.T
	journal *memory
	world   *world
	probe   state.Probe
	actions map[string]*swap
}

// swap is an action that a test may exchange while the Engine runs.
type swap struct {
	mu sync.Mutex
	a  ActionFunc
}

func (s *swap) Preview(context.Context, Job) (Preview, error) { return Preview{}, nil }

func (s *swap) Run(ctx context.Context, j Job) (Outcome, error) {
	s.mu.Lock()
	a := s.a
	s.mu.Unlock()
	return a(ctx, j)
}

// act makes the item do f from its next run on.
func (r *rig) act(item string, f ActionFunc) {
	s := r.actions[item]
	s.mu.Lock()
	s.a = f
	s.mu.Unlock()
}

// masked hides the one secret of these tests.
func masked(_ *rig, o *Options) {
	o.Redact = func(s string) string { return strings.ReplaceAll(s, "hunter2", "•••") }
}

var alice = state.Actor{User: "alice", Host: "bastion", PID: 1, Via: "cockpit"}

// newRig opens an Engine; each of with may change what it is made of, before anything
// of it runs.
func newRig(t *testing.T, with ...func(*rig, *Options)) *rig {
	t.Helper()
	return newRigOn(t, nil, with...)
}

// newRigOn is newRig on a journal that another keeper left; nil: a fresh one.
func newRigOn(t *testing.T, history []state.Event, with ...func(*rig, *Options)) *rig {
	t.Helper()
	r := &rig{t: t, journal: &memory{}, probe: errorRate("error rate new", state.RoleNew),
		world: &world{version: "v1.2.3", ready: state.Ready, stages: []state.Stage{
			{Name: "canary 25 %", Weight: 25, Hold: state.Duration(30 * time.Second)},
			{Name: "canary 100 %", Weight: 100, Hold: state.Duration(30 * time.Second)}}}}
	rb := fullRunbook()
	rb.Probes = []runbook.Probe{{Name: r.probe.Name, Query: "x", Unit: "ratio", Warn: limit(r.probe.Warn), Crit: limit(r.probe.Crit),
		Role: state.RoleNew, Every: r.probe.Every, Stale: state.Duration(20 * time.Second)}}
	if history != nil {
		r.journal.events, r.journal.seq = append(r.journal.events, history...), history[len(history)-1].Seq
		r.open(rb, history, with...)
		return r
	}
	events, err := r.journal.Append(time.Now(), alice, 0, state.Declared{ID: "INC-1", Title: "logins fail", Severity: 1, Policy: state.DefaultPolicy(1), Steps: Catalogue(rb)},
		state.FactsFound{Facts: map[string]string{"tag": "v1.2.4", "baseline": "v1.2.3", "9.strategy": "canary", "commit": "3f9c1d0"}})
	if err != nil {
		t.Fatal(err)
	}
	r.open(rb, events, with...)
	return r
}

func (r *rig) open(rb *runbook.Runbook, history []state.Event, with ...func(*rig, *Options)) {
	r.t.Helper()
	actions := map[string]Action{}
	r.actions = map[string]*swap{}
	for _, s := range Catalogue(rb) {
		for _, it := range s.Items {
			r.actions[it.ID] = &swap{a: done}
			actions[it.ID] = r.actions[it.ID]
		}
	}
	o := Options{Journal: r.journal, History: history, Runbook: rb, Actions: actions, Strategies: map[string]Strategy{"canary": r.world},
		Checker: nothing{}, Messenger: nothing{}, Samples: nothing{}, Output: openNothing, Redact: func(s string) string { return s },
		Actor: state.Actor{User: "alice", PID: 7}, Now: time.Now}
	for _, w := range with {
		w(r, &o)
	}
	e, err := NewEngine(o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Engine = e
	if err := e.Start(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) do(i state.Intent) error {
	_, err := r.Do(context.Background(), alice, i)
	return err
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// deploy settles what stands before the deployment and starts it.
func (r *rig) deploy() {
	r.t.Helper()
	r.settle()
	r.must(r.do(state.Run{Item: "10.deploy"}))
}

// settle settles what stands before the deployment.
func (r *rig) settle() {
	r.t.Helper()
	in := r.Incident()
	for _, s := range in.Steps {
		for _, it := range s.Items {
			if s.No <= 10 && !it.Auto && it.ID != "9.plan" && it.ID != "10.deploy" && it.ID != "10.validate" && it.ID != "1.decision" {
				r.must(r.do(state.PassOver{Item: it.ID, Reason: "test"}))
			}
		}
	}
	r.must(r.do(state.Run{Item: "9.plan"}))
	r.until("planned", func(in *state.Incident) bool { return in.Item("9.plan").Status == state.ItemDone })
}

// until waits for the journal to make something true.
func (r *rig) until(what string, ok func(*state.Incident) bool) *state.Incident {
	r.t.Helper()
	deadline := time.After(24 * time.Hour) // of synctest's clock
	for {
		changed := r.Changed()
		if in := r.Incident(); ok(in) {
			return in
		}
		select {
		case <-changed:
		case <-deadline:
			in := r.Incident()
			r.t.Fatalf("never %s: rollouts %+v rollback %+v", what, in.Rollouts, in.Rollback)
		}
	}
}

// feed gives the probe's reading every five seconds until stop is called.
func (r *rig) feed(reading func() (float64, state.Verdict)) (stop func()) {
	quit, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for {
			v, verdict := reading()
			if verdict == "" {
				verdict = r.probe.Judge(v)
			}
			r.Observe([]state.Sample{{Probe: r.probe.Name, At: r.Now(), Got: r.Now(), Value: v, Verdict: verdict}})
			select {
			case <-quit:
				return
			case <-time.After(5 * time.Second):
			}
		}
	}()
	return func() { close(quit); <-over }
}

// limit writes a threshold as a runbook has it.
func limit(v *float64) *runbook.Limit {
	if v == nil {
		return nil
	}
	return &runbook.Limit{Value: *v}
}
