// Package commstest is what every channel must pass, against a service that enforces
// its documented limits and fails in each of the ways that services fail.
package commstest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"mayday/state"
	"mayday/steps/comms"
)

// Fault is how a service behaves.
type Fault string

// The ways of a service.
const (
	Well   Fault = "well"
	Busy   Fault = "busy"   // refuses for now, and asks for Rest
	Broken Fault = "broken" // fails, and says so with escape sequences and the secret
	Hangs  Fault = "hangs"  // takes the request and never answers
)

// Rest is what a busy service asks for.
const Rest = 7 * time.Second

// Got is a letter as a service took it.
type Got struct {
	Key  string // "" where the service has no field for it
	Text string // all the words, however they were laid out
}

// Rig is a channel and its service.
type Rig struct {
	Channel comms.Channel
	Secret  string          // what the channel must keep to itself
	Set     func(Fault)     // how the service behaves from now on
	Deny    func()          // takes the secret's validity away
	Unset   func()          // takes the secret away
	Got     func() []Got    // what was posted, in order
	Cannot  map[string]bool // what the protocol cannot tell: "key", "rest", "deny", "ask" (Reach tries the secret)
}

// Letter is one as the outbox sends them.
func Letter(id, text string) comms.Letter {
	at := time.Date(2026, 11, 22, 3, 14, 0, 0, time.UTC)
	in := &state.Incident{ID: "INC-20261122-01", Title: "Payment <Gateway> Down & out", Severity: 1, Service: "shop", Environment: "production",
		Impact: "All payments", Status: state.Investigating, Declared: at, Policy: state.DefaultPolicy(1), Attempt: 1,
		Roles: map[string]string{state.Commander: "alice"}, Facts: map[string]string{}}
	m := state.Message{ID: id, Channel: "ops", Audience: "team", Purpose: "page", Role: "senior engineer", Who: "Carol", Text: text, Queued: at, Tries: 1}
	in.Messages = []state.Message{m}
	return comms.Letter{Key: in.ID + "/" + id, Message: m, Incident: in}
}

const plain = "INCIDENT DECLARED: SEV1\n\nTitle: Payment <Gateway> Down & out\n*Impact*: _all_ payments, @channel\nJournal head: 9f2c01ab"

// Run runs the suite. make gives a new rig, whose channel's name is "ops".
func Run(t *testing.T, make func(t *testing.T) Rig) {
	for name, test := range map[string]func(*testing.T, Rig){
		"takes a letter": takes, "a repetition has the same key": repeats, "the longest letter": long, "odd letters": odd,
		"busy": busy, "broken": broken, "hangs": hangs, "denied": denied, "no secret": unset, "reach": reach,
	} {
		t.Run(name, func(t *testing.T) { test(t, make(t)) })
	}
}

func send(t *testing.T, r Rig, l comms.Letter) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := r.Channel.Send(ctx, l)
	return err
}

func takes(t *testing.T, r Rig) {
	if err := send(t, r, Letter("m1-0", plain)); err != nil {
		t.Fatal(err)
	}
	got := r.Got()
	if len(got) != 1 {
		t.Fatalf("the service took %d letters", len(got))
	}
	for _, want := range []string{"INCIDENT DECLARED: SEV1", "Payment <Gateway> Down & out", "*Impact*: _all_ payments", "Journal head: 9f2c01ab"} {
		if !strings.Contains(got[0].Text, want) {
			t.Errorf("no %q in %q", want, got[0].Text)
		}
	}
	if !r.Cannot["key"] && got[0].Key != "INC-20261122-01/m1-0" {
		t.Errorf("key %q", got[0].Key)
	}
}

func repeats(t *testing.T, r Rig) {
	for range 2 {
		if err := send(t, r, Letter("m1-0", plain)); err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range r.Got() {
		if !r.Cannot["key"] && g.Key != "INC-20261122-01/m1-0" {
			t.Errorf("key %q", g.Key)
		}
	}
}

// long is more than any service takes: what does not fit is cut, not refused.
func long(t *testing.T, r Rig) {
	line := "Ünïcode, & <so> on: " + strings.Repeat("0123456789 ", 40) + "\n"
	if err := send(t, r, Letter("m1-0", "LONG\n"+strings.Repeat(line, 600))); err != nil {
		t.Fatal(err)
	}
	if err := send(t, r, Letter("m2-0", strings.Repeat("&", 200_000))); err != nil {
		t.Fatal(err)
	}
	if n := len(r.Got()); n != 2 {
		t.Errorf("the service took %d letters", n)
	}
}

func odd(t *testing.T, r Rig) {
	for i, text := range []string{"one line", "\n\n  \n", "", "a\r\nBcc: everybody@example.com\r\n\r\nb", "tab\tand \"quotes\" and \\ and emoji 🚨", strings.Repeat("\n", 5000) + "x"} {
		if err := send(t, r, Letter("m"+string(rune('1'+i))+"-0", text)); err != nil {
			t.Errorf("%q: %v", text[:min(len(text), 40)], err)
		}
	}
}

// failure checks what every failure owes.
func failure(t *testing.T, _ Rig, err error, permanent bool) {
	t.Helper()
	failureOf(t, "ops", err, permanent)
}

func failureOf(t *testing.T, name string, err error, permanent bool) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	f, ok := errors.AsType[*comms.Failure](err)
	if !ok {
		t.Fatalf("not a failure: %v", err)
	}
	if f.Permanent != permanent {
		t.Errorf("permanent %v: %v", f.Permanent, err)
	}
	if !strings.Contains(f.What, name) || f.Do == "" {
		t.Errorf("does not name the channel or what to do: %v", err)
	}
	if strings.ContainsAny(err.Error(), "\x1b\n") {
		t.Errorf("raw: %q", err)
	}
}

func busy(t *testing.T, r Rig) {
	r.Set(Busy)
	err := send(t, r, Letter("m1-0", plain))
	failure(t, r, err, false)
	if got := comms.RetryAfter(err); !r.Cannot["rest"] && got != Rest {
		t.Errorf("after %s", got)
	}
	r.Set(Well)
	if err := send(t, r, Letter("m1-0", plain)); err != nil {
		t.Error(err)
	}
}

func broken(t *testing.T, r Rig) {
	r.Set(Broken)
	failure(t, r, send(t, r, Letter("m1-0", plain)), false)
	r.Set(Well)
	if err := send(t, r, Letter("m1-0", plain)); err != nil {
		t.Error(err)
	}
}

func hangs(t *testing.T, r Rig) {
	r.Set(Hangs)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := r.Channel.Send(ctx, Letter("m1-0", plain))
	failure(t, r, err, false)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("returned after %s", took)
	}
}

func denied(t *testing.T, r Rig) {
	if r.Cannot["deny"] {
		t.Skip("the library does not tell a wrong token from another error")
	}
	r.Deny()
	failure(t, r, send(t, r, Letter("m1-0", plain)), true)
	if len(r.Got()) != 0 {
		t.Error("the service took it")
	}
}

func unset(t *testing.T, r Rig) {
	if r.Unset == nil {
		return // it has none
	}
	if got := strings.Join(r.Channel.Secrets(), " "); !strings.Contains(got, r.Secret) {
		t.Errorf("the secret is not among %d secrets", len(r.Channel.Secrets()))
	}
	r.Unset()
	err := send(t, r, Letter("m1-0", plain))
	failure(t, r, err, true)
	if !state.HasCode(err, "no-secret") || !strings.Contains(err.Error(), "MAYDAY_TEST_SECRET") {
		t.Errorf("does not name what is missing: %v", err)
	}
	if _, err := r.Channel.Reach(t.Context()); err == nil {
		t.Error("reached without a secret")
	}
}

func reach(t *testing.T, r Rig) {
	seen, err := r.Channel.Reach(t.Context())
	if err != nil || seen == "" {
		t.Errorf("%q, %v", seen, err)
	}
	if n := len(r.Got()); n != 0 {
		t.Errorf("posted %d letters", n)
	}
	if r.Cannot["ask"] {
		return
	}
	r.Deny()
	_, err = r.Channel.Reach(t.Context())
	failure(t, r, err, true)
}

// Unreached checks a channel whose service is not there.
func Unreached(t *testing.T, c comms.Channel) {
	t.Helper()
	_, err := c.Send(t.Context(), Letter("m1-0", plain))
	failure(t, Rig{}, err, false)
	if !state.HasCode(err, "unreachable") {
		t.Errorf("%v", err)
	}
	if _, err = c.Reach(t.Context()); err == nil {
		t.Error("reached what is not there")
	}
}
