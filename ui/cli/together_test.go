package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// bareSite is a host with a runbook and an open incident, and nothing behind it.
func bareSite(t *testing.T, text string) *site {
	t.Helper()
	s := &site{host: newHost(t)}
	s.Clone = t.TempDir()
	t.Setenv("MAYDAY_HOME", s.home)
	t.Setenv("MAYDAY_RUNTIME_DIR", s.sockets)
	path := filepath.Join(s.Clone, runbook.FileName)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.rb, err = runbook.Load(path); err != nil {
		t.Fatal(err)
	}
	s.declare()
	return s
}

const byScripts = `service: shop
environments:
  production: {script: {deploy: ["true"], rollback: ["true"], version: [echo, v1.2.3]}}
`

// here runs mayday in the service's folder.
func (s *site) here(args ...string) (code int, out, errs string) {
	s.t.Helper()
	c := s.command(args...)
	c.Dir = s.Clone
	var o, e strings.Builder
	c.Stdout, c.Stderr = &o, &e
	_ = c.Run() // its exit code says it
	if c.ProcessState == nil {
		s.t.Fatalf("mayday %s did not run: %s", strings.Join(args, " "), e.String())
	}
	return c.ProcessState.ExitCode(), o.String(), e.String()
}

// TestCommandsShowInTheCockpit: what a command does in one terminal is an event in the
// cockpit that is open in another, by who did it.
func TestCommandsShowInTheCockpit(t *testing.T) {
	s := bareSite(t, byScripts+"people: [{name: Alice, user: alice, roles: [on-call]}]\n")
	cockpit, _ := s.cockpit()
	for _, c := range []struct {
		kind string
		args []string
	}{
		{"note", []string{"note", "customers report it"}},
		{"role.assigned", []string{"incident", "assign", "--role=scribe", "--to=Alice"}},
		{"escalation.snoozed", []string{"incident", "snooze", "--role=senior engineer", "--for=5m"}},
		{"update.posted", []string{"incident", "update", "--status=identified", "--text=we look"}},
	} {
		if code, out, errs := s.here(c.args...); code != exitDone {
			t.Fatalf("mayday %v: exit %d: %s%s", c.args, code, out, errs)
		}
		e := cockpit.event(c.kind, func(e state.Event) bool { return e.Fact.Kind() == c.kind && e.Actor.Via == "cli" })
		if e.Actor.PID == os.Getpid() || e.Actor.User != me("").User {
			t.Errorf("%s is said to be by %+v", c.kind, e.Actor)
		}
	}
}

// TestRunningStepIsRefused: what runs in the cockpit is not begun a second time by a
// command, which says who runs it and since when.
func TestRunningStepIsRefused(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	s := bareSite(t, byScripts+fmt.Sprintf("commands: {fix: [cat, %q]}\n", pipe))
	cockpit, _ := s.cockpit()
	cockpit.must(state.Tick{Item: "1.severity", Value: "SEV1"})
	cockpit.must(state.Decide{Choice: "hotfix"})
	cockpit.must(state.PassOver{Item: "3.branch", Reason: "not what this test is about"})
	cockpit.must(state.Run{Item: "4.fix"})
	since := cockpit.until("it runs", func(in *state.Incident) bool {
		it := in.Item("4.fix")
		return it != nil && it.Status == state.ItemRunning
	}).Item("4.fix").Started
	code, out, errs := s.here("approve", "--request")
	for _, want := range []string{"4.fix Prepared fix applied is running already", me("").User + " started it at " + since.Format(time.TimeOnly)} {
		if code != exitFailed || !strings.Contains(errs, want) {
			t.Errorf("exit %d, without %q: %s%s", code, want, out, errs)
		}
	}
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil { // the end of its input ends it
		t.Fatal(err)
	}
	cockpit.until("it has ended", func(in *state.Incident) bool { return in.Item("4.fix").Status == state.ItemDone })
	if n := count(s.events(), "item.started"); n == 0 {
		t.Error("nothing ran")
	}
}

// TestCommandDrains: a command that had to keep the incident ends when its messages have
// arrived, be it at the second try; or it says who was not told.
func TestCommandDrains(t *testing.T) {
	var mu sync.Mutex
	var took []string
	refuse := map[string]int{"flaky": 1, "dead": 1 << 30} // so often
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		name := strings.Trim(r.URL.Path, "/")
		if strings.Contains(string(body), "we look into it") {
			if refuse[name]--; refuse[name] >= 0 {
				http.Error(w, "not now", http.StatusServiceUnavailable)
				return
			}
			took = append(took, name)
		}
	}))
	t.Cleanup(service.Close)
	channel := func(name string) string {
		return fmt.Sprintf("  - {name: %s, url: %q, audiences: [team]}\n", name, service.URL+"/"+name)
	}
	s := bareSite(t, byScripts+"channels:\n"+channel("well")+channel("flaky"))
	if code, out, errs := s.here("incident", "update", "--text=we look into it"); code != exitDone {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	mu.Lock()
	if slices.Sort(took); !slices.Equal(took, []string{"flaky", "well"}) {
		t.Errorf("when the command had ended, it had arrived at %v", took)
	}
	mu.Unlock()
	text := byScripts + "channels:\n" + channel("well") + channel("dead")
	if err := os.WriteFile(filepath.Join(s.Clone, runbook.FileName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := s.here("incident", "update", "--text=we look into it again")
	if code != exitPerson || !strings.Contains(errs, "update to dead") || strings.Contains(errs, "update to well") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// documented checks an object that a verb printed against "mayday help json".
func documented(t *testing.T, verb, printed string) {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(printed), &object); err != nil {
		t.Errorf("%s prints no object: %v: %s", verb, err, printed)
		return
	}
	if object["v"] != float64(shape) {
		t.Errorf("the version of what %s prints is %v", verb, object["v"])
	}
	keys := jsonShapes()[verb]
	if keys == nil {
		keys = jsonShapes()["all others"]
	}
	for k := range object {
		if !slices.Contains(keys, k) {
			t.Errorf("%s prints %q, of which mayday help json says nothing: %v", verb, k, keys)
		}
	}
}

// jsonShapes reads the topic: by verb, the keys of the object.
func jsonShapes() map[string][]string {
	out := map[string][]string{}
	text := jsonTopic().Long
	for {
		head, rest, ok := strings.Cut(text, "{")
		if !ok {
			return out
		}
		verb := strings.TrimSpace(head[strings.LastIndexByte(head, '\n')+1:])
		depth, word := 1, ""
		var keys []string
		i := 0
		for ; i < len(rest) && depth > 0; i++ {
			switch c := rest[i]; c {
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			case ',', ':', ' ', '\n':
			default:
				if depth == 1 {
					word += string(c)
				}
				continue
			}
			if word != "" {
				keys, word = append(keys, word), ""
			}
		}
		if verb != "" && out[verb] == nil {
			out[verb] = keys
		}
		text = rest[i:]
	}
}

// TestJSONShapes: what each verb prints for machines has its version and no field that
// mayday help json does not name.
func TestJSONShapes(t *testing.T) {
	g := newDry(t)
	for _, c := range []struct {
		verb string
		args []string
	}{
		{"list", nil}, {"list --stats", []string{"--stats"}}, {"show", nil},
		{"incident create", []string{"--title=x", "--severity=sev3"}},
		{"note", []string{"x", "--incident=" + g.id}}, {"ack", []string{"--incident=" + g.id}},
		{"incident update", []string{"--text=x", "--incident=" + g.id}},
		{"validate", []string{"--environment=staging", "--test-suite=critical-path", "--incident=" + g.id}},
		{"verify", []string{"--duration=1s", "--incident=" + g.id}},
		{"with --dry-run", []string{"escalate", "--dry-run", "--incident=" + g.id}},
		{"with --dry-run", []string{"deploy", "--dry-run", "--incident=" + g.id}},
		{"with --dry-run", []string{"rollback", "--dry-run", "--incident=" + g.id}},
		{"version", nil},
	} {
		args := append(strings.Fields(c.verb), c.args...)
		if c.verb == "with --dry-run" {
			args = c.args
		}
		if args[0] == "escalate" {
			args = append([]string{"incident"}, args...)
		}
		_, out, errs := g.run(append(args, "--json")...)
		if out == "" { // rollback: there is nothing to take back
			if args[0] != "rollback" {
				t.Errorf("mayday %v prints nothing: %s", args, errs)
			}
			continue
		}
		documented(t, c.verb, out)
	}
}

// TestCompletion: the shell is offered incidents, versions, environments, suites, roles,
// people and words.
func TestCompletion(t *testing.T) {
	g := newDry(t)
	for _, c := range []struct{ line, want string }{
		{"show --incident ", g.id + "\tLogins fail"},
		{"rollback --version ", "v1.2.3"}, {"rollback --version ", "previous"},
		{"deploy --version ", "v1.2.3"}, {"create --from ", "v1.2.3"},
		{"deploy --target ", "production"}, {"verify --environment ", "staging"}, {"validate --environment ", "production"},
		{"validate --environment=staging --test-suite ", "critical-path"},
		{"deploy --strategy ", "blue-green"}, {"incident create --severity ", "critical"},
		{"incident update --status ", "identified"}, {"incident update --audience ", "customers"},
		{"incident handover --role ", "senior engineer"}, {"incident handover --to ", "Carol"},
		{"verify --endpoints ", "critical"},
	} {
		args := append([]string{"__complete"}, strings.Fields(c.line)...)
		code, out, errs := g.run(append(args, "")...)
		if code != exitDone || !slices.Contains(strings.Split(out, "\n"), c.want) {
			t.Errorf("mayday %s<tab> does not offer %q: %d %s%s", c.line, c.want, code, out, errs)
		}
	}
}

// TestWordsOfFlags: severities and durations are taken as people write them.
func TestWordsOfFlags(t *testing.T) {
	g := newDry(t)
	at := "--incident=" + g.id
	for word, want := range map[string]string{"sev0": "SEV0", "SEV1": "SEV1", "sev2": "SEV2", "sev3": "SEV3",
		"critical": "SEV1", "high": "SEV2", "medium": "SEV3", "low": "SEV3"} {
		if code, out, errs := g.run("incident", "create", "--dry-run", "--title=x", "--severity="+word); code != exitDone || !strings.Contains(out, want+" x") {
			t.Errorf("--severity %s: %d %s%s", word, code, out, errs)
		}
		if code, out, errs := g.run("create", "--dry-run", "--issue=1", at, "--severity="+word); code != exitDone || !strings.Contains(out, want) {
			t.Errorf("create --severity %s: %d %s%s", word, code, out, errs)
		}
	}
	for _, flag := range [][]string{{"incident", "update", "--eta"}, {"incident", "snooze", "--role=on-call", "--for"}, {"verify", "--duration"}, {"deploy", "--wait"}} {
		for word, code := range map[string]int{"15 minutes": exitDone, "15m": exitDone, "1 hour 30 minutes": exitDone, "1h30m": exitDone, "soon": exitUsage} {
			got, out, errs := g.run(append(slices.Clone(flag), word, at, "--dry-run")...)
			if got != code {
				t.Errorf("mayday %v %s: exit %d, want %d: %s%s", flag, word, got, code, out, errs)
			}
		}
	}
}
