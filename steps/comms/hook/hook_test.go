package hook

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/comms"
	"mayday/steps/comms/commstest"
	"mayday/steps/shell"
)

// run runs a real command as the command line wires it.
func run(ctx context.Context, c runbook.Command, env []string) (Result, error) {
	res, err := shell.Run(ctx, shell.Spec{Args: c.Run, Dir: c.Dir, Env: env, Timeout: c.Timeout.D(), Redact: shell.NewRedactor()})
	if state.HasCode(err, "exit") {
		return Result{Exit: res.Exit, Said: strings.Join(res.Last, " ")}, nil
	}
	return Result{Exit: res.Exit}, err
}

// script is the team's own: what it is told by a file's words it does.
const script = `way=$(cat way)
[ "$way" = hangs ] && sleep 600
[ "$way" = busy ] && { echo later; exit 75; }
[ "$way" = broken ] && { printf '\033[2Jno\n'; exit 1; }
[ "$way" = denied ] && { echo "not permitted"; exit 77; }
[ -n "$MAYDAY_REACH" ] && exit 0
printf '%s\n%s' "$MAYDAY_KEY" "$MAYDAY_MESSAGE" > "got.$(ls | wc -l)"`

func rig(t *testing.T) commstest.Rig {
	d := newDesk(t)
	c, err := New(run)(runbook.Channel{Name: "ops", Kind: Kind, Command: &runbook.Command{Run: []string{"sh", "-c", script}, Dir: d.dir, Timeout: state.Duration(20 * time.Second)}})
	if err != nil {
		t.Fatal(err)
	}
	return commstest.Rig{Channel: c, Set: func(f commstest.Fault) { d.way(string(f)) }, Deny: func() { d.way("denied") }, Got: d.got,
		Cannot: map[string]bool{"rest": true}}
}

func TestConformance(t *testing.T) { commstest.Run(t, rig) }

func TestWhatACommandIsTold(t *testing.T) {
	var mu sync.Mutex
	var got []string
	c, err := New(func(ctx context.Context, _ runbook.Command, env []string) (Result, error) {
		mu.Lock()
		defer mu.Unlock()
		got = env
		if _, ok := ctx.Deadline(); !ok {
			t.Error("nothing bounds the command")
		}
		return Result{}, nil
	})(runbook.Channel{Name: "ops", Command: &runbook.Command{Run: []string{"x"}, Timeout: state.Duration(time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(t.Context(), commstest.Letter("m1-0", "text")); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(got, "\n") + "\n"
	for _, want := range []string{"MAYDAY_MESSAGE=text", "MAYDAY_KEY=INC-20261122-01/m1-0", "MAYDAY_INCIDENT=INC-20261122-01", "MAYDAY_SEVERITY=SEV1",
		"MAYDAY_STATUS=investigating", "MAYDAY_PURPOSE=page", "MAYDAY_AUDIENCE=team", "MAYDAY_ROLE=senior engineer", "MAYDAY_WHO=Carol"} {
		if !strings.Contains(all, want+"\n") {
			t.Errorf("no %s in\n%s", want, all)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for code, permanent := range map[int]bool{1: false, 64: true, 65: true, 67: true, 69: false, 75: false, 77: true, 78: true, 137: false} {
		c, err := New(func(context.Context, runbook.Command, []string) (Result, error) {
			return Result{Exit: code, Said: "no"}, nil
		})(
			runbook.Channel{Name: "ops", Command: &runbook.Command{Timeout: state.Duration(time.Second)}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Send(t.Context(), commstest.Letter("m1-0", "x")); err == nil || comms.Permanent(err) != permanent {
			t.Errorf("%d: %v", code, err)
		}
	}
}
