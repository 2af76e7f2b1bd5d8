package cli

import (
	"strings"
	"testing"

	"mayday/state"
)

// TestScaleDown: the old colour goes by a command, when drain has passed and not before;
// and a rollback brings it back first.
func TestScaleDown(t *testing.T) {
	sockets := newHost(t).sockets
	t.Setenv("MAYDAY_RUNTIME_DIR", sockets)
	for _, c := range []struct {
		drain string
		code  int
		says  string
	}{{"1h", exitFailed, "connections to it may still be open"}, {"0s", exitDone, "app-blue scaled from 2 pods to 0"}} {
		t.Run("drain "+c.drain, func(t *testing.T) {
			t.Parallel()
			w := ways()[1]
			w.env = strings.Replace(w.env, "hold: 0s", "hold: 0s, drain: "+c.drain, 1)
			g := newGround(t, w, sockets)
			before := g.specs()
			if code, out, errs := g.run("scale-down", "--incident", g.id); code != exitFailed || !strings.Contains(errs, "10.deploy") {
				t.Errorf("before the deployment: %d %s%s", code, out, errs)
			}
			g.keeper()
			d := g.driver()
			d.must(state.Run{Item: "10.deploy"})
			d.until("deployed", deployed)
			after := g.specs()
			code, out, errs := g.run("scale-down", "--incident", g.id)
			if code != c.code || !strings.Contains(out+errs, c.says) {
				t.Errorf("%d: %s%s", code, out, errs)
			}
			if done := g.specs() != after; done != (c.code == exitDone) {
				t.Errorf("it ended with %d; scaled down: %v", code, done)
			}
			g.takenBack()
			g.is("as it was", before)
			d.sound()
		})
	}
}
