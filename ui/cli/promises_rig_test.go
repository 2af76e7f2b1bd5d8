package cli

import (
	"bytes"
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
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"

	"mayday/state"
	"mayday/steps/drill"
	"mayday/steps/drill/follow"
	"mayday/steps/drill/sink"
)

// account is a hotfix that was told by commands, with all that came of it.
type account struct {
	*site
	said     map[string]string // what each command printed, by a name of its own
	in       *state.Incident
	events   []state.Event
	messages []sink.Message // that the range's sink took
	posts    []post         // that Slack, Teams and the status page took
	answered map[string]int // by version, to who asked all through the rollback; "" where there was no answer
}

type post struct{ path, body string }

// services answer as Slack's webhooks, Teams' workflows and Statuspage do.
type services struct {
	*httptest.Server
	mu    sync.Mutex
	posts []post
	mark  json.RawMessage // the metadata of the status page's incident
}

func newServices(t *testing.T) *services {
	t.Helper()
	s := &services{}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP implements http.Handler.
func (s *services) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method != http.MethodGet {
		s.posts = append(s.posts, post{r.URL.Path, string(body)})
	}
	var sent struct {
		Incident struct{ Metadata json.RawMessage }
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/unresolved"):
		_, _ = io.WriteString(w, "[]")
	case strings.HasPrefix(r.URL.Path, "/v1/pages/"):
		if json.Unmarshal(body, &sent) == nil && sent.Incident.Metadata != nil {
			s.mark = sent.Incident.Metadata
		}
		fmt.Fprintf(w, `{"id":"sp1","metadata":%s}`, cmpOr(s.mark, `{}`))
	default:
		_, _ = io.WriteString(w, "ok")
	}
}

func cmpOr(m json.RawMessage, otherwise string) string {
	if m == nil {
		return otherwise
	}
	return string(m)
}

// more is what the range's runbook gets for all promises to be asked of it.
func more(s *site, out *services, left string) map[string]string {
	hook := func(name string) string {
		return fmt.Sprintf(`[sh, -c, 'echo "$$1" >%s', sh, "{previous_version}"]`, filepath.Join(left, name))
	}
	changes := hasty("20s")
	changes[`strategy: rolling\n +rolling: \{deployment: app, batch: 1, hold: 0s\}`] = "strategy: blue-green\n    blue_green: {service: app, blue: app, green: app-green, label: track, hold: 0s, drain: 0s}"
	changes[`rollback: \{grace: 3s\}`] = "rollback:\n  grace: 3s\n  cache: " + hook("cache") + "\n  cdn: " + hook("cdn") +
		fmt.Sprintf("\n  dns: [sh, -c, 'getent hosts 127.0.0.1 >%s']", filepath.Join(left, "dns")) + "\n  database: {version: [echo, \"7\"], compatible: true}"
	changes[`suites:\n.*\n`] = "suites:\n  critical-path: {checks: [paths, fixed], commands: [smoke, focused, migration, security, config, dependencies, compatibility]}\n" +
		"  production: {checks: [performance], environments: [production]}\n"
	changes[`commands:\n`] = "commands:\n  dependencies: [git, diff, --exit-code, v1.2.3, --, go.mod]\n  compatibility: [git, diff, --exit-code, v1.2.3, --, migrations]\n"
	changes[`probes:\n`] = fmt.Sprintf("probes:\n  - {name: ticket service, http: {path: %q}, critical: true, covers: dependencies}\n"+
		"  - {name: orders, query: 'sum(rate(http_requests_total{namespace=\"shop\",path=\"/api/catalog\",code=\"200\"}[1m])) / sum(rate(http_requests_total{namespace=\"shop\",path=\"/api/catalog\"}[1m]))', below: true, crit: 0.5, covers: transactions}\n", s.Sink+"/tickets")
	changes[`(covers: connections\n.*\n.*\n.*\n +)role: display`] = "${1}role: all"
	changes[`channels:\n`] = fmt.Sprintf("channels:\n  - {name: review, kind: webhook, url: %q, audiences: [reviewers]}\n  - {name: board, kind: webhook, url: %q, audiences: [executives]}\n"+
		"  - {name: chat, kind: slack, url_env: PROMISES_SLACK, audiences: [team]}\n  - {name: rooms, kind: teams, url_env: PROMISES_TEAMS, audiences: [team]}\n"+
		"  - {name: status, kind: statuspage, url: %q, page: p1, token_env: PROMISES_TOKEN, audiences: [customers]}\n", s.Sink+"/review", s.Sink+"/executives", out.URL)
	changes[`audiences: \[stakeholders, executives\]`] = "audiences: [stakeholders]"
	return changes
}

// told tells a hotfix from its declaration to its end.
func told(t *testing.T) *account {
	t.Helper()
	out := newServices(t)
	t.Setenv("PROMISES_SLACK", out.URL+"/slack")
	t.Setenv("PROMISES_TEAMS", out.URL+"/teams")
	t.Setenv("PROMISES_TOKEN", "not-a-real-token")
	a := &account{site: serve(t, "good", "20"), said: map[string]string{}}
	left := t.TempDir()
	a.edit(more(a.site, out, left))
	a.colours()
	for _, severity := range []string{"SEV0", "SEV1", "SEV2", "SEV3"} {
		a.do("declare "+severity, exitDone, "incident", "create", "--severity="+severity, "--title=Payment Gateway Down", "--dry-run")
	}
	a.id = strings.TrimSpace(a.do("declare", exitDone, "incident", "create", "--severity=sev1", "--title=Payment Gateway Down", "--impact=high"))
	a.folder = filepath.Join(a.home, "incidents", a.id)
	a.keeper()
	a.do("create", exitDone, "create", "--issue="+a.scenario.Issue, "--severity=critical", "--from=production")
	a.do("request", exitDone, "approve", "--request")
	a.do("unsigned", exitPerson, "deploy", "--target=production")
	a.do("approve", exitDone, "approve", "--as", drill.Reviewer)
	cockpit := a.start("--plain", "--incident", a.id)
	a.do("deploy blue-green", exitDone, "deploy", "--target=staging")
	a.do("validate", exitDone, "validate", "--environment=staging", "--test-suite=critical-path", "--json")
	a.do("deploy", exitDone, "deploy", "--target=production", "--verify", "--notify-stakeholders", "--strategy=canary", "--checked=10.team")
	a.do("validate production", exitDone, "validate", "--environment=production", "--test-suite=production", "--json")
	a.do("verify", exitDone, "verify", "--endpoints=critical", "--duration=1m", "--auto-rollback", "--json")
	a.do("update", exitDone, "incident", "update", "--status=identified", "--eta=15 minutes", "--broadcast")
	a.keepAsking(func() {
		a.do("rollback", exitRolledBack, "rollback", "--version=previous", "--preserve-data", "--immediate")
	})
	a.do("resolve", exitDone, "incident", "resolve", "--root-cause=null pointer", "--action-items=add validation", "--override=taken back; the next attempt is for the day")
	until(t, "every message is delivered", func() bool {
		in := read("", a.folder).in
		return !slices.ContainsFunc(in.Messages, func(m state.Message) bool { return m.Sent.IsZero() })
	})
	a.said["cockpit"] = string(cockpit.all())
	a.do("timeline", exitDone, "incident", "timeline", "--all")
	a.in, a.events = read("", a.folder).in, read("", a.folder).events
	for _, e := range a.events {
		if u, ok := e.Fact.(state.UpdatePosted); ok {
			a.do("head", exitDone, "journal", "verify", "--head", u.Head)
		}
	}
	a.collect(out, left)
	return a
}

// collect reads what arrived, and what the rollback's hooks left.
func (a *account) collect(out *services, left string) {
	a.t.Helper()
	r, err := http.Get(a.Sink + "/?format=json")
	if err == nil {
		err = json.NewDecoder(r.Body).Decode(&a.messages)
		r.Body.Close()
	}
	if err != nil {
		a.t.Fatal(err)
	}
	out.mu.Lock()
	a.posts = slices.Clone(out.posts)
	out.mu.Unlock()
	for _, name := range []string{"cache", "cdn", "dns"} {
		text, err := os.ReadFile(filepath.Join(left, name))
		if err != nil {
			a.t.Error(err)
		}
		a.said["hook "+name] = string(text)
	}
}

// colours gives staging a second colour, and a Service that leads to the first.
func (a *account) colours() {
	a.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", a.Kubeconfig)
	if err != nil {
		a.t.Fatal(err)
	}
	client, err := follow.Client(config)
	if err != nil {
		a.t.Fatal(err)
	}
	ctx := a.t.Context()
	if _, err := client.Resource(follow.Services).Namespace("staging").Patch(ctx, "app", types.MergePatchType, []byte(`{"spec":{"selector":{"track":"stable"}}}`), metav1.PatchOptions{}); err != nil {
		a.t.Fatal(err)
	}
	deployments := client.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).Namespace("staging")
	blue, err := deployments.Get(ctx, "app", metav1.GetOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	green := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "app-green", "namespace": "staging"}, "spec": blue.Object["spec"]}}
	green = green.DeepCopy()
	for _, path := range [][]string{{"spec", "selector", "matchLabels", "track"}, {"spec", "template", "metadata", "labels", "track"}} {
		if err := unstructured.SetNestedField(green.Object, "green", path...); err != nil {
			a.t.Fatal(err)
		}
	}
	if err := unstructured.SetNestedField(green.Object, int64(0), "spec", "replicas"); err != nil {
		a.t.Fatal(err)
	}
	if _, err := deployments.Create(ctx, green, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		a.t.Fatal(err)
	}
}

// do runs mayday in the service's repository and keeps what it says.
func (a *account) do(name string, want int, args ...string) string {
	a.t.Helper()
	c := a.command(args...)
	c.Dir = a.Clone
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	_ = c.Run() // its exit code says it
	if c.ProcessState == nil || c.ProcessState.ExitCode() != want {
		a.t.Fatalf("mayday %s: %v, want exit %d:\n%s%s", strings.Join(args, " "), c.ProcessState, want, o.String(), e.String())
	}
	a.said[name] = o.String() + e.String()
	return o.String()
}

// keepAsking lets somebody use the service all the while.
func (a *account) keepAsking(while func()) {
	over, done := make(chan struct{}), make(chan map[string]int)
	go func() {
		answered := map[string]int{}
		client := http.Client{Timeout: patience}
		for {
			select {
			case <-over:
				done <- answered
				return
			default:
			}
			version := ""
			if r, err := client.Get(a.App + "/health"); err == nil {
				if _, err := io.Copy(io.Discard, r.Body); err == nil && r.StatusCode == http.StatusOK {
					version = r.Header.Get("X-Version")
				}
				r.Body.Close()
			}
			answered[version]++
		}
	}()
	while()
	close(over)
	a.answered = <-done
}

func (p *process) all() []byte {
	b, _ := os.ReadFile(p.out)
	return b
}

// mishap is a hotfix by scripts, in which things go wrong.
type mishap struct{ said map[string]string }

func (m *mishap) says(t *testing.T, name string, words ...string) {
	t.Helper()
	saying(t, m.said, name, words)
}

const mishapRunbook = `service: shop
environments:
  production:
    script: {deploy: [sh, -c, "echo $VERSION >live; echo 42 >migration"], rollback: [sh, -c, "test ! -e stuck && echo $PREVIOUS_VERSION >live"], version: [cat, live], prove: ["true"]}
gate: {patience: 1s}
probes: [{name: queue, command: [cat, queue], crit: 10, every: 100ms, timeout: 5s, stale: 10s}]
people:
  - {name: Alice, user: alice, roles: [on-call]}
  - {name: Carol, user: carol, roles: [senior engineer]}
rollback:
  database:
    version: [cat, migration]
    backup: [cp, migration, "{backup_file}"]
    backup_file: "backup-{incident}"
    rollback: [sh, -c, "echo $TARGET_MIGRATION >migration"]
    check: [test, "!", -e, damaged]
    dump: [cp, migration, "{dump_file}"]
    dump_file: "dump-{incident}"
`

// wrong lets verify take a rollout back, a database's rollback succeed and fail, and a
// rollback fail.
func wrong(t *testing.T) *mishap {
	t.Helper()
	m := &mishap{map[string]string{}}
	h := newHost(t)
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("mayday.yaml", mishapRunbook)
	do := func(name string, want int, args ...string) {
		t.Helper()
		c := h.command(args...)
		c.Dir = dir
		text, _ := c.CombinedOutput() // its exit code says it
		if got := c.ProcessState.ExitCode(); got != want {
			t.Fatalf("mayday %s: exit %d, want %d: %s", strings.Join(args, " "), got, want, text)
		}
		m.said[name] = string(text)
	}
	rollout := func(id string) {
		t.Helper()
		write("live", "v1.2.3\n")
		write("migration", "41\n")
		write("queue", "1\n")
		if err := recordedAt(h.home, filepath.Join(dir, "mayday.yaml"), id, "logins fail"); err != nil {
			t.Fatal(err)
		}
		if err := rolledOutAt(h.home, filepath.Join(dir, "mayday.yaml"), id); err != nil {
			t.Fatal(err)
		}
	}
	rollout("INC-20261122-01")
	write("queue", "50\n")
	do("verify", exitRolledBack, "verify", "--duration=1m", "--auto-rollback")
	live, _ := os.ReadFile(filepath.Join(dir, "live"))
	m.said["live"] = string(live)
	write("queue", "1\n")
	do("database back", exitRolledBack, "rollback", "--with-database", "--immediate")
	rollout("INC-20261122-02")
	write("damaged", "")
	do("database broken", exitRollbackFailed, "rollback", "--with-database", "--immediate", "--incident=INC-20261122-02")
	if err := os.Remove(filepath.Join(dir, "damaged")); err != nil {
		t.Fatal(err)
	}
	rollout("INC-20261122-03")
	write("stuck", "")
	do("failed rollback", exitRollbackFailed, "rollback", "--immediate", "--incident=INC-20261122-03")
	failed := m.said["failed rollback"]
	do("timeline", exitDone, "incident", "timeline", "--incident=INC-20261122-03")
	m.said["failed rollback"] = failed + m.said["timeline"]
	return m
}
