package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mayday/state"
	"mayday/state/journal"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/drill"
	"mayday/ui/uitest/term"
)

// TestMain lets this test binary be mayday too: scripts and tests that need a
// process of its own run "mayday" from their PATH.
func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){
		"mayday": func() { os.Exit(Main(os.Args[1:])) },
		"bare":   term.Bare,
	})
}

// TestScripts runs testdata/script/*.txtar: what a person types, and what comes back.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("MAYDAY_HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("MAYDAY_RUNTIME_DIR", filepath.Join(env.WorkDir, "run"))
			env.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"answers": answers, "exits": exits, "incident": recorded, "rolledout": rolledOut, "served": served},
	})
}

// exits runs a command and checks its exit code: exits 2 mayday list --bogus.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var e *exec.ExitError
		if !errors.As(err, &e) {
			ts.Fatalf("%v", err)
		}
		code = e.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit %d, want %d", code, want)
	}
}

// recorded leaves an incident's journal: incident ID TITLE open|ended. It was
// declared with mayday.yaml of the script's folder.
func recorded(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: incident ID TITLE open|ended")
	}
	var end []state.Fact
	if args[2] == "ended" {
		end = append(end, state.DecisionMade{Choice: "wait", Rationale: "it can wait until Monday"})
	}
	ts.Check(recordedAt(ts.Getenv("MAYDAY_HOME"), ts.MkAbs("mayday.yaml"), args[0], args[1], end...))
}

// recordedAt leaves an incident's journal in a home.
func recordedAt(home, rb, id, title string, more ...state.Fact) error {
	j, err := journal.Create(journal.Folder(home, id))
	if err != nil {
		return err
	}
	at := time.Date(2026, 11, 22, 3, 14, 15, 0, time.UTC)
	alice := state.Actor{User: "alice", Host: "bastion-1", PID: 4711, Via: "cockpit"}
	facts := append([]state.Fact{
		state.Declared{ID: id, Title: title, Severity: 1, Service: "shop", Policy: state.DefaultPolicy(1),
			Steps: steps.Catalogue(&runbook.Runbook{}), PublicKey: j.PublicKey(), Runbook: rb},
		state.NoteAdded{Text: "customers report it since 02:50"},
		state.ItemChecked{Item: "1.affected", Value: "logins"},
	}, more...)
	for i, f := range facts {
		if _, err := j.Append(at.Add(time.Duration(i)*time.Second), alice, 0, f); err != nil {
			return err
		}
	}
	_, err = j.Checkpoint(at.Add(time.Minute))
	return errors.Join(err, j.Close())
}

// answers serves HTTP until the script ends: answers NAME JSON. Each request is a line of
// NAME.log and gets that answer, one for a list gets an empty one; the address is in the
// variable NAME in capitals.
func answers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: answers NAME JSON")
	}
	log, err := os.OpenFile(ts.MkAbs(args[0]+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	ts.Check(err)
	var mu sync.Mutex
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client went away
		}
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(log, "%s %s %s\n", r.Method, r.URL.Path, body)
		answer := args[1]
		if strings.HasSuffix(r.URL.Path, "/unresolved") {
			answer = "[]"
		}
		_, _ = io.WriteString(w, answer)
	}))
	ts.Defer(func() { srv.Close(); _ = log.Close() })
	ts.Setenv(strings.ToUpper(args[0]), srv.URL)
}

func exists(name string) bool { _, err := os.Stat(name); return err == nil }

// served leaves a practice range that runs until the script ends, in range/, at twenty
// times the speed: served SCENARIO HOLD.
func served(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: served SCENARIO HOLD")
	}
	dir := ts.MkAbs("range")
	var c *exec.Cmd
	for _, folder := range filepath.SplitList(ts.Getenv("PATH")) {
		if name := filepath.Join(folder, "mayday"); c == nil && exists(name) {
			c = exec.Command(name, "drill", args[0], "--serve", dir, "--speed", "20")
		}
	}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "MAYDAY_HOME", "MAYDAY_RUNTIME_DIR", "GIT_CONFIG_GLOBAL"} {
		c.Env = append(c.Env, name+"="+ts.Getenv(name))
	}
	ts.Check(c.Start())
	over := make(chan error, 1)
	go func() { over <- c.Wait() }()
	ts.Defer(func() {
		_ = c.Process.Signal(os.Interrupt) // it may have ended
		<-over
	})
	end := time.Now().Add(patience)
	for {
		var at drill.Addresses
		if data, err := os.ReadFile(filepath.Join(dir, "addresses.json")); err == nil && json.Unmarshal(data, &at) == nil {
			break
		}
		if time.Now().After(end) {
			ts.Fatalf("the range did not come up")
		}
		time.Sleep(10 * time.Millisecond)
	}
	path := filepath.Join(dir, "shop", runbook.FileName)
	text, err := os.ReadFile(path)
	ts.Check(err)
	text, err = replaced(text, hasty(args[1]))
	ts.Check(err)
	ts.Check(os.WriteFile(path, text, 0o600))
}
