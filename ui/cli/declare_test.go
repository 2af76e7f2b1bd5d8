package cli

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/ui"
)

// An incident declared by hand on the practice range is a drill, or the next mayday
// there would look for one and not find it.
func TestDeclaringOnTheRangeIsADrill(t *testing.T) {
	t.Setenv("MAYDAY_HOME", t.TempDir())
	for _, c := range []struct{ drill, want string }{{"", ""}, {"drill: {scenario: bad-canary}\n", "bad-canary"}} {
		file := filepath.Join(t.TempDir(), runbook.FileName)
		if err := os.WriteFile(file, []byte("service: shop\nrepo: {model: main}\n"+c.drill), 0o600); err != nil {
			t.Fatal(err)
		}
		rb, err := runbook.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		folder, err := declare(rb, ui.DeclareForm{Title: "Logins fail", Severity: 1}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if got := read("", folder).in.Drill; got != c.want {
			t.Errorf("declared with %q: drill %q, want %q", c.drill, got, c.want)
		}
		f, ok, err := new(app).pick(rb.Drill != nil)
		if err != nil || !ok || f.folder != folder {
			t.Errorf("declared with %q: the next mayday finds %q, %v, %v", c.drill, f.folder, ok, err)
		}
	}
}

// The command that declares an incident stays until the first notification is out; that
// the pages are out, which are queued before it, does not count.
func TestTheFirstNotificationIsWaitedFor(t *testing.T) {
	now := time.Date(2026, 11, 22, 3, 14, 0, 0, time.UTC)
	page := state.Message{ID: "m3-1", Purpose: "page", Tries: 1, Sent: now}
	told := func(tries int, sent time.Time, dead bool) state.Message {
		return state.Message{ID: "m18-2", Purpose: "declared", Tries: tries, Sent: sent, Dead: dead}
	}
	for _, c := range []struct {
		name     string
		status   state.ItemStatus
		messages []state.Message
		want     bool
	}{
		{"somebody else has begun it, which is not seen yet", state.ItemOpen, []state.Message{page}, false},
		{"it has just begun", state.ItemRunning, []state.Message{page}, false},
		{"one of two is out", state.ItemRunning, []state.Message{page, told(1, now, false), told(0, time.Time{}, false)}, false},
		{"all are out", state.ItemRunning, []state.Message{page, told(1, now, false)}, true},
		{"a channel is deaf", state.ItemRunning, []state.Message{page, told(drainTries, time.Time{}, false)}, true},
		{"given up", state.ItemRunning, []state.Message{page, told(1, time.Time{}, true)}, true},
		{"no channel takes it", state.ItemFailed, []state.Message{page}, true},
	} {
		in := &state.Incident{Steps: []state.Step{{No: 2, Items: []state.Item{{ID: "2.notify", Status: c.status}}}}, Messages: c.messages}
		if got := announced(in, "2.notify", "declared"); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
