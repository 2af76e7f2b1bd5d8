package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/spf13/cobra"

	"mayday/state/runbook"
)

// ashore are the verbs that need no dry run, and why.
var ashore = map[string]string{
	"mayday":                   "the cockpit shows each thing before it is done",
	"mayday drill":             "acts in a folder of its own alone",
	"mayday keeper":            "does what others ask of it",
	"mayday list":              "reads",
	"mayday show":              "reads",
	"mayday report":            "writes what the journal says into the incident's own folder",
	"mayday replay":            "reads",
	"mayday journal cat":       "reads",
	"mayday journal verify":    "reads",
	"mayday incident timeline": "reads",
	"mayday version":           "reads",
	"mayday doctor":            "looks, and writes nothing that stays",
	"mayday pair":              "opens a screen",
	"mayday json":              "is a help topic",
}

// dryRuns are the others, in an open SEV1 incident: what each is told, how it exits and
// what it says.
var dryRuns = []struct {
	verb string
	args []string
	code int
	says []string
}{
	{"mayday incident create", []string{"--severity=sev1", "--title=Checkout fails"}, 0, []string{"SEV1 Checkout fails (production shop)", "on-call (Alice) paged",
		"page to pager (webhook), for Alice", "| PAGE SEV1: Alice, you are needed as on-call", "until it is mitigated: senior engineer (Carol) after 15m"}},
	{"mayday incident update", []string{"--status=identified", "--eta=15 minutes", "--broadcast"}, 0, []string{"update to ops (webhook), for stakeholders", "| ETA: 15 minutes", "identified"}},
	{"mayday incident resolve", []string{"--root-cause=null pointer", "--override=the provider fixed it"}, 0, []string{"incident resolved: null pointer", "resolved to ops (webhook)"}},
	{"mayday incident resolve", []string{"--root-cause=null pointer"}, exitFailed, []string{"must wait"}},
	{"mayday incident ack", nil, 0, []string{"on-call acknowledged"}},
	{"mayday ack", []string{"--role=on-call"}, 0, []string{"on-call acknowledged"}},
	{"mayday incident escalate", nil, 0, []string{"senior engineer (Carol) paged, before it was due", "page to pager (webhook), for Carol", "| PAGE SEV1: Carol, you are needed as senior engineer"}},
	{"mayday incident snooze", []string{"--role=senior engineer", "--for=20 minutes"}, 0, []string{"senior engineer snoozed until"}},
	{"mayday incident handover", []string{"--role=incident commander", "--to=Carol", "--why=my shift ends"}, 0, []string{"Carol is incident commander", "page to pager (webhook), for Carol"}},
	{"mayday incident handover", []string{"--role=driver", "--to=Nobody"}, exitFailed, []string{"nobody here is called"}},
	{"mayday incident assign", []string{"--role=scribe", "--to=Dora"}, 0, []string{"Dora is scribe"}},
	{"mayday incident note", []string{"customers report it"}, 0, []string{"customers report it"}},
	{"mayday note", []string{"customers report it"}, 0, []string{"customers report it"}},
	{"mayday create", []string{"--issue=PROD-2847"}, 0, []string{"a hotfix is needed", "3.baseline Production baseline", "3.branch Hotfix branch"}},
	{"mayday approve", []string{"--request"}, 0, []string{"6.request Review requested"}},
	{"mayday approve", nil, exitFailed, []string{`"Sign-off" must wait`}},
	{"mayday deploy", []string{"--target=production", "--verify", "--notify-stakeholders"}, 0, []string{"7.version Next version", "after 6.signoff Sign-off", "10.deploy Production deployment", "12.fixed", "13.deployed"}},
	{"mayday merge-back", nil, 0, []string{"17.merge Merged back", "after 15.watch"}},
	{"mayday scale-down", nil, 0, []string{"15.old", "after 10.deploy"}},
	{"mayday rollback", []string{"--immediate"}, exitFailed, []string{"there is nothing to roll back"}},
	{"mayday validate", []string{"--environment=staging", "--test-suite=critical-path"}, 0, []string{"critical-path in staging", "smoke: cd ", "touch ran"}},
	{"mayday init", []string{"--github-actions"}, 0, []string{"mayday.yaml is there already", "write mayday-alerts.yml", "write .github/workflows/mayday-hotfix.yml"}},
	{"mayday verify", []string{"--duration=5m", "--auto-rollback"}, 0, []string{"queue", "worst-case reaction"}},
}

// TestDryRuns: every verb that acts has a --dry-run, which says what would be done and
// who would hear of it by which channel, and changes nothing: no event, no file, no message.
func TestDryRuns(t *testing.T) {
	g := newDry(t)
	seen := map[string]bool{}
	for _, c := range dryRuns {
		seen[c.verb] = true
		t.Run(strings.TrimPrefix(c.verb, "mayday ")+strings.Join(c.args, " "), func(t *testing.T) {
			before := g.world(t)
			args := append(strings.Fields(c.verb)[1:], append(c.args, "--dry-run")...)
			code, out, errs := g.run(args...)
			if code != c.code {
				t.Errorf("exit %d, want %d: %s%s", code, c.code, out, errs)
			}
			for _, want := range c.says {
				if !strings.Contains(out+errs, want) {
					t.Errorf("it does not say %q:\n%s%s", want, out, errs)
				}
			}
			code, out, errs = g.run(append(args, "--json")...)
			var object map[string]any
			if err := json.Unmarshal([]byte(out), &object); c.code == 0 && (err != nil || object["v"] != float64(shape)) {
				t.Errorf("--json: %d, %v: %s%s", code, err, out, errs)
			}
			if after := g.world(t); after != before {
				t.Errorf("it changed something:\n%s\nbefore:\n%s", after, before)
			}
			if n := g.heard.Load(); n > 0 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
	t.Run("create without an incident", func(t *testing.T) {
		t.Setenv("MAYDAY_HOME", filepath.Join(t.TempDir(), "none"))
		code, out, errs := g.run("create", "--issue=PROD-2847", "--description=logins fail", "--dry-run")
		for _, want := range []string{"SEV1 logins fail", "on-call (Alice) paged", "page to pager (webhook), for Alice", "2.notify First notification", "$ send to ops (team)"} {
			if code != exitDone || !strings.Contains(out, want) {
				t.Errorf("exit %d, without %q: %s%s", code, want, out, errs)
			}
		}
		if _, err := os.Stat(os.Getenv("MAYDAY_HOME")); err == nil || g.heard.Load() > 0 {
			t.Errorf("something was written, or %d requests sent", g.heard.Load())
		}
	})
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		verb := c.CommandPath()
		acts := c == c.Root() || !c.HasSubCommands()
		switch {
		case !acts:
		case ashore[verb] != "" == seen[verb]:
			t.Errorf("%s: acts and is tried without --dry-run above, or needs none: one of the two", verb)
		case ashore[verb] == "" && c.Flags().Lookup("dry-run") == nil:
			t.Errorf("%s acts and has no --dry-run", verb)
		}
		for _, sub := range c.Commands() {
			each(sub)
		}
	}
	each(new(app).root())
}

// dry is a service with a repository, people and channels, and one open incident whose
// on-call has been paged.
type dry struct {
	dir, home string
	id        string
	heard     atomic.Int64 // requests to the channels since the incident stands
}

const dryRunbook = `service: shop
environments:
  production:
    url: %[1]q
    strategy: script
    script: {deploy: [touch, ran], rollback: [touch, ran], version: [echo, v1.2.3], prove: ["true"]}
    blue_green: {service: app, blue: app-blue, green: app-green}
    image: "registry.example.com/shop:{version}"
  staging: {script: {deploy: [touch, ran], rollback: [touch, ran]}}
commands: {smoke: [touch, ran]}
suites: {critical-path: {commands: [smoke]}}
probes: [{name: queue, command: [echo, "1"], crit: 5}]
people:
  - {name: Alice, user: alice, roles: [on-call, incident commander]}
  - {name: Carol, user: carol, roles: [senior engineer, reviewer]}
channels:
  - {name: ops, url: %[1]q, audiences: [team, stakeholders, reviewers]}
  - {name: pager, url: %[1]q, audiences: [pages]}
`

func newDry(t *testing.T) *dry {
	t.Helper()
	g := &dry{dir: t.TempDir()}
	sink := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { g.heard.Add(1) }))
	t.Cleanup(sink.Close)
	h := newHost(t)
	g.home = h.home
	t.Setenv("MAYDAY_HOME", h.home)
	t.Setenv("MAYDAY_RUNTIME_DIR", h.sockets)
	t.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
	t.Chdir(g.dir)
	if err := os.WriteFile(filepath.Join(g.dir, runbook.FileName), fmt.Appendf(nil, dryRunbook, sink.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"init -q -b production", "config user.name Alice", "config user.email a@example.com", "add .", "commit -qm first", "tag -a -m v1.2.3 v1.2.3", "branch develop"} {
		if out, err := exec.CommandContext(t.Context(), "git", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v: %s", line, err, out)
		}
	}
	for _, args := range [][]string{{"incident", "create", "--severity=sev1", "--title=Logins fail"}, {"incident", "escalate", "--role=on-call"}} {
		code, out, errs := g.run(args...)
		if code != exitDone {
			t.Fatalf("mayday %s: exit %d: %s%s", strings.Join(args, " "), code, out, errs)
		}
		if g.id == "" {
			g.id = strings.TrimSpace(out)
		}
	}
	if g.heard.Swap(0) == 0 {
		t.Fatal("the page of the incident itself was not heard: nothing would be")
	}
	return g
}

func (g *dry) run(args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = run(args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

// world is every file of the service, of mayday's home and of its sockets.
func (g *dry) world(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for _, dir := range []string{g.dir, filepath.Dir(g.home)} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			fmt.Fprintf(&out, "%s %x\n", path, sha256.Sum256(text))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}
