package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mayday/probes"
	"mayday/probes/command"
	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/shell"
)

// load writes a runbook and reads it.
func load(t *testing.T, text string) *runbook.Runbook {
	t.Helper()
	rb, err := runbook.Parse(filepath.Join(t.TempDir(), "mayday.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return rb
}

func TestCommandProbe(t *testing.T) {
	rb := load(t, `
service: shop
probes:
  - {name: queue, command: {run: [sh, -c, 'echo "starting $VERSION $MODE" >&2; echo 7.5'], env: {MODE: quick}}, warn: 5}
  - {name: broken, command: [sh, -c, 'echo "password is $SECRET_WORD" >&2; exit 3']}
  - {name: missing, command: [./no-such-check]}
  - {name: env, command: {run: [sh, -c, 'test "$MODE $VERSION $ENVIRONMENT" = "quick v2 production" && echo 1'], env: {MODE: quick}}, warn: 5}
`)
	t.Setenv("SECRET_WORD", "hunter2hunter2")
	a := command.Asker{Run: commands(rb, shell.NewRedactor("hunter2hunter2"))}
	fill := strings.NewReplacer("{new}", "v2", "{old}", "v1").Replace
	want := map[string]struct {
		verdict state.Verdict
		value   float64
		text    string
	}{
		"queue": {state.Warn, 7.5, ""}, "broken": {state.Crit, 3, "exit code 3: password is [redacted]"},
		"missing": {state.Error, 0, "no program ./no-such-check"}, "env": {state.OK, 1, ""},
	}
	for i := range rb.Probes {
		p := rb.Probes[i].Asked(fill, "")
		now := time.Now()
		r, err := a.Ask(t.Context(), p, now)
		x, w := probes.Judge(p, r, err, now, now), want[p.Name]
		if x.Verdict != w.verdict || x.Value != w.value || !strings.Contains(x.Text, w.text) {
			t.Errorf("%+v", x)
		}
	}
}

// A command that does not end is ended, and so is what it started.
func TestCommandProbeLeavesNobodyBehind(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	rb := load(t, "service: shop\nprobes: [{name: slow, command: [sh, -c, 'sleep 1000 & echo $! $$ > "+pids+".new; mv "+pids+".new "+pids+"; wait']}]\n")
	ctx, cancel := context.WithCancel(t.Context())
	back := make(chan error, 1)
	go func() {
		_, err := command.Asker{Run: commands(rb, nil)}.Ask(ctx, rb.Probes[0].Asked(strings.Clone, ""), time.Now())
		back <- err
	}()
	var text []byte
	for deadline := time.Now().Add(20 * time.Second); len(text) == 0; time.Sleep(5 * time.Millisecond) {
		if text, _ = os.ReadFile(pids); time.Now().After(deadline) {
			t.Fatal("the command did not start")
		}
	}
	cancel()
	if err := <-back; !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	for _, word := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(20 * time.Second); alive(pid); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("process %d is still there", pid)
			}
		}
	}
}

// alive reports whether a process runs; one that is dead and not yet buried does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

// Whatever a runbook asks, somebody is there to be asked: a kind without an asker
// would be an error on the screen for ever.
func TestEveryKindHasItsAsker(t *testing.T) {
	kinds := []string{runbook.KindHTTP, runbook.KindTCP, runbook.KindTLS, runbook.KindGRPC, runbook.KindDNS, runbook.KindCommand,
		runbook.KindLog, runbook.KindPodLog, runbook.KindPrometheus, runbook.KindRollout,
		runbook.KindAlerts, runbook.KindManager, runbook.KindRules, runbook.KindPods, runbook.KindRestarts, runbook.KindEvents, runbook.KindWeight}
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	rb := load(t, `
service: shop
environments: {production: {image: "shop:{version}", canary: {stable: app-stable, canary: app-canary, route: VirtualService/app}}}
prometheus: {url: "http://127.0.0.1:1", http: {basic_auth: {username: bob, password_env: NOT_SET_ANYWHERE}}}
alertmanager: {url: "http://127.0.0.1:1", http: {authorization: {credentials_env: NOT_SET_EITHER}}}
probes: [{name: a, rollout: deployment/app}, {name: b, log: {pods: app=shop, pattern: x}}, {name: c, pods: app=shop}, {name: d, restarts: app=shop}, {name: e, events: Pod/app}, {name: f, weight: {seen: x}}]
`)
	w, err := newAskers(rb, state.Clock{}, nil)
	if err != nil {
		t.Fatalf("nothing of this may keep an incident from opening: %v", err)
	}
	for _, kind := range kinds {
		if w.kinds[kind] == nil {
			t.Errorf("nobody asks %s", kind)
		}
	}
	for kind, text := range map[string]string{"prometheus": "NOT_SET_ANYWHERE", "alerts": "NOT_SET_ANYWHERE", "rules": "NOT_SET_ANYWHERE", "alertmanager": "NOT_SET_EITHER", "rollout": "kubeconfig", "pods": "kubeconfig", "restarts": "kubeconfig", "events": "kubeconfig", "weight": "kubeconfig", "pod-log": "kubeconfig"} {
		if _, err := w.kinds[kind].Ask(t.Context(), state.Probe{}, time.Now()); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
