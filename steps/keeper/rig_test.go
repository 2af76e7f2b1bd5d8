package keeper

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// world is all that an Engine is wired with, faked.
type world struct {
	release chan struct{} // previews of 5.hang wait for it
	hanging chan struct{} // one for each that waits
	undo    chan struct{} // nil: rollbacks do not wait
}

func newWorld() *world {
	return &world{release: make(chan struct{}), hanging: make(chan struct{}, 100)}
}

func (w *world) Preview(ctx context.Context, _ steps.Job) (steps.Preview, error) {
	w.hanging <- struct{}{}
	select {
	case <-w.release:
		return steps.Preview{Text: "at last"}, nil
	case <-ctx.Done():
		return steps.Preview{}, ctx.Err()
	}
}
func (w *world) Run(context.Context, steps.Job) (steps.Outcome, error) { return steps.Outcome{}, nil }

func (w *world) Name() string { return "canary" }
func (w *world) Plan(context.Context, steps.Order) (state.Plan, error) {
	return state.Plan{}, nil
}
func (w *world) Prove(context.Context, state.Plan, bool) (state.Proof, error) {
	return state.Proof{Ready: state.Ready}, nil
}
func (w *world) Look(context.Context, state.Plan) ([]string, error) { return nil, nil }
func (w *world) Stage(context.Context, state.Plan, int, steps.Fence, io.Writer) (steps.Effect, error) {
	return steps.Effect{}, nil
}
func (w *world) Rollback(ctx context.Context, p state.Plan, _ steps.Fence, _ func(state.RollbackOp)) (steps.Verification, error) {
	if w.undo != nil {
		select {
		case <-w.undo:
		case <-ctx.Done():
		}
	}
	return steps.Verification{Text: p.Target + " serves"}, nil
}

// mute is a journal in memory, with the lock that one keeper holds, and whatever
// else must be there.
type mute struct {
	mu     sync.Mutex
	seq    uint64
	events []state.Event
	kept   bool
}

// all gives the events so far.
func (m *mute) all() []state.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]state.Event(nil), m.events...)
}

func (m *mute) Append(at time.Time, actor state.Actor, _ uint64, facts ...state.Fact) ([]state.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []state.Event
	for _, f := range facts {
		m.seq++
		out = append(out, state.Event{Seq: m.seq, Time: at, Actor: actor, Fact: f})
	}
	m.events = append(m.events, out...)
	return out, nil
}
func (m *mute) Checkpoint(time.Time) ([]state.Event, error) { return nil, nil }
func (m *mute) Head() (uint64, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seq, "51ab9c2"
}
func (*mute) Signed() uint64 { return 0 }
func (*mute) Check(context.Context, runbook.Environment, runbook.Check) (string, error) {
	return "200", nil
}
func (*mute) Render(string, string, *state.Incident, time.Time, map[string]string) (string, error) {
	return "", nil
}
func (*mute) Channels(string) []string            { return nil }
func (*mute) Corrects(string) bool                { return false }
func (*mute) Add(...state.Sample) (string, error) { return "", nil }
func (*mute) Flush() error                        { return nil }

var people = []runbook.Person{
	{Name: "Alice", User: "alice", Roles: []string{state.Senior}},
	{Name: "Bob", User: "bob", Roles: []string{state.CommsLead}},
	{Name: "Carol", User: "carol", Roles: []string{state.Reviewer}},
}

var rb = &runbook.Runbook{Service: "shop", People: people, Rollback: runbook.Rollback{Grace: state.Duration(time.Hour)}}

// begin makes a journal in the middle of a rollout, so that R has something to do.
func begin(t testing.TB, drill string) *mute {
	t.Helper()
	m := new(mute)
	plan := state.Plan{ID: "r1", Production: true, Strategy: "canary", Version: "v1.2.4", Target: "v1.2.3", Stages: []state.Stage{{Name: "canary 25 %", Weight: 25}}}
	_, err := m.Append(time.Now(), state.Actor{User: "alice"}, 0,
		state.Declared{ID: "INC-1", Title: "logins fail", Severity: 1, Drill: drill, Policy: state.DefaultPolicy(1),
			Steps: []state.Step{{No: 5, Items: []state.Item{{ID: "5.hang", Kind: state.Action}}}}},
		state.RolloutLaid{Plan: plan, Item: "10.deploy"}, state.RolloutStarted{Rollout: "r1", Item: "10.deploy"})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// engine starts an Engine on a journal.
func (w *world) engine(t testing.TB, m *mute) *steps.Engine {
	t.Helper()
	e, err := steps.NewEngine(steps.Options{Journal: m, History: m.all(), Runbook: rb, Actions: map[string]steps.Action{"5.hang": w},
		Strategies: map[string]steps.Strategy{"canary": w}, Checker: m, Messenger: m, Samples: m, Redact: func(s string) string { return s },
		Actor: state.Actor{User: "alice", PID: 7, Host: "bastion"}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	return e
}

// desk is a keeper for one test.
type desk struct {
	*world
	engine *steps.Engine
	server *Server
	socket string
	once   sync.Once
}

// fake is a keeper with faults: what a client meets is not always its own version.
func fake(t testing.TB, answer func(*net.UnixConn)) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			answer(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return socket
}

func open(t testing.TB, drill string, p patience) *desk {
	t.Helper()
	noLeaks(t)
	w := newWorld()
	e := w.engine(t, begin(t, drill))
	d := &desk{world: w, engine: e, socket: filepath.Join(t.TempDir(), "s")}
	var err error
	if d.server, err = serve(e, rb, state.Actor{User: "alice", Host: "bastion"}, d.socket, p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.close(t) })
	return d
}

func (d *desk) close(t testing.TB) {
	d.once.Do(func() {
		if err := d.engine.Close("the test is over"); err != nil {
			t.Error(err)
		}
		if err := d.server.Close(); err != nil {
			t.Error(err)
		}
	})
}

func dial(t testing.TB, socket, via, as string, watch bool) *Client {
	t.Helper()
	c, err := Dial(t.Context(), socket, via, as, watch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// raw is a client that need not behave.
type raw struct {
	*net.UnixConn
	dec *json.Decoder
}

func knock(t testing.TB, socket string) raw {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil { // only a hanging test meets it
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return raw{c, json.NewDecoder(c)}
}

func (r raw) say(t testing.TB, line string) {
	t.Helper()
	if _, err := io.WriteString(r, line); err != nil {
		t.Fatal(err)
	}
}

// hears reads one reply; the error is io.EOF when the keeper hung up.
func (r raw) hears() (out reply, err error) {
	err = r.dec.Decode(&out)
	return out, err
}

// until waits for something that a goroutine elsewhere will make true.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// noLeaks checks at the end of the test that nothing of this package runs on.
func noLeaks(t testing.TB) {
	t.Cleanup(func() {
		stacks := make([]byte, 1<<20)
		until(t, "every goroutine of this package has ended", func() bool {
			stacks = stacks[:cap(stacks)]
			stacks = stacks[:runtime.Stack(stacks, true)]
			return !bytes.Contains(stacks, []byte("keeper.(*"))
		})
	})
}

func mode(t testing.TB, name string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}
