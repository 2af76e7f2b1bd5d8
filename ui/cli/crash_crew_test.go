package cli

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"sync"
	"time"

	"mayday/state"
	"mayday/state/journal"
	"mayday/steps/drill"
	"mayday/steps/keeper"
)

// talker is a session with the keeper.
type talker interface {
	Frames() <-chan state.Frame
	Do(context.Context, state.Intent) (state.Answer, error)
	Close(why string) error
}

// crew is a person at a session, and a record of what was promised to them.
type crew struct {
	*site
	talker
	scene *state.Scene
	lost  int // how often the keeper was lost

	mu    sync.Mutex
	acked []ack
}

// ack is an intent that was answered with an event of the journal.
type ack struct {
	seq  uint64
	verb string
}

func (s *site) crew(k talker, err error) *crew {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := k.Close("the test is over"); err != nil {
			s.t.Error(err)
		}
	})
	return &crew{site: s, talker: k, scene: state.NewScene()}
}

// client is a session that never keeps, for the name of user ("" for one's own).
func (s *site) client(user string, watch bool) (*keeper.Session, error) {
	socket, err := keeper.Socket(s.folder)
	if err != nil {
		return nil, err
	}
	end := time.Now().Add(patience)
	for {
		k, err := keeper.Open(s.t.Context(), keeper.Settings{Socket: socket, Folder: s.folder, Via: "auto", As: user, Watch: watch})
		if err == nil || time.Now().After(end) {
			return k, err
		}
	}
}

// driver is a client that plays the drill.
func (s *site) driver() *crew {
	s.t.Helper()
	k, err := s.client("", true)
	return s.crew(k, err)
}

// cockpit is a session in this process that takes over when the keeper dies, as a
// cockpit does.
func (s *site) cockpit() (*crew, *session) {
	s.t.Helper()
	a := &app{out: new(bytes.Buffer), err: new(bytes.Buffer), now: time.Now}
	k, err := a.connect(s.t.Context(), s.folder, s.rb, "cockpit", true)
	return s.crew(k, err), k
}

// Do remembers what was acknowledged. A keeper that died is no reason to give up.
func (c *crew) Do(ctx context.Context, i state.Intent) (state.Answer, error) {
	a, err := c.talker.Do(ctx, i)
	if errors.Is(err, keeper.ErrGone) {
		return a, &state.Problem{Code: "gone", What: "the keeper died with " + i.Verb() + " in its hands"}
	}
	if err == nil && a.Seq > 0 {
		c.mu.Lock()
		c.acked = append(c.acked, ack{a.Seq, i.Verb()})
		c.mu.Unlock()
	}
	return a, err
}

// must does what cannot be refused.
func (c *crew) must(i state.Intent) state.Answer {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	a, err := c.Do(ctx, i)
	if err != nil {
		c.t.Fatalf("%s: %v", i.Verb(), err)
	}
	return a
}

// colleague signs for somebody else.
type colleague struct {
	*crew
	user string
}

func (c colleague) Do(ctx context.Context, i state.Intent) (state.Answer, error) {
	k, err := c.client(c.user, false)
	if err != nil {
		return state.Answer{}, err
	}
	other := &crew{site: c.site, talker: k}
	a, err := other.Do(ctx, i)
	c.mu.Lock()
	c.acked = append(c.acked, other.acked...)
	c.mu.Unlock()
	return a, errors.Join(err, k.Close("signed"))
}

// As implements drill.Team.
func (c *crew) As(user string) drill.Doer { return colleague{c, user} }

// frame takes the next frame in.
func (c *crew) frame() (f state.Frame, fresh bool) {
	c.t.Helper()
	select {
	case f, ok := <-c.Frames():
		if !ok {
			c.t.Fatal("the session ended")
		}
		known := c.scene.Incident.Seq
		if err := c.scene.Fold(f); err != nil {
			c.t.Fatal(err)
		}
		if f.Lost != "" {
			c.lost++
		}
		return f, f.Event != nil && f.Event.Seq > known
	case <-time.After(patience):
		in := c.scene.Incident
		c.t.Fatalf("nothing happens any more; rollback %q, next %+v, lost %q", in.Rollback.Status, in.Next(), c.scene.Lost)
		return state.Frame{}, false
	}
}

// until takes frames in until the incident is as wanted.
func (c *crew) until(what string, ok func(*state.Incident) bool) *state.Incident {
	c.t.Helper()
	for end := time.Now().Add(patience); !ok(c.scene.Incident); c.frame() {
		if time.Now().After(end) {
			c.t.Fatalf("never: %s", what)
		}
	}
	return c.scene.Incident
}

// event takes frames in until one of the events to come is as wanted.
func (c *crew) event(what string, ok func(state.Event) bool) state.Event {
	c.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if f, fresh := c.frame(); fresh && ok(*f.Event) {
			return *f.Event
		}
	}
	c.t.Fatalf("never: %s", what)
	return state.Event{}
}

// shorten passes over what takes long and has no part in these tests.
func (c *crew) shorten() {
	c.t.Helper()
	c.until("declared", func(in *state.Incident) bool { return len(in.Steps) > 0 })
	// Nobody deploys before the illness was seen: what was not red is not excused.
	c.until("the illness is seen", func(in *state.Incident) bool {
		v := in.Verdicts["error rate"].Verdict
		return v == state.Warn || v == state.Crit
	})
	for _, s := range c.scene.Incident.Steps {
		for _, it := range s.Items {
			if (s.No == 5 || s.No == 8 || s.No == 10 && it.ID != "10.deploy" || s.No == 11 || s.No == 12) && !it.Auto {
				c.must(state.PassOver{Item: it.ID, Reason: "not what this test is about"})
			}
		}
	}
}

// playTime is how long the scripted operator plays at most (real time): several times what
// the longest of these tests takes. One that is asked the same for ever has no end.
const playTime = 10 * time.Minute

// play lets the scripted operator work until it has ended, or stop says so of an
// event; then the outcome means nothing.
func (c *crew) play(stop func(state.Event) bool) drill.Outcome {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	frames := make(chan state.Frame)
	var out drill.Outcome
	over := make(chan struct{})
	go func() {
		defer close(over)
		op := &drill.Operator{Scenario: c.scenario, Team: c, Frames: frames, Clock: clockOf(c.rb)}
		out, _ = op.Run(ctx) // the outcome says it
	}()
	defer func() { cancel(); <-over }()
	pass := func(f state.Frame) bool {
		select {
		case frames <- f:
			return true
		case <-over:
			return false
		}
	}
	for i := range c.scene.Events {
		if !pass(state.Frame{Event: &c.scene.Events[i]}) {
			return out
		}
	}
	for end := time.Now().Add(playTime); time.Now().Before(end); {
		f, fresh := c.frame()
		if fresh && stop(*f.Event) || !pass(f) {
			return out
		}
	}
	in := c.scene.Incident
	c.t.Fatalf("the operator does not come to an end; next %+v, gate %+v", in.Next(), in.Production())
	return out
}

// midCanary plays until a quarter of the traffic goes to the new version.
func (c *crew) midCanary() {
	c.t.Helper()
	c.shorten()
	out := c.play(func(e state.Event) bool {
		_, ok := e.Fact.(state.StageEffected)
		return ok && c.scene.Incident.Production().Weight() == 25
	})
	if out.Text != "" {
		c.t.Fatalf("the operator ended before mid-canary: %+v", out)
	}
}

// answers says which versions production answers with.
func (s *site) answers() map[string]int {
	s.t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	counts := map[string]int{}
	for range 40 {
		r, err := client.Get(s.App + "/health")
		if err != nil {
			s.t.Fatal(err)
		}
		r.Body.Close()
		counts[r.Header.Get("X-Version")]++
	}
	return counts
}

// only fails unless production answers with one version alone.
func (s *site) only(version string) {
	s.t.Helper()
	if got := s.answers(); len(got) != 1 || got[version] == 0 {
		s.t.Errorf("production answers %v, not %s alone", got, version)
	}
}

// events reads the journal, which must be whole.
func (s *site) events() []state.Event {
	s.t.Helper()
	events, _, err := journal.Read(s.folder)
	if err != nil {
		s.t.Fatal(err)
	}
	return events
}

// sound checks that the journal is whole and signed, and that what was acknowledged
// is in it.
func (c *crew) sound() []state.Event {
	c.t.Helper()
	if code, out, errs := c.run("journal", "verify", "--incident", c.id); code != exitDone {
		c.t.Errorf("journal verify says %d: %s%s", code, out, errs)
	}
	events := c.events()
	for _, a := range c.acked {
		if a.seq > uint64(len(events)) {
			c.t.Errorf("%s was acknowledged as event %d; the journal has %d", a.verb, a.seq, len(events))
			continue
		}
		e := events[a.seq-1]
		if _, signed := e.Fact.(state.Checkpoint); signed {
			e = events[a.seq-2] // the signature came along
		}
		if e.Actor.PID != os.Getpid() {
			c.t.Errorf("%s was acknowledged as event %d; that is %s by %+v", a.verb, a.seq, e.Fact.Kind(), e.Actor)
		}
	}
	return events
}

// count gives how many events there are of a kind.
func count(events []state.Event, kind string) (n int) {
	for _, e := range events {
		// The command that declared it kept it too, until it had called people.
		if _, ok := e.Fact.(state.KeeperStarted); ok && e.Actor.Via == "cli" {
			continue
		}
		if e.Fact.Kind() == kind {
			n++
		}
	}
	return n
}
