package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/journal"
	"mayday/state/runbook"
	"mayday/ui"
)

// badInput names, for everything that may be wrong with the world, the test that
// shows what mayday says to it: where it can be seen best, and below with the real
// wiring, where the timeline must stay whole and the cockpit alive.
var badInput = []struct{ what, file, test string }{
	{"runbook with a typo", "state/runbook/runbook_test.go", "TestMistakes"},
	{"runbook with a typo, as printed", "ui/cli/script_test.go", "TestScripts"},
	{"not a git repository", "steps/repo/repo_test.go", "TestNotARepository"},
	{"no tags", "steps/repo/repo_test.go", "TestNoTagsIsAStateAndThenAClearRefusal"},
	{"dirty tree", "steps/repo/repo_test.go", "TestBranchRefusesWhatWouldHurt"},
	{"branch exists", "steps/repo/repo_test.go", "TestBranchRefusesWhatWouldHurt"},
	{"push refused by a hook, remote gone", "steps/repo/repo_test.go", "TestPushRefusals"},
	{"detached HEAD", "steps/repo/repo_test.go", "TestSurveyIsHonest"},
	{"cluster unreachable", "steps/kube/refuse_test.go", "TestUnreachable"},
	{"cluster goes away", "steps/kube/prove_test.go", "TestServerAway"},
	{"deployment missing", "steps/kube/refuse_test.go", "TestPlanRefuses"},
	{"Prometheus down, slow, NaN, no data", "probes/prom/prom_test.go", "TestConformance"},
	{"Prometheus answers HTML, two series", "probes/prom/prom_test.go", "TestErrorsSayWhatToDo"},
	{"the same without a server", "probes/local/local_test.go", "TestConformance"},
	{"metrics vanish in mid-rollout", "ui/cli/drill_test.go", "TestDrillsPlayThemselves"},
	{"command that never ends", "steps/shell/run_test.go", "TestTimeout"},
	{"command that prints 100 MB", "steps/shell/run_test.go", "TestHundredMegabytes"},
	{"command that prints escape sequences", "steps/shell/run_test.go", "TestOutputIsCleanAndRedacted"},
	{"terminal of 20x5", "ui/view_test.go", "TestTinyShowsTheEssentials"},
	{"terminal resized to 20x5", "ui/cli/tmux_test.go", "TestCockpitInTmux"},
	{"journal directory read-only", "state/journal/journal_test.go", "TestReadOnlyHome"},
	{"journal directory cannot be made", "ui/cli/badinput_test.go", "TestNoPlaceForTheJournal"},
	{"disk that fails while it runs", "state/journal/journal_test.go", "TestDiskFailsForGood"},
	{"rollback on a disk that hangs", "steps/engine_test.go", "TestRDoesNotWaitForAHangingDisk"},
	{"second cockpit on the same incident", "steps/keeper/session_test.go", "TestRaceToKeep"},
	{"second cockpit that reads nothing", "steps/keeper/session_test.go", "TestUnreadFramesDoNotHoldAnswersUp"},
}

func TestBadInputIsTested(t *testing.T) {
	for _, c := range badInput {
		text, err := os.ReadFile(filepath.Join("..", "..", c.file))
		if err != nil || !regexp.MustCompile(`(?m)^func `+c.test+`\(t \*testing\.T\)`).Match(text) {
			t.Errorf("%s: there is no %s in %s (%v)", c.what, c.test, c.file, err)
		}
	}
}

// desk is an incident with everything wired as for a person, without the screen.
type desk struct {
	t      *testing.T
	s      *session
	folder string

	mu      sync.Mutex
	scene   *state.Scene
	changed chan struct{}
}

// sit declares an incident by a runbook in dir and joins it.
func sit(t *testing.T, dir, text string) *desk {
	t.Helper()
	h := newHost(t)
	t.Setenv("MAYDAY_HOME", h.home)
	t.Setenv("MAYDAY_RUNTIME_DIR", h.sockets)
	file := filepath.Join(dir, runbook.FileName)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	rb, err := runbook.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	silenceClients()
	d := &desk{t: t, scene: state.NewScene(), changed: make(chan struct{}, 1)}
	if d.folder, err = declare(rb, ui.DeclareForm{Title: "logins fail", Severity: 1}, time.Now()); err != nil {
		t.Fatal(err)
	}
	a := &app{in: strings.NewReader(""), out: io.Discard, err: io.Discard, now: time.Now}
	if d.s, err = a.connect(t.Context(), d.folder, rb, "cockpit", true); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	leave := make(chan struct{})
	wg.Go(func() { d.read(leave) })
	t.Cleanup(func() {
		close(leave) // Close drops what nobody has read
		wg.Wait()
		if err := d.s.Close("the test is over"); err != nil {
			t.Error(err)
		}
		if rep, err := journal.Verify(d.folder, ""); err != nil || !rep.OK() {
			t.Errorf("the timeline is not whole: %v %v", rep.Findings, err)
		}
	})
	return d
}

func (d *desk) read(leave <-chan struct{}) {
	for {
		var f state.Frame
		select {
		case f = <-d.s.Frames():
		case <-leave:
			return
		}
		d.mu.Lock()
		err := d.scene.Fold(f)
		d.mu.Unlock()
		if err != nil {
			d.t.Error(err)
		}
		select {
		case d.changed <- struct{}{}:
		default:
		}
	}
}

// until waits for the scene to be as wanted.
func (d *desk) until(what string, ok func(*state.Scene) bool) {
	d.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		d.mu.Lock()
		is := ok(d.scene)
		d.mu.Unlock()
		if is {
			return
		}
		select {
		case <-d.changed:
		case <-limit:
			d.t.Fatalf("never: %s", what)
		}
	}
}

func (d *desk) do(i state.Intent) error {
	ctx, cancel := context.WithTimeout(d.t.Context(), 20*time.Second)
	defer cancel()
	a, err := d.s.Do(ctx, i)
	if err == nil {
		d.until(i.Verb()+" seen", func(s *state.Scene) bool { return s.Incident.Seq >= a.Seq })
	}
	return err
}

// item gives a copy of an item as it is now.
func (d *desk) item(id string) (it state.Item, blocker string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x := d.scene.Incident.Item(id)
	if x == nil {
		d.t.Fatalf("there is no item %s", id)
	}
	if b := d.scene.Incident.Blocker(x); b != nil {
		blocker = b.ID
	}
	return *x, blocker
}

// run passes over what stands before an item, runs it, and gives how it ended.
func (d *desk) run(id string) state.Item {
	d.t.Helper()
	d.until("declared", func(s *state.Scene) bool { return s.Incident.ID != "" })
	for range 40 {
		_, b := d.item(id)
		if b == "" {
			break
		}
		var clear state.Intent = state.PassOver{Item: b, Reason: "not what is tested"}
		if sev, _ := d.item("1.severity"); b == "1.decision" && !sev.Status.Settled() {
			clear = state.Tick{Item: "1.severity", Value: "SEV1"}
		} else if b == "1.decision" {
			clear = state.Decide{Choice: "hotfix", Rationale: "test"}
		}
		if err := d.do(clear); err != nil {
			d.t.Fatalf("pass over %s: %v", b, err)
		}
	}
	if err := d.do(state.Run{Item: id}); err != nil {
		return state.Item{ID: id, Status: state.ItemFailed, Problem: state.AsProblem(err)}
	}
	d.until(id+" ended", func(s *state.Scene) bool {
		it := s.Incident.Item(id)
		return it.Run != "" && it.Status != state.ItemRunning
	})
	it, _ := d.item(id)
	return it
}

// refused runs an item that must fail, say these words and what to do, and leave the
// cockpit alive.
func (d *desk) refused(id string, words ...string) {
	d.t.Helper()
	it := d.run(id)
	if it.Status != state.ItemFailed || it.Problem == nil {
		d.t.Fatalf("%s is %s, %v", id, it.Status, it.Problem)
	}
	said := it.Problem.Error() + " " + it.Problem.Do
	for _, w := range words {
		if !strings.Contains(said, w) {
			d.t.Errorf("%s does not say %q: %s", id, w, said)
		}
	}
	if it.Problem.Do == "" {
		d.t.Errorf("%s does not say what to do: %s", id, said)
	}
	d.alive()
}

// alive checks that the incident goes on.
func (d *desk) alive() {
	d.t.Helper()
	if err := d.do(state.AddNote{Text: "still here"}); err != nil {
		d.t.Errorf("no note can be written: %v", err)
	}
}

const head = `service: shop
environments:
  production:
    namespace: shop
    image: registry.local/shop:{version}
    kubeconfig: kubeconfig
    url: http://127.0.0.1:1
    canary: {stable: app-stable, canary: app-canary, route: VirtualService/app}
`

func TestWithoutARepository(t *testing.T) {
	d := sit(t, t.TempDir(), head)
	d.refused("3.baseline", "not a git repository")
}

func TestWithoutACluster(t *testing.T) {
	const kubeconfig = `{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":"http://127.0.0.1:1"}}],
"contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],"users":[{"name":"u","user":{}}]}`
	for name, text := range map[string]string{"nobody answers": kubeconfig, "no kubeconfig": "", "not a kubeconfig": "<html>\x1b[2J"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if text != "" {
				if err := os.WriteFile(filepath.Join(dir, "kubeconfig"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			d := sit(t, dir, head)
			if err := d.s.keeper().engine.Record(state.FactsFound{Facts: map[string]string{"tag": "v1.2.4", "baseline": "v1.2.3"}}); err != nil {
				t.Fatal(err)
			}
			d.refused("9.plan", "cluster")
			if it, _ := d.item("9.plan"); strings.Contains(it.Problem.Error(), "\x1b") {
				t.Errorf("raw: %q", it.Problem.Error())
			}
		})
	}
}

// TestOddCommands runs a command that never ends, and one that floods the screen and
// prints control sequences. (A hundred megabytes take too long under the race
// detector; steps/shell has them.)
func TestOddCommands(t *testing.T) {
	d := sit(t, t.TempDir(), head+`commands:
  focused: {run: [sh, -c, "echo begun; sleep 1000"], timeout: 300ms}
  security: {run: [sh, -c, "yes a line of a flood | head -n 200000; printf '\\033[2J\\033]0;owned\\007red\\n'"]}
`)
	d.refused("5.focused", "300ms")
	it := d.run("5.security")
	if it.Status != state.ItemDone {
		t.Fatalf("it is %s: %v", it.Status, it.Problem)
	}
	d.until("its last line on the screen", func(s *state.Scene) bool {
		lines := s.Output[it.Run]
		return len(lines) > 0 && strings.HasSuffix(lines[len(lines)-1], "red")
	})
	d.mu.Lock()
	lines := d.scene.Output[it.Run]
	d.mu.Unlock()
	if len(lines) > state.OutputLines || strings.ContainsAny(strings.Join(lines, ""), "\x1b\x07") {
		t.Errorf("%d lines, raw: %q", len(lines), lines[len(lines)-1])
	}
	if st, err := os.Stat(filepath.Join(d.folder, journal.OutputDir, it.Run+".log")); err != nil || st.Size() < 1<<20 {
		t.Errorf("the output was not kept: %v %v", st, err)
	}
	d.alive()
}

// TestOddPrometheus asks a server that answers each query in its own odd way: every
// probe shows its own word, and none is in another's way.
func TestOddPrometheus(t *testing.T) {
	vector := func(series string) string {
		return `{"status":"success","data":{"resultType":"vector","result":[` + series + `]}}`
	}
	answers := map[string]string{
		"well": vector(`{"metric":{},"value":[1,"0.001"]}`), "nan": vector(`{"metric":{},"value":[1,"NaN"]}`), "nothing": vector(""),
		"two":  vector(`{"metric":{"v":"a"},"value":[1,"1"]},{"metric":{"v":"b"},"value":[1,"2"]}`),
		"html": "<!DOCTYPE html><title>Sign in\x1b[2J</title>",
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if q := r.FormValue("query"); q != "slow" {
			fmt.Fprint(w, answers[q])
			return
		}
		<-r.Context().Done()
	}))
	defer srv.Close()
	text := head + "prometheus: " + srv.URL + "\nprobes:\n"
	for _, q := range []string{"well", "nan", "nothing", "two", "html", "slow"} {
		text += fmt.Sprintf("  - {name: %s, query: %s, warn: 0.01, crit: 0.05, every: 500ms, timeout: 400ms, stale: 10s, role: all}\n", q, q)
	}
	d := sit(t, t.TempDir(), text)
	for name, want := range map[string]struct {
		verdict state.Verdict
		says    string
	}{"well": {state.OK, ""}, "nan": {state.NoData, ""}, "nothing": {state.NoData, ""}, "two": {state.Error, "series"},
		"html": {state.Error, "web page"}, "slow": {state.Error, "400ms"}} {
		// On a busy machine any query may meet its time-out once, and is asked again.
		d.until(fmt.Sprintf("%s is %s: %q", name, want.verdict, want.says), func(s *state.Scene) bool {
			got, ok := s.Series[name].Last()
			if strings.Contains(got.Text, "\x1b") {
				t.Errorf("raw: %q", got.Text)
			}
			return ok && got.Verdict == want.verdict && strings.Contains(got.Text, want.says)
		})
	}
	d.alive()
}

func TestPrometheusDown(t *testing.T) {
	d := sit(t, t.TempDir(), head+`prometheus: http://127.0.0.1:1
probes:
  - {name: errors, query: up, crit: 1, every: 500ms, stale: 10s, role: all}
`)
	d.until("an error that says so", func(s *state.Scene) bool {
		x, ok := s.Series["errors"].Last()
		return ok && x.Verdict == state.Error && strings.Contains(x.Text, "refused")
	})
	d.alive()
}

// TestNoPlaceForTheJournal declares where nothing can be written. Permissions do not
// stop root, so the folder lies below a file, and in /proc where there is one.
func TestNoPlaceForTheJournal(t *testing.T) {
	h := newHost(t)
	file := filepath.Join(h.tmp, "file")
	dir := t.TempDir()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, runbook.FileName), []byte(head), 0o600); err != nil {
		t.Fatal(err)
	}
	homes := []string{filepath.Join(file, "home")}
	if _, err := os.Stat("/proc/self"); err == nil {
		homes = append(homes, "/proc/mayday")
	}
	for _, home := range homes {
		c := h.command("--plain")
		c.Dir, c.Env = dir, append(c.Env, "MAYDAY_HOME="+home)
		c.Stdin = strings.NewReader("everything is down\nsev1\n\n\n")
		out, _ := c.CombinedOutput() // its exit code is what counts
		if code := c.ProcessState.ExitCode(); code != exitFailed && code != exitUsage || !strings.Contains(string(out), "MAYDAY_HOME") ||
			strings.Contains(string(out), "panic") {
			t.Errorf("%s: exit %d: %s", home, code, out)
		}
	}
}
