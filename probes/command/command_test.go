package command

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"mayday/probes"
	"mayday/probes/probetest"
	"mayday/state"
)

func ends(r Result, err error) Run {
	return func(context.Context, state.Probe) (Result, error) { return r, err }
}

func TestConformance(t *testing.T) {
	limit := 1.0
	probetest.Run(t, func(t *testing.T, w probetest.World) (probetest.Subject, bool) {
		var run Run
		switch w {
		case probetest.Well:
			run = ends(Result{Stdout: "0.25\n"}, nil)
		case probetest.Hangs, probetest.Drips:
			run = func(ctx context.Context, _ state.Probe) (Result, error) { <-ctx.Done(); return Result{}, ctx.Err() }
		case probetest.Refuses:
			run = ends(Result{Exit: -1}, errors.New("there is no program ./check"))
		case probetest.Fails:
			run = ends(Result{Exit: 3, Said: "no such luck"}, nil)
		case probetest.Escapes:
			run = ends(Result{Exit: 1, Said: "\x1b[31mred\x1b]0;t\x07\r\nx"}, nil)
		case probetest.Empty:
			run = ends(Result{}, nil)
		case probetest.NotANum:
			run = ends(Result{Stdout: "NaN"}, nil)
		default:
			return probetest.Subject{}, false
		}
		return probetest.Subject{Asker: Asker{Run: run}, Probe: state.Probe{Name: "c", Kind: Kind, Query: "./check", Crit: &limit}}, true
	})
}

func TestReadings(t *testing.T) {
	limit := 10.0
	for name, c := range map[string]struct {
		r     Result
		limit *float64
		want  state.Verdict
		value float64
		text  string
	}{
		"number":           {Result{Stdout: "7.5\n"}, &limit, state.OK, 7.5, ""},
		"beyond the limit": {Result{Stdout: "starting\n 1e3 \n"}, &limit, state.Crit, 1000, ""},
		"no limit":         {Result{Stdout: "all fine\n"}, nil, state.OK, 0, "all fine"},
		"silent":           {Result{}, nil, state.OK, 0, "exit code 0"},
		"no number":        {Result{Stdout: "7 apples"}, &limit, state.NoData, 0, `printed "7 apples", which is not a number`},
		"failed":           {Result{Exit: 2, Stdout: "3", Said: "x\nno database\n"}, &limit, state.Crit, 2, "exit code 2: no database"},
		"failed silently":  {Result{Exit: 2}, nil, state.Crit, 2, "exit code 2"},
		"infinite":         {Result{Stdout: "+Inf"}, &limit, state.Error, 0, "infinite"},
	} {
		p, now := state.Probe{Query: "./check", Crit: c.limit}, time.Now()
		r, err := Asker{Run: ends(c.r, nil)}.Ask(t.Context(), p, now)
		if x := probes.Judge(p, r, err, now, now); x.Verdict != c.want || x.Value != c.value || !strings.Contains(x.Text, c.text) {
			t.Errorf("%s: %+v", name, x)
		}
	}
}

// A command that ends with its time-out has not answered, whatever it printed.
func TestTimeoutIsNoAnswer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := Asker{Run: func(context.Context, state.Probe) (Result, error) { cancel(); return Result{Stdout: "1"}, nil }}
	if _, err := a.Ask(ctx, state.Probe{Query: "./check"}, time.Now()); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
