package cli

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/journal"
	"mayday/state/runbook"
	"mayday/steps"
)

// accounts is a machine with accounts: mayday runs as each of them.
type accounts struct {
	t   *testing.T
	dir string // everybody may look into it
	id  string
}

const guestRunbook = `service: shop
environments: {production: {script: {deploy: [./deploy.sh], rollback: [./rollback.sh], version: [cat, live]}}}
people:
  - {name: Nora, user: nobody, roles: [reviewer]}
  - {name: Carol, user: carol, roles: [senior engineer]}
`

// newAccounts has an incident of root's whose change waits for its sign-off.
func newAccounts(t *testing.T) *accounts {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can run mayday from several accounts")
	}
	dir, err := os.MkdirTemp("", "mayday-host-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &accounts{t: t, dir: dir, id: "INC-20261122-01"}
	self, err := os.Executable()
	h.check(err)
	program, err := os.ReadFile(self)
	h.check(err)
	h.check(os.WriteFile(h.path("mayday"), program, 0o755))
	h.check(os.Mkdir(h.path("shop"), 0o755))
	h.check(os.Mkdir(h.path("tmp"), 0o755))
	h.check(os.WriteFile(h.path("shop/mayday.yaml"), []byte(guestRunbook), 0o644))
	h.check(errors.Join(os.Chmod(dir, 0o755), os.Chmod(h.path("tmp"), 0o777|os.ModeSticky)))

	rb, err := runbook.Load(h.path("shop/mayday.yaml"))
	h.check(err)
	j, err := journal.Create(journal.Folder(h.path("home-root"), h.id))
	h.check(err)
	facts := []state.Fact{state.Declared{ID: h.id, Title: "logins fail", Severity: 3, Service: "shop", Steps: steps.Catalogue(rb), PublicKey: j.PublicKey(), Runbook: rb.Path}}
	for _, id := range []string{"1.severity", "1.decision", "3.baseline", "3.branch", "4.change", "5.focused"} {
		facts = append(facts, state.ItemPassedOver{Item: id, Reason: "test"})
	}
	const commit = "3f9c1d03f9c1d03f9c1d03f9c1d03f9c1d03f9c1"
	facts = append(facts, state.ItemStarted{Item: "6.commit", Run: "r"}, state.ItemFinished{Item: "6.commit", Run: "r", Outcome: state.ItemDone, Facts: map[string]string{"commit": commit}})
	_, err = j.Append(time.Now(), me("cli"), 0, facts...)
	h.check(errors.Join(err, j.Close()))
	return h
}

func (h *accounts) path(name string) string { return filepath.Join(h.dir, name) }

func (h *accounts) check(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// as is mayday as an account runs it, with a home of its own.
func (h *accounts) as(account string, args ...string) *exec.Cmd {
	h.t.Helper()
	u, err := user.Lookup(account)
	h.check(err)
	uid, err := strconv.Atoi(u.Uid)
	h.check(err)
	gid, err := strconv.Atoi(u.Gid)
	h.check(err)
	c := exec.CommandContext(h.t.Context(), h.path("mayday"), args...)
	c.Dir = h.dir // no runbook is near
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + h.path("tmp"), "MAYDAY_HOME=" + h.path("home-"+account)}
	if uid != os.Getuid() {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	return c
}

// says runs it and wants its exit code, and words in what it prints.
func (h *accounts) says(c *exec.Cmd, code int, words ...string) {
	h.t.Helper()
	out, err := c.CombinedOutput()
	if c.ProcessState == nil || c.ProcessState.ExitCode() != code {
		h.t.Errorf("%q: %v\n%s", c.Args[1:], err, out)
		return
	}
	for _, w := range words {
		if !strings.Contains(string(out), w) {
			h.t.Errorf("%q does not say %q:\n%s", c.Args[1:], w, out)
		}
	}
}

// keeps lets root keep the incident until the test ends.
func (h *accounts) keeps() {
	h.t.Helper()
	k := h.as("root", "keeper")
	var out bytes.Buffer
	k.Stdout, k.Stderr = &out, &out
	h.check(k.Start())
	h.t.Cleanup(func() {
		_ = k.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = k.Wait()
		if h.t.Failed() {
			h.t.Logf("the keeper said:\n%s", out.Bytes())
		}
	})
	alias := filepath.Join(h.path("tmp"), "mayday-0", h.id+".sock")
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if exists(alias) {
			return
		}
		if time.Now().After(end) {
			h.t.Fatalf("the keeper does not listen:\n%s", out.Bytes())
		}
	}
}

// A colleague's account signs, takes a page and notes, with nothing but the incident's
// id: its identity is what the kernel says. The files stay closed to it.
func TestAnotherAccount(t *testing.T) {
	h := newAccounts(t)
	h.says(h.as("nobody", "approve", "--incident", h.id), exitUsage, "there is no incident")
	h.keeps()
	h.says(h.as("root", "approve"), exitFailed, "the author cannot sign their own change")
	h.says(h.as("daemon", "approve", "--incident", h.id), exitFailed, "you are not in this incident", "daemon")
	h.says(h.as("nobody", "approve", "--incident", h.id, "--as", "carol"), exitFailed, "nobody speaks for carol")
	h.says(h.as("nobody", "approve", "--incident", h.id, "-m", "small"), exitDone, "approved commit 3f9c1d0")
	h.says(h.as("nobody", "note", "--incident", h.id, "looked at it"), exitDone, "noted")
	h.says(h.as("nobody", "incident", "assign", "--incident", h.id, "--role", "scribe", "--to", "Nora"), exitFailed, "your role does not do this")
	h.says(h.as("nobody", "show", "--incident", h.id), exitDone, h.id, "logins fail", "6.signoff        done")
	h.says(h.as("nobody", "show", "--incident", h.id, "--json"), exitDone, `"title":"logins fail"`)
	h.says(h.as("nobody", "incident", "timeline", "--incident", h.id), exitDone, "looked at it")
	h.says(h.as("nobody", "journal", "cat", "--incident", h.id), exitDone, "looked at it", "keeps the incident")
	h.says(h.as("daemon", "show", "--incident", h.id), exitFailed, "you are not in this incident")
	h.says(h.as("nobody", "show"), exitUsage, "there is no incident on this host yet")
	h.says(h.as("nobody", "replay", "--incident", h.id), exitPerson, "cannot replay it")
	h.says(h.as("nobody", "report", "--incident", h.id), exitPerson, "cannot write its report")
	h.says(h.as("nobody", "journal", "verify", "--incident", h.id), exitPerson, "cannot check the journal")
	h.says(h.as("nobody", "keeper", "--incident", h.id), exitPerson, "cannot keep the incident")
	h.says(h.as("nobody", "rollback", "--incident", h.id, "--immediate"), exitFailed, "nothing")
	h.says(h.as("nobody", "pair", "--incident", h.id), exitPerson, "another account keeps "+h.id, "you are yourself there")
	h.says(h.as("nobody", "deploy", "--incident", h.id), exitPerson, "without the runbook")

	events, _, err := journal.Read(journal.Folder(h.path("home-root"), h.id))
	h.check(err)
	in, err := state.Fold(events)
	h.check(err)
	if it := in.Item("6.signoff"); it.By != "nobody" || it.Status != state.ItemDone || in.Facts["approved.by"] != "nobody" {
		t.Errorf("%+v", it)
	}
}
