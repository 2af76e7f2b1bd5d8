package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/runbook"
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

// TestOneItemLeavesNobodyUntold: a command that runs one item and kept the incident for it
// stays until people are told, or says whom it did not reach.
func TestOneItemLeavesNobodyUntold(t *testing.T) {
	h := newHost(t)
	t.Setenv("MAYDAY_HOME", h.home)
	t.Setenv("MAYDAY_RUNTIME_DIR", h.sockets)
	file := filepath.Join(h.tmp, runbook.FileName)
	if err := os.WriteFile(file, []byte("service: shop\nchannels: [{name: deaf, url: \"http://127.0.0.1:1/\"}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := recordedAt(h.home, file, "INC-20261122-01", "logins fail"); err != nil {
		t.Fatal(err)
	}
	var said, errs bytes.Buffer
	a := &app{out: &said, err: &errs, now: time.Now}
	a.flags.incident = "INC-20261122-01"
	if err := a.runItem(t.Context(), "6.commit"); err == nil { // its turn has not come
		t.Errorf("it ran: %s", said.String())
	}
	if !strings.Contains(errs.String(), "messages were not delivered: page to deaf") {
		t.Errorf("said %q", errs.String())
	}
}
