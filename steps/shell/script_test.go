package shell

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/steptest"
)

// farm is a world that scripts act on: one file a server, which holds the version
// that it answers with, and one for the colour that is idle.
type farm struct {
	dir     string
	servers []string
	faults  *steptest.Faults
	env     runbook.Environment
}

const (
	oldVersion = "v1.2.3"
	newVersion = "v1.2.4"
)

// blueGreen is a farm of one, with the hooks of a switch between two colours.
func blueGreen(t testing.TB) *farm {
	f := newFarm(t, "live")
	f.write(t, "idle", "v1.2.2")
	f.script(t, "deploy-blue.sh", `echo "$1" >idle`)
	f.script(t, "health-check-blue.sh", `[ "$(cat idle)" = "$VERSION" ]`)
	f.script(t, "switch-to-blue.sh", `cp idle live`)
	f.script(t, "monitor-deployment.sh", `[ "$(cat live)" = "$VERSION" ]`)
	f.script(t, "rollback.sh", `echo "$PREVIOUS_VERSION" >live; echo v1.2.2 >idle`)
	f.script(t, "validate-rollback.sh", `[ "$(cat live)" = "$PREVIOUS_VERSION" ]`)
	f.env.Script = f.hooks(map[string][]string{"deploy": {"./deploy-blue.sh", "{version}"}, "validate": {"./health-check-blue.sh"},
		"switch": {"./switch-to-blue.sh"}, "monitor": {"./monitor-deployment.sh"}, "rollback": {"./rollback.sh"},
		"validate_rollback": {"./validate-rollback.sh"}, "version": {"cat", "live"}, "prove": {"test", "-x", "rollback.sh"}})
	return f
}

// batches is a farm of three, which take the version one after the other.
func batches(t testing.TB) *farm {
	f := newFarm(t, "server1", "server2", "server3")
	f.script(t, "deploy-rolling.sh", `[ "$2 $3" = "--batch-size 1" ] && echo "$1" >server1`)
	f.script(t, "monitor-batch.sh", `[ "$(cat server$((${BATCH:-0} + 1)))" = "$VERSION" ]`)
	f.script(t, "deploy-next-batch.sh", `echo "$VERSION" >"server$(($1 + 1))"`)
	f.script(t, "rollback.sh", `for s in server*; do echo "$PREVIOUS_VERSION" >"$s"; done`)
	f.env.Script = f.hooks(map[string][]string{"deploy": {"./deploy-rolling.sh", "{version}", "--batch-size", "1"}, "monitor": {"./monitor-batch.sh"},
		"next_batch": {"./deploy-next-batch.sh", "{batch}"}, "rollback": {"./rollback.sh"}, "version": {"cat", "server3"}, "prove": {"true"}})
	f.env.Script.Batches = 2
	return f
}

// again is a farm with the one command of the seeds' "./deploy-production.sh".
func again(t testing.TB) *farm {
	f := newFarm(t, "live")
	f.script(t, "deploy-production.sh", `echo "$1" >live`)
	f.env.Script = f.hooks(map[string][]string{"deploy": {"./deploy-production.sh", "{version}"}, "version": {"cat", "live"}, "prove": {"true"}})
	f.env.Script.Rollback, f.env.Script.Redeploys = f.env.Script.Deploy, true
	return f
}

func newFarm(t testing.TB, servers ...string) *farm {
	f := &farm{dir: t.TempDir(), servers: servers, faults: new(steptest.Faults)}
	f.env = runbook.Environment{Name: "production", Production: true, URL: "http://farm"}
	for _, s := range servers {
		f.write(t, s, oldVersion)
	}
	return f
}

func (f *farm) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (f *farm) read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(f.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func (f *farm) script(t testing.TB, name, text string) {
	t.Helper()
	// A process that is being forked meanwhile would hold the file open for writing until
	// its exec, and what is open for writing cannot be executed: "text file busy".
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

func (f *farm) hooks(run map[string][]string) *runbook.Script {
	c := func(key string) *runbook.Command {
		if run[key] == nil {
			return nil
		}
		return &runbook.Command{Run: run[key], Dir: f.dir, Timeout: state.Duration(time.Minute)}
	}
	return &runbook.Script{Deploy: c("deploy"), Validate: c("validate"), Switch: c("switch"), Monitor: c("monitor"), NextBatch: c("next_batch"),
		Rollback: c("rollback"), ValidateRollback: c("validate_rollback"), Version: c("version"), Prove: c("prove"), Hold: state.Duration(time.Second)}
}

// Versions implements steps.Traffic: the servers answer in turn.
func (f *farm) Versions(_ context.Context, _ runbook.Environment, n int) (map[string]int, error) {
	out := map[string]int{}
	for i := range n {
		b, err := os.ReadFile(filepath.Join(f.dir, f.servers[i%len(f.servers)]))
		if err != nil {
			return nil, err
		}
		out[strings.TrimSpace(string(b))]++
	}
	return out, nil
}

func (f *farm) strategy() *script {
	s := Script(ScriptOptions{Service: "shop", Environments: map[string]runbook.Environment{"production": f.env},
		Fences: filepath.Join(f.dir, "fences"), Traffic: f}).(*script)
	s.around = func(do func() error) error {
		if err := f.faults.Before(); err != nil {
			return err
		}
		if err := do(); err != nil {
			return err
		}
		return f.faults.After()
	}
	return s
}

func (f *farm) order() steps.Order {
	return steps.Order{ID: "r1", Environment: f.env, Version: newVersion, Previous: oldVersion, Incident: "INC-20261122-01"}
}

func (f *farm) plan(t testing.TB) state.Plan {
	t.Helper()
	p, err := f.strategy().Plan(t.Context(), f.order())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (f *farm) fixture(t *testing.T) steptest.Fixture {
	t.Parallel()
	l := f.strategy().ledger("production")
	return steptest.Fixture{
		Strategy: func() steps.Strategy { return f.strategy() },
		Order:    f.order(),
		Faults:   f.faults,
		State: func(t testing.TB) string {
			out := ""
			entries, err := os.ReadDir(f.dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if !e.IsDir() && !strings.HasSuffix(e.Name(), ".sh") {
					out += e.Name() + " " + f.read(t, e.Name()) + "\n"
				}
			}
			return out
		},
		Fences: func(t testing.TB) map[string]string {
			o, err := l.read()
			if err != nil {
				t.Fatal(err)
			}
			return map[string]string{"production": o.fence}
		},
		Seize: func(t testing.TB, fence string) {
			if err := l.append(entry{Do: "seize", Fence: fence}); err != nil {
				t.Fatal(err)
			}
		},
		Disturb: func(t testing.TB) func() {
			ctx, cancel := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			wg.Go(func() {
				tick := time.NewTicker(max(20*time.Millisecond, 4*starting(t)))
				defer tick.Stop()
				for n := 0; ctx.Err() == nil; n++ {
					_ = l.append(entry{Do: "tick", Fence: fmt.Sprintf("INC-20261120-09/%d", n)})
					<-tick.C
				}
			})
			return func() { cancel(); wg.Wait() }
		},
		Answers: func(t testing.TB, n int) map[string]int {
			got, err := f.Versions(t.Context(), f.env, n)
			if err != nil {
				t.Error(err)
			}
			return got
		},
	}
}

// starting is how long this machine takes to start a process that starts another, as a
// fenced one does before its last look: a writer that is always quicker than that would
// keep it from ever getting through.
func starting(t testing.TB) (most time.Duration) {
	t.Helper()
	for range 5 {
		began := time.Now()
		if err := exec.Command("sh", "-c", `[ "$(wc -c </dev/null)" -eq 0 ]`).Run(); err != nil {
			t.Error(err)
		}
		most = max(most, time.Since(began))
	}
	return most
}

func TestScriptConformance(t *testing.T) {
	for name, world := range map[string]func(testing.TB) *farm{"blue-green": blueGreen, "rolling": batches, "one command": again} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steptest.Strategy(t, func(t *testing.T) steptest.Fixture { return world(t).fixture(t) })
		})
	}
}
