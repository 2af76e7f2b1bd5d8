package runbook

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"mayday/state"
)

var update = flag.Bool("update", false, "write the golden files anew")

const short = `service: shop
prometheus: http://prometheus:9090
presets: [golden-signals]
environments:
  production:
    namespace: shop
    image: registry.local/shop:{version}
    url: https://shop.example.com
    canary: {stable: app-stable, canary: app-canary, route: VirtualService/app}
people: [{name: Alice, user: alice, roles: [on-call]}]
`

func parseOK(t testing.TB, text string) *Runbook {
	t.Helper()
	rb, err := Parse("/srv/shop/mayday.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return rb
}

func TestTenLinesAreEnough(t *testing.T) {
	if n := strings.Count(short, "\n"); n > 10 {
		t.Fatalf("%d lines", n)
	}
	rb := parseOK(t, short)
	p, ok := rb.Production()
	if !ok || p.Name != "production" || p.Strategy != "canary" || p.Canary.StableService != "app-stable" || p.Canary.CanaryService != "app-canary" ||
		!reflect.DeepEqual(p.Canary.Weights, []int{10, 25, 50, 75, 100}) || p.Canary.Hold.D() != 5*time.Minute {
		t.Errorf("%+v", p)
	}
	if !reflect.DeepEqual(rb.Repo, Repo{Dir: "/srv/shop", Remote: "origin", Model: "git-flow", Production: "production", Develop: "develop", Main: "main",
		From: "tag", TagPrefix: "v", Branch: "issue", Version: Version{Scheme: "patch"}, MaxChange: MaxChange{50, 200, 10}}) {
		t.Errorf("%+v", rb.Repo)
	}
	if rb.Gate != defaultGate() || rb.Rollback.Grace.D() != 3*time.Second || rb.Rollback.OnExit != "finish" {
		t.Errorf("%+v %+v", rb.Gate, rb.Rollback)
	}
	if rb.Path != "/srv/shop/mayday.yaml" || rb.Dir != "/srv/shop" {
		t.Errorf("%s %s", rb.Path, rb.Dir)
	}
	if rb.Policy(1).Update.D() != 15*time.Minute || rb.Holder(state.OnCall) != "Alice" {
		t.Error("people and policies")
	}
	byName := map[string]Probe{}
	for _, p := range rb.Probes {
		byName[p.Name] = p
		if p.Query == "" || p.Every <= 0 || p.Timeout <= 0 || p.Stale != 3*p.Every || p.Role == "" {
			t.Errorf("%+v", p)
		}
	}
	for name, role := range map[string]state.Role{"error rate new": state.RoleNew, "error rate old": state.RoleOld, "error rate": state.RoleAll,
		"p95 latency new": state.RoleNew, "p95 latency": state.RoleAll, "traffic": state.RoleDisplay} {
		if byName[name].Role != role {
			t.Errorf("%s: %+v", name, byName[name])
		}
	}
	if q := byName["error rate new"].Query; !strings.Contains(q, `version="{new}"`) || !strings.Contains(q, "[1m]") {
		t.Error(q)
	}
}

func TestWhatIsWrittenWins(t *testing.T) {
	rb := parseOK(t, `
service: shop
repo: {dir: code, model: trunk, max_change: {lines: 30}, version: {files: [VERSION], command: [./bump]}}
prometheus: {local: true, targets: ["http://127.0.0.1:1/metrics", "file:targets.json"], interval: 1s}
presets: [golden-signals]
environments:
  live: &live
    production: true
    image: &image r/shop:{version}
    kubeconfig: kube/config
    rolling: {deployment: app, hold: 0s}
    url: http://shop
    checks: [{path: /health}, {name: login, method: post, path: /login, headers: {X-A: "1"}, status: 200, times: 3}]
    fixed: {path: http://other/x}
  staging: {image: *image, script: {run: [./deploy.sh, --fast], timeout: 1h, dir: ops}, canary: {stable: a, canary: b, route: HTTPRoute/x, weights: [100]}, strategy: script}
commands:
  test: [make, test]
  smoke: {run: ["sh", "-c", "echo $HOME"], env: {A: b}}
probes:
  - {name: traffic, query: up, role: display, every: 10s}
  - {name: health, http: {path: /health}, critical: true, stale: 1m}
  - {name: pods, rollout: deployment/app}
gate: {warn: pass, patience: 0s}
rollback: {grace: 0s, on_exit: rollback}
channels: [{name: ops, url_env: HOOK}, {url_file: ~/hook, audiences: [customers]}]
templates: {update: "{{.Title}}"}
severities:
  critical: {update: 5m}
  sev3: {levels: [{role: dba, after: 2d}]}
people: [{name: Dora, roles: [dba]}]
drill: {scenario: good, sink: http://x, clock: {origin: 2026-11-22T03:00:00Z, base: "2026-11-22T03:00:00Z", speed: 60}}
`)
	home, _ := os.UserHomeDir()
	live, staging := rb.Environments["live"], rb.Environments["staging"]
	for what, ok := range map[string]bool{
		"production flag":  live.Production && !staging.Production,
		"zero hold":        live.Rolling.Hold == 0 && live.Rolling.Batch == 1,
		"kubeconfig":       live.Kubeconfig == "/srv/shop/kube/config",
		"alias":            staging.Image == "r/shop:{version}",
		"strategies":       reflect.DeepEqual(staging.Strategies(), []string{"script", "canary"}) && live.Strategy == "rolling",
		"check defaults":   live.Checks[0].Method == "GET" && live.Checks[0].Name == "GET /health" && live.Checks[0].Timeout.D() == 5*time.Second && live.Checks[1].Method == "POST",
		"fixed":            live.Fixed.Times == 1,
		"command dirs":     rb.Commands["test"].Dir == "/srv/shop/code" && staging.Script.Deploy.Dir == "/srv/shop/ops" && rb.Repo.Version.Command.Dir == "/srv/shop/code",
		"command":          reflect.DeepEqual(rb.Commands["test"].Run, []string{"make", "test"}) && rb.Commands["test"].Timeout.D() == 10*time.Minute,
		"no expansion":     rb.Commands["smoke"].Run[2] == "echo $HOME",
		"max change":       rb.Repo.MaxChange == MaxChange{Warn: 30, Lines: 30, Files: 10},
		"targets":          rb.Prometheus.Targets[1] == "file:/srv/shop/targets.json",
		"gate":             rb.Gate.Warn == "pass" && rb.Gate.Patience == 0 && rb.Gate.NoData == "ask",
		"grace":            rb.Rollback.Grace == 0,
		"policy merges":    rb.Policy(1).Update.D() == 5*time.Minute && len(rb.Policy(1).Levels) == 3 && rb.Policy(3).Levels[0].After.D() == 48*time.Hour && rb.Policy(3).Offer,
		"channels":         rb.Channels[0].Kind == "webhook" && len(rb.Channels[0].Audiences) == 4 && rb.Channels[1].URLFile == home+"/hook",
		"drill clock":      rb.Drill.Clock.Speed == 60 && rb.Drill.Clock.Origin.Equal(rb.Drill.Clock.Base) && rb.Drill.Clock.Base.Year() == 2026,
		"own over preset":  probe(rb, "traffic").Query == "up" && probe(rb, "traffic").Every.D() == 10*time.Second,
		"stale":            probe(rb, "health").Stale.D() == time.Minute && probe(rb, "pods").Stale.D() == 15*time.Second,
		"window":           strings.Contains(probe(rb, "error rate").Query, "[15s]"),
		"http probe check": probe(rb, "health").HTTP.Method == "GET",
	} {
		if !ok {
			t.Errorf("%s is wrong", what)
		}
	}
}

func probe(rb *Runbook, name string) Probe {
	var found []Probe
	for _, p := range rb.Probes {
		if p.Name == name {
			found = append(found, p)
		}
	}
	if len(found) != 1 {
		return Probe{Query: fmt.Sprintf("%d probes %q", len(found), name)}
	}
	return found[0]
}

// TestMistakes compares the messages for every testdata/*.yaml with the .txt beside it.
func TestMistakes(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.yaml")
	if len(files) < 5 {
		t.Fatalf("only %d examples", len(files))
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(filepath.Base(name), data)
			var e *Error
			if !errors.As(err, &e) || !state.HasCode(err, "runbook") {
				t.Fatalf("got %v", err)
			}
			var b strings.Builder
			for i := range e.Issues { // all, however many are shown at once
				b.WriteString((&Error{Path: e.Path, Issues: e.Issues[i : i+1], source: e.source, secret: e.secret}).Error() + "\n")
			}
			golden := strings.TrimSuffix(name, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, _ := os.ReadFile(golden)
			if b.String() != string(want) {
				t.Errorf("got\n%s\nwant\n%s", b.String(), want)
			}
		})
	}
}

// TestRolledAndMixed: a StatefulSet is rolled like a Deployment, and a canary without a
// route has no Services of its own.
func TestRolledAndMixed(t *testing.T) {
	rb := parseOK(t, `
service: shop
environments:
  production:
    image: shop:{version}
    rolling: {statefulset: db}
    canary: {stable: app, canary: app-canary, service: web, replicas: 10}
`)
	p, _ := rb.Production()
	if r := p.Rolling; r.StatefulSet != "db" || r.Deployment != "" || r.Batch != 1 || r.Hold.D() != 30*time.Second {
		t.Errorf("rolling %+v", r)
	}
	if c := p.Canary; c.Service != "web" || c.StableService+c.CanaryService != "" || c.Replicas != 10 || c.Hold.D() != 5*time.Minute {
		t.Errorf("canary %+v", c)
	}
}

// TestStrategies: each mapping offers its strategy, in a fixed order after the
// proposed one.
func TestStrategies(t *testing.T) {
	rb := parseOK(t, `
service: shop
environments:
  production:
    image: shop:{version}
    strategy: immediate
    script: [./deploy.sh]
    immediate: {deployment: app}
    rolling: {deployment: app}
    blue_green: {service: app-service, blue: app-blue, green: app-green}
    canary: {stable: a, canary: b, route: HTTPRoute/x}
  staging: {production: false, image: "shop:{version}", blue_green: {service: s, blue: a, green: b, label: colour, preview_url: "http://green", hold: 0s, drain: 1h}}
`)
	p, staging := rb.Environments["production"], rb.Environments["staging"]
	if got := p.Strategies(); !reflect.DeepEqual(got, []string{"immediate", "canary", "blue-green", "rolling", "script"}) {
		t.Errorf("strategies %v", got)
	}
	if want := (BlueGreen{Service: "app-service", Blue: "app-blue", Green: "app-green", Label: "version", Hold: 300 * second, Drain: 300 * second}); *p.BlueGreen != want {
		t.Errorf("%+v", p.BlueGreen)
	}
	if want := (Immediate{Deployment: "app", Hold: 60 * second}); *p.Immediate != want {
		t.Errorf("%+v", p.Immediate)
	}
	if want := (BlueGreen{Service: "s", Blue: "a", Green: "b", Label: "colour", PreviewURL: "http://green", Drain: 3600 * second}); *staging.BlueGreen != want ||
		staging.Strategy != "blue-green" {
		t.Errorf("%+v, proposed %s", staging.BlueGreen, staging.Strategy)
	}
}

func TestManyMistakesAreCutShort(t *testing.T) {
	text := "service: x\n"
	for i := range 30 {
		text += fmt.Sprintf("key%d: 1\n", i)
	}
	_, err := Parse("x.yaml", []byte(text))
	if n := strings.Count(err.Error(), "unknown key"); n != maxShown || !strings.HasSuffix(err.Error(), "and 20 more") {
		t.Errorf("%d shown, ends %q", n, err.Error()[len(err.Error())-20:])
	}
}

func TestFindAndLoad(t *testing.T) {
	dir, _ := filepath.EvalSymlinks(t.TempDir())
	deep := filepath.Join(dir, "a", "b")
	os.MkdirAll(deep, 0o755)
	if _, err := Find(deep); !errors.Is(err, fs.ErrNotExist) || !state.HasCode(err, "no-runbook") {
		t.Fatalf("got %v", err)
	}
	os.WriteFile(filepath.Join(dir, FileName), []byte(short), 0o644)
	path, err := Find(deep)
	if err != nil || path != filepath.Join(dir, FileName) {
		t.Fatalf("%s %v", path, err)
	}
	rb, err := Load(path)
	if err != nil || rb.Dir != dir || rb.Service != "shop" {
		t.Fatalf("%+v %v", rb, err)
	}
	if _, err := Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := Load(dir); !state.HasCode(err, "runbook") {
		t.Errorf("got %v", err)
	}
}

func TestSchema(t *testing.T) {
	var s struct {
		Properties map[string]json.RawMessage
		Additional *bool `json:"additionalProperties"`
	}
	if err := json.Unmarshal(JSONSchema(), &s); err != nil {
		t.Fatal(err)
	}
	_, names := fieldsOf(reflect.TypeFor[Runbook]())
	if len(s.Properties) != len(names) || s.Additional == nil || *s.Additional {
		t.Errorf("%d of %d keys", len(s.Properties), len(names))
	}
	for key := range choices {
		if name, field, _ := strings.Cut(key, "."); !strings.Contains(string(JSONSchema()), `"`+field+`"`) {
			t.Errorf("%s.%s is not in the schema", name, field)
		}
	}
	for _, word := range append(append(append([]string{}, models...), gateWords...), strategies...) {
		if !strings.Contains(string(JSONSchema()), `"`+word+`"`) {
			t.Errorf("%s is not in the schema", word)
		}
	}
}

func TestDefaultsNeedOnlyAService(t *testing.T) {
	d := Defaults()
	rb := parseOK(t, "service: x\n")
	d.Service, d.Path, d.Dir, d.Repo.Dir = "x", rb.Path, rb.Dir, rb.Repo.Dir
	if !reflect.DeepEqual(d, rb) {
		t.Errorf("%+v\n%+v", d, rb)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(short))
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, name := range files {
		b, _ := os.ReadFile(name)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rb, err := Parse("mayday.yaml", b)
		if (rb == nil) == (err == nil) {
			t.Fatalf("%v %v", rb, err)
		}
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || len(e.Issues) == 0 || e.Error() == "" {
				t.Fatalf("%v", err)
			}
			if s := state.CleanLines(err.Error()); s != err.Error() {
				t.Fatalf("not clean: %q", err.Error())
			}
		}
	})
}

func TestSignersNeedPeople(t *testing.T) {
	for text, want := range map[string]string{
		"allowed_signers: signers\n":                          "allowed_signers needs people",
		"revoked_signers: revoked\n":                          "revoked_signers takes keys out of allowed_signers",
		"allowed_signers: \"\"\n":                             "allowed_signers needs a path",
		"allowed_signers: signers\npeople: [{name: Carol}]\n": "",
	} {
		rb, err := Parse("/srv/mayday.yaml", []byte("service: shop\n"+text))
		switch {
		case want == "" && (err != nil || rb.Signers != "/srv/signers"):
			t.Errorf("%q: %v, %v", text, rb, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
