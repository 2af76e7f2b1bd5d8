package shell

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// sink counts what it takes and keeps the first megabyte.
type sink struct {
	b     strings.Builder
	total int
	line  chan string // receives every write where it is set
}

func (s *sink) Write(p []byte) (int, error) {
	s.total += len(p)
	if s.b.Len() < 1<<20 {
		s.b.Write(p)
	}
	if s.line != nil {
		s.line <- string(p)
	}
	return len(p), nil
}

func sh(script string) Spec { return Spec{Args: []string{"sh", "-c", script}} }

func TestOutputIsCleanAndRedacted(t *testing.T) {
	var out sink
	s := sh(`printf 'a\033[31mred\033[0m\n\033]0;title\007b hunter2!pw\r\nc\rd\n\nlast'; echo err >&2`)
	s.Output, s.Redact = &out, NewRedactor("hunter2!pw")
	res, err := Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	want := "ared\nb [redacted]\nc\nd\n\nlasterr\n"
	if got := out.b.String(); got != want {
		t.Errorf("output %q, want %q", got, want)
	}
	if res.Exit != 0 || res.Last[len(res.Last)-1] != "lasterr" {
		t.Errorf("result %+v", res)
	}
}

func TestChildHasNoTerminalAndItsOwnSession(t *testing.T) {
	var out sink
	s := sh(`(: </dev/tty) 2>/dev/null && echo tty; read x && echo input; echo "$$ $(ps -o sid= -p $$ | tr -d ' ') $GIT_TERMINAL_PROMPT"`)
	s.Output = &out
	if _, err := Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(out.b.String())
	if len(f) != 3 || f[0] != f[1] || f[2] != "0" {
		t.Errorf("pid, session, prompt: %q", out.b.String())
	}
}

func TestHundredMegabytes(t *testing.T) {
	var out sink
	s := sh(`yes 0123456789012345678901234567890123456789 | head -c 104857600; echo; echo the end`)
	s.Output = &out
	res, err := Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if out.total > OutputLimit+1<<20 {
		t.Errorf("passed on %d bytes", out.total)
	}
	if got := res.Last[len(res.Last)-1]; got != "the end" {
		t.Errorf("last line %q", got)
	}
}

func TestLongLineIsSplitAndNoSecretWithIt(t *testing.T) {
	var out sink
	secret := "s3cr3t-" + strings.Repeat("x", 50)
	s := sh(`i=0; while [ $i -lt 300 ]; do printf '%s' "$PAD$SECRET"; i=$((i+1)); done`)
	s.Output, s.Redact = &out, NewRedactor(secret)
	s.Env = []string{"PAD=" + strings.Repeat("é", 101), "SECRET=" + secret}
	if _, err := Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	got := out.b.String()
	for line := range strings.Lines(got) {
		if len(line) > LineLimit+1 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	joined := strings.ReplaceAll(got, "\n", "")
	if strings.Contains(joined, "s3cr") || strings.Contains(joined, "xxx") {
		t.Error("a part of the secret came through")
	}
	if n := strings.Count(joined, "é"); n != 300*101 {
		t.Errorf("%d characters, want %d", n, 300*101)
	}
}

// gone reports whether the process ended (a zombie counts as ended).
func gone(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil && syscall.Kill(pid, 0) != nil || strings.Contains(string(b), ") Z ")
}

func TestCancelKillsTheWholeGroup(t *testing.T) {
	for _, tc := range []struct{ name, script string }{
		{"polite", `sleep 1000 & echo $!; wait`},
		{"stubborn", `sh -c 'trap "" TERM; echo $$; while :; do sleep 1000; done' & wait`},
		{"leader gone", `trap 'exit 0' TERM; sh -c 'trap "" TERM; echo $$; while :; do sleep 1000; done' & wait`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			out := &sink{line: make(chan string, 1)}
			s := sh(tc.script)
			s.Output = out
			done := make(chan error, 1)
			go func() { _, err := Run(ctx, s); done <- err }()
			pid, _ := strconv.Atoi(strings.TrimSpace(<-out.line))
			cancel()
			err := <-done
			if !state.HasCode(err, "cancelled") || !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			// Nobody can wait for a grandchild: it is looked at until it is gone, which on a
			// busy machine may be after Run's own patience.
			for late := time.Now().Add(20 * time.Second); !gone(pid); time.Sleep(time.Millisecond) {
				if time.Now().After(late) {
					t.Fatalf("grandchild %d lives", pid)
				}
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	s := sh(`printed=work; echo "${printed}ing"; sleep 1000`)
	// How long a shell takes to its first word is the machine's affair.
	for s.Timeout = 100 * time.Millisecond; ; s.Timeout *= 4 {
		_, err := Run(t.Context(), s)
		if !state.HasCode(err, "timed-out") {
			t.Fatalf("error %v", err)
		}
		if strings.Contains(err.Error(), "working") {
			return
		}
		if s.Timeout > 30*time.Second {
			t.Fatalf("it printed nothing in %s: %v", s.Timeout, err)
		}
	}
}

// What is asked again and again leaves nothing behind, although it ended by itself.
func TestSweep(t *testing.T) {
	s := sh(`sh -c 'trap "" TERM HUP; sleep 1000' & echo $!; exit 3`)
	s.Sweep, s.Keep = true, 100
	r, err := Run(t.Context(), s)
	if !state.HasCode(err, "exit") || r.Exit != 3 {
		t.Fatal(r, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(r.Stdout)))
	if err != nil {
		t.Fatal(err)
	}
	for late := time.Now().Add(20 * time.Second); !gone(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("child %d lives", pid)
		}
	}
}

func TestWhatStaysBehindHoldsNobodyUp(t *testing.T) {
	out := &sink{}
	s := sh(`sleep 1000 & echo $!`)
	s.Output, s.Timeout = out, time.Minute
	began := time.Now()
	if _, err := Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(out.b.String()))
	if gone(pid) {
		t.Error("what the command left behind was killed")
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

func TestFailuresSayWhatToDo(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain.sh")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		spec Spec
		code string
		says string
	}{
		{"exit", sh(`echo one; echo why >&2; exit 3`), "exit", "exit code 3: one / why"},
		{"signal", sh(`kill -9 $$`), "exit", "signal: killed"},
		{"no program", Spec{Args: []string{"no-such-program-here"}}, "not-found", "in PATH"},
		{"no script", Spec{Args: []string{"./no.sh"}, Dir: dir}, "not-found", "./no.sh"},
		{"not executable", Spec{Args: []string{"./plain.sh"}, Dir: dir}, "not-started", "chmod +x"},
		{"no folder", Spec{Args: []string{"true"}, Dir: filepath.Join(dir, "gone")}, "no-directory", "does not exist"},
		{"nothing", Spec{}, "not-found", "no command"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Run(t.Context(), tc.spec)
			if !state.HasCode(err, tc.code) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestKeepAndEnvironment(t *testing.T) {
	t.Setenv("MAYDAY_TEST_GONE", "here")
	var out sink
	s := sh(`echo "$A-$MAYDAY_TEST_GONE-12345678"; echo aside >&2`)
	s.Env, s.Keep, s.Output = []string{"A=1", "MAYDAY_TEST_GONE"}, 6, &out
	res, err := Run(t.Context(), s)
	if err != nil || string(res.Stdout) != "1--123" || out.b.String() != "aside\n" {
		t.Errorf("%q %q %v", res.Stdout, out.b.String(), err)
	}
}

func TestAction(t *testing.T) {
	dir := t.TempDir()
	var out sink
	in := &state.Incident{ID: "INC-1", Environment: "production", Facts: map[string]string{"version": "v1.2.4", "baseline": "v1.2.3"}}
	job := steps.Job{Incident: in, Run: "5.focused-1", Output: &out}
	a := Action(runbook.Command{Run: []string{"sh", "-c", `echo "$VERSION $PREVIOUS_VERSION $ENVIRONMENT $INCIDENT_ID $X"; pwd; exit $CODE`},
		Env: map[string]string{"X": "it's", "CODE": "0"}}, Options{Dir: dir, Environment: "staging"})
	p, err := a.Preview(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	want := `export VERSION=v1.2.4 PREVIOUS_VERSION=v1.2.3 ENVIRONMENT=staging INCIDENT_ID=INC-1 CODE=0 X='it'\''s'`
	if len(p.Commands) != 3 || p.Commands[0] != "cd "+dir || p.Commands[1] != want {
		t.Errorf("preview %q", p.Commands)
	}
	o, err := a.Run(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	if got := out.b.String(); got != "v1.2.4 v1.2.3 staging INC-1 it's\n"+dir+"\n" {
		t.Errorf("output %q", got)
	}
	if len(o.Evidence) != 3 || o.Evidence[0].Value != "0" || o.Evidence[2].File != "output/5.focused-1.log" {
		t.Errorf("evidence %+v", o.Evidence)
	}
}

func TestRedactor(t *testing.T) {
	r := NewRedactor("topsecret", "topsecret-longer", "a b&c d", "no", "-----BEGIN\nbase64line\n-----END")
	for in, want := range map[string]string{
		"topsecret-longer topsecret":        "[redacted] [redacted]",
		"?q=a+b%26c+d":                      "?q=[redacted]",
		"no base64line":                     "no [redacted]",
		"https://u:pass@host/x http://h/":   "https://u:[redacted]@host/x http://h/",
		"git@host:path and nothing to hide": "git@host:path and nothing to hide",
	} {
		if got := r.Text(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	got := EnvSecrets([]string{"SLACK_WEBHOOK=https://x/y", "PATH=/bin", "GITHUB_TOKEN=abcdefgh", "TOKEN_FILE=/run/token"})
	if strings.Join(got, " ") != "https://x/y abcdefgh" {
		t.Errorf("%q", got)
	}
}
