package shell

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/steptest"
)

// with wraps a farm's strategy in what a runbook wants behind the workload.
func (f *farm) with(r runbook.Rollback) steps.Strategy {
	return After(map[string]steps.Strategy{"script": f.strategy()}, &runbook.Runbook{Rollback: r}, nil)["script"]
}

func (f *farm) command(run ...string) *runbook.Command {
	return &runbook.Command{Run: run, Dir: f.dir, Timeout: state.Duration(time.Minute)}
}

// purges is a runbook's three hooks, which note in a file that they ran.
func (f *farm) purges(t testing.TB) runbook.Rollback {
	f.script(t, "purge.sh", `echo "$1 $(cat live) $VERSION $PREVIOUS_VERSION $MAYDAY_EPOCH" >>purged.sh; echo "purged $1"`)
	return runbook.Rollback{Cache: f.command("./purge.sh", "cache"), CDN: f.command("./purge.sh", "cdn", "{version}"), DNS: f.command("./purge.sh", "dns")}
}

// seen keeps the operations of a rollback in the order they ended.
type seen struct{ ended []string }

func (s *seen) report(op state.RollbackOp) {
	if op.Status != state.ItemRunning {
		s.ended = append(s.ended, op.Op+" "+string(op.Status))
	}
}

func taken(t *testing.T, s steps.Strategy, f *farm, out io.Writer) (state.Plan, *seen, steps.Verification, error) {
	t.Helper()
	p, err := s.Plan(t.Context(), f.order())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if _, err := s.Stage(t.Context(), p, i, first, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	var ops seen
	v, err := s.Rollback(steps.WithOutput(t.Context(), out), p, steps.Fence{Incident: first.Incident, Epoch: 1}, ops.report)
	return p, &ops, v, err
}

// TestAfterConformance: what comes behind the workload changes nothing of how a
// strategy behaves.
func TestAfterConformance(t *testing.T) {
	steptest.Strategy(t, func(t *testing.T) steptest.Fixture {
		f := blueGreen(t)
		fix, r := f.fixture(t), f.purges(t)
		fix.Strategy = func() steps.Strategy { return f.with(r) }
		return fix
	})
}

// TestAfterTheRunbookHasChanged: a plan holds what was wanted when it was made, whether
// the runbook has lost it since or wants it only now.
func TestAfterTheRunbookHasChanged(t *testing.T) {
	for name, c := range map[string]struct {
		before, after bool // the runbook wants the hooks
	}{"lost": {true, false}, "new": {false, true}} {
		t.Run(name, func(t *testing.T) {
			f := blueGreen(t)
			r := f.purges(t)
			with := func(wanted bool) steps.Strategy {
				if wanted {
					return f.with(r)
				}
				return f.with(runbook.Rollback{})
			}
			p, err := with(c.before).Plan(t.Context(), f.order())
			if err != nil {
				t.Fatal(err)
			}
			s := with(c.after)
			for i := range 2 {
				if _, err := s.Stage(t.Context(), p, i, first, io.Discard); err != nil {
					t.Fatal(err)
				}
			}
			if proof, err := s.Prove(t.Context(), p, true); err != nil || proof.Ready != state.Ready {
				t.Errorf("%+v, %v", proof, err)
			}
			var ops seen
			if _, err := s.Rollback(t.Context(), p, steps.Fence{Incident: first.Incident, Epoch: 1}, ops.report); err != nil {
				t.Fatal(err)
			}
			if got := slices.Contains(ops.ended, "cache "+string(state.ItemDone)); got != c.before {
				t.Errorf("cache invalidated: %t, the plan wants %t (%q)", got, c.before, ops.ended)
			}
		})
	}
}

// TestAfterOrder: traffic and workload first, then cache, CDN and DNS; the plan shows
// them before, and their output is kept.
func TestAfterOrder(t *testing.T) {
	f := blueGreen(t)
	r := f.purges(t)
	var out strings.Builder
	p, ops, v, err := taken(t, f.with(r), f, &out)
	if err != nil || len(v.Manual) > 0 || !strings.HasSuffix(v.Text, "cache invalidated, CDN purged, DNS checked") {
		t.Errorf("%+v, %v", v, err)
	}
	if want := []string{"script done", "validate done", "verify done", "cache done", "cdn done", "dns done"}; !slices.Equal(ops.ended, want) {
		t.Errorf("operations %q", ops.ended)
	}
	var planned []string
	for _, op := range p.Inverse {
		planned = append(planned, op.ID)
	}
	if want := []string{"script", "validate", "verify", "cache", "cdn", "dns"}; !slices.Equal(planned, want) || !strings.HasSuffix(p.Inverse[4].Command, "./purge.sh cdn v1.2.4") {
		t.Errorf("plan %q, %s", planned, p.Inverse[4].Command)
	}
	if got := f.read(t, "purged.sh"); got != "cache v1.2.3 v1.2.4 v1.2.3 1\ncdn v1.2.3 v1.2.4 v1.2.3 1\ndns v1.2.3 v1.2.4 v1.2.3 1" {
		t.Errorf("the hooks saw %q", got)
	}
	if !strings.Contains(out.String(), "purged cdn\n") {
		t.Errorf("output %q", out.String())
	}
}

// TestAfterFails: a hook that fails is told with its command and stops nothing; one
// that is required makes the rollback fail, behind the others.
func TestAfterFails(t *testing.T) {
	for _, required := range []bool{false, true} {
		f := blueGreen(t)
		r := f.purges(t)
		r.Cache = f.command("sh", "-c", "echo no route to cache; exit 7")
		if required {
			r.Required = []string{"cache"}
		}
		p, ops, v, err := taken(t, f.with(r), f, io.Discard)
		if (err != nil) != required || required && !strings.Contains(err.Error(), "no route to cache") {
			t.Errorf("required %t: %v", required, err)
		}
		if len(v.Manual) != 1 || !strings.HasSuffix(v.Manual[0], "sh -c 'echo no route to cache; exit 7'") || !strings.Contains(v.Text, "cache NOT invalidated, CDN purged") {
			t.Errorf("%+v", v)
		}
		if want := []string{"cache failed", "cdn done", "dns done"}; !slices.Equal(ops.ended[3:], want) || f.read(t, "live") != oldVersion {
			t.Errorf("operations %q", ops.ended)
		}
		if title := p.Inverse[3].Title; strings.Contains(title, "required") != required {
			t.Errorf("the plan says %q", title)
		}
	}
}

// TestAfterProof: programs that are missing are seen before the rollout.
func TestAfterProof(t *testing.T) {
	for required, want := range map[string]state.Readiness{"dns": state.Doubtful, "cdn": state.NotReady} {
		f := blueGreen(t)
		r := f.purges(t)
		r.CDN = f.command("./no-such.sh")
		r.Required = []string{required}
		s := f.with(r)
		p, err := s.Plan(t.Context(), f.order())
		if err != nil {
			t.Fatal(err)
		}
		proof, err := s.Prove(t.Context(), p, false)
		if err != nil || proof.Ready != want || !strings.Contains(proof.Why, "rollback.cdn: Cannot run ./no-such.sh") {
			t.Errorf("required %s: %+v, %v", required, proof, err)
		}
	}
}

// TestNothingBehindAFailure: where users are not served, no cache is emptied; what is
// left to do says so.
func TestNothingBehindAFailure(t *testing.T) {
	f := blueGreen(t)
	r := f.purges(t)
	f.script(t, "rollback.sh", "exit 1")
	_, ops, v, err := taken(t, f.with(r), f, io.Discard)
	if err == nil || len(ops.ended) != 3 {
		t.Errorf("%q, %v", ops.ended, err)
	}
	if n := len(v.Manual); n != 6 || !strings.HasSuffix(v.Manual[n-1], "./purge.sh dns") {
		t.Errorf("by hand %q", v.Manual)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "purged.sh")); err == nil {
		t.Error("a hook ran")
	}
}

// TestStagingHasNoAftermath: R is for production.
func TestStagingHasNoAftermath(t *testing.T) {
	f := blueGreen(t)
	f.env.Production = false
	p, ops, _, err := taken(t, f.with(f.purges(t)), f, io.Discard)
	if err != nil || len(p.Inverse) != 3 || len(ops.ended) != 3 {
		t.Errorf("%d operations in the plan, %q, %v", len(p.Inverse), ops.ended, err)
	}
}
