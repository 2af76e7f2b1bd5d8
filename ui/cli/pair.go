package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"mayday/state"
	"mayday/state/journal"
	"mayday/steps/keeper"
	"mayday/steps/shell"
)

// pairing is how pair was asked.
type pairing struct{ readOnly, print bool }

func (a *app) pairCommand() *cobra.Command {
	var how pairing
	c := &cobra.Command{
		Use: "pair", Short: "Share the cockpit with a colleague over tmux", Args: args(cobra.NoArgs),
		Long: "pair opens the open incident's cockpit in a tmux of its own. Whoever runs it again, in the same\n" +
			"account on this host, sees and drives that same screen; its size follows who typed last.\n" +
			"ctrl+b d leaves it and it goes on; q ends it for everybody. tmux has no other key there, no\n" +
			"mouse, and reads no configuration.\n\n" +
			"  mayday pair                begins, or joins\n" +
			"  mayday pair --read-only    looks on, where somebody shares\n" +
			"  mayday pair --print        prints the command to join, for a message to a colleague; so does\n" +
			"                             pair without a terminal\n\n" +
			"What anybody does in it is done by its account. Another account therefore does not get in: it\n" +
			"joins with mayday --incident ID, which shows the same and signs with its own name.",
		RunE: func(c *cobra.Command, _ []string) error { return a.pair(c.Context(), how) },
	}
	c.Flags().BoolVar(&how.readOnly, "read-only", false, "look on; no key but ctrl+b d does anything")
	c.Flags().BoolVar(&how.print, "print", false, "only print the command to join")
	return c
}

func (a *app) pair(ctx context.Context, how pairing) error {
	f, _, err := a.theOpen()
	if err != nil {
		if _, other := keeper.Find(a.flags.incident); journal.ValidID(a.flags.incident) && other == nil {
			return &state.Problem{Code: "needs-person", What: "another account keeps " + a.flags.incident, Why: "in its tmux, whatever you do would bear its name",
				Do: "mayday --incident " + a.flags.incident + " shows the same screen, and you are yourself there."}
		}
		return err
	}
	if !f.in.Open() {
		return usage{&state.Problem{What: f.id + " has ended", Do: "See it again: mayday replay --incident " + f.id}}
	}
	t, err := sharing(f)
	if err != nil {
		return err
	}
	p, err := t.look(ctx)
	switch {
	case err != nil:
		return err
	case how.readOnly && !p.runs():
		return &state.Problem{What: "nobody shares " + f.id + " yet", Do: "mayday pair begins; then look on."}
	case how.print || a.flags.json || !terminal(a.in) || !terminal(a.out):
		join := t.join(p.runs(), how.readOnly)
		return a.result(map[string]string{"incident": f.id, "join": join}, join)
	case os.Getenv("TMUX") != "":
		return usage{&state.Problem{What: "this is inside a tmux already", Why: "one tmux inside another takes each other's keys",
			Do: "Run it in a terminal outside. Here, mayday --incident " + f.id + " shows the same; mayday pair --print says what a colleague types."}}
	case p.dead:
		_ = a.bury(ctx, t, p) // said; now a new one
	}
	return a.attach(ctx, t, how.readOnly)
}

// attach shows the shared cockpit here until its person leaves it or it ends, and then
// says which: with the cockpit's own exit code where it did not end well.
func (a *app) attach(ctx context.Context, t shared, readOnly bool) error {
	args := append(a.cockpitArgs(), "--incident", t.id)
	c, err := t.client(ctx, readOnly, args)
	if err != nil {
		return err
	}
	c.Stdin, c.Stdout, c.Stderr = a.in, a.out, a.err
	failed := c.Run()
	if ctx.Err() != nil {
		return nil // the terminal went away, or somebody ended this process; the session goes on
	}
	p, err := t.look(ctx)
	switch {
	case err != nil:
		return err
	case p.dead:
		return a.bury(ctx, t, p)
	case p.runs():
		fmt.Fprintf(a.out, "%s is still shared. To join it: mayday pair, or %s\n", t.id, t.join(true, false))
	}
	if failed != nil {
		return &state.Problem{What: "tmux did not show the shared cockpit", Why: state.Clean(failed.Error()),
			Do: "Its own words are above. It takes tmux 3.2 or later; mayday --incident " + t.id + " shows the same without."}
	}
	return nil
}

// cockpitArgs are the flags that the shared cockpit gets too.
func (a *app) cockpitArgs() []string {
	out := []string{"--color", a.flags.color}
	if a.flags.bell {
		out = append(out, "--bell")
	}
	if a.flags.plain {
		out = append(out, "--plain")
	}
	if a.flags.as != "" {
		out = append(out, "--as", a.flags.as)
	}
	return out
}

// bury says what a cockpit that failed had to say, and takes its session away.
func (a *app) bury(ctx context.Context, t shared, p paired) error {
	said, err := t.run(ctx, "capture-pane", "-p")
	if err == nil {
		_, err = t.run(ctx, "kill-server")
	}
	said, _, _ = strings.Cut(said, "\nPane is dead") // tmux's own line
	fmt.Fprintf(a.err, "%s\nmayday: the shared cockpit of %s ended with %d; this was its screen. mayday opens the incident again.\n",
		strings.TrimSpace(state.CleanLines(said)), t.id, p.code)
	return errors.Join(err, exit{p.code})
}

// terminal reports whether a person sits at it.
func terminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

// tmuxTime bounds a question to tmux: it is a process of this host, and answers.
const tmuxTime = 5 * time.Second

// shared is the tmux server of one incident, which has one session with one window. Its
// socket lies beside the keeper's, and lets nobody in but the account.
type shared struct{ id, program, socket string }

// paired is what a shared cockpit is up to.
type paired struct {
	there, dead bool
	code        int // the exit code of a dead one
}

func (p paired) runs() bool { return p.there && !p.dead }

func sharing(f found) (shared, error) {
	program, err := exec.LookPath("tmux")
	if err != nil {
		return shared{}, &state.Problem{What: "tmux is not installed", Why: state.Clean(err.Error()),
			Do: "Install it; or run mayday --incident " + f.id + " in a second terminal: each cockpit shows the same."}
	}
	socket, err := keeper.Socket(f.folder)
	if err != nil {
		return shared{}, err
	}
	return shared{f.id, program, strings.TrimSuffix(socket, ".sock") + ".tmux"}, nil
}

// session names the session: a dot is tmux's.
func (t shared) session() string { return strings.ReplaceAll(t.id, ".", "_") }

// run asks the server.
func (t shared) run(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, tmuxTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, t.program, append([]string{"-S", t.socket}, args...)...).Output()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("tmux %s: %w", args[0], err)
	}
	return string(out), nil
}

// look asks how the shared cockpit is.
func (t shared) look(ctx context.Context) (paired, error) {
	out, err := t.run(ctx, "list-panes", "-a", "-F", "#{pane_dead} #{pane_dead_status}")
	var no *exec.ExitError
	if errors.As(err, &no) {
		return paired{}, nil // no server
	}
	if err != nil {
		return paired{}, err
	}
	dead, status, _ := strings.Cut(strings.TrimSpace(out), " ")
	p := paired{there: true, dead: dead == "1"}
	if p.code, err = strconv.Atoi(status); err != nil {
		p.code = exitFailed // by a signal, or alive
	}
	return p, nil
}

// client is the tmux that shows the shared cockpit, and begins it where there is none.
func (t shared) client(ctx context.Context, readOnly bool, cockpit []string) (*exec.Cmd, error) {
	mayday, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	// UTF-8 whatever the locale says, as mayday itself writes; the person's own
	// configuration may have the mouse on, and another prefix than the one we name.
	args := []string{"-u", "-S", t.socket, "-f", os.DevNull}
	if readOnly {
		args = append(args, "attach-session", "-r")
	} else {
		for _, setting := range t.settings() {
			args = append(append(args, setting...), ";")
		}
		args = append(args, "new-session", "-A", "-s", t.session(), "--", mayday)
		args = append(args, cockpit...)
	}
	c := exec.CommandContext(ctx, t.program, args...)
	c.Cancel = func() error { return c.Process.Signal(unix.SIGTERM) } // it puts the terminal right
	c.WaitDelay = tmuxTime
	return c, nil
}

// settings make the server what people expect of a shared cockpit. Nothing from outside
// stands in them: tmux runs what it finds in #(…).
func (t shared) settings() [][]string {
	return [][]string{
		{"set-option", "-s", "escape-time", "20"}, // ms; esc stops a rollback, and tmux's half a second is long
		{"set-option", "-g", "window-size", "latest"},
		{"set-option", "-g", "mouse", "off"},
		{"set-option", "-g", "status-interval", "2"}, // s; who came and went
		{"set-option", "-g", "status-style", "bg=default,fg=default,dim"},
		{"set-option", "-g", "status-left", " " + t.id + " · #{session_attached} at this screen"},
		{"set-option", "-g", "status-left-length", "100"},
		// tmux 3.3 now and then overlooks that its child has ended, until another one ends:
		// #(:) is one, at every interval.
		{"set-option", "-g", "status-right", "ctrl+b d leaves, q ends it for all #(:)"},
		{"set-option", "-g", "window-status-format", ""},
		{"set-option", "-g", "window-status-current-format", ""},
		// A cockpit that ends well takes the session with it. What another one said stays
		// for those who looked on: their mayday pair prints it.
		{"set-option", "-g", "remain-on-exit", "failed"},
		{"set-hook", "-g", "pane-died", "detach-client -s " + t.session()},
		// Without windows and panes there is nothing else to end or to get lost in.
		{"unbind-key", "-a", "-T", "prefix"},
		{"bind-key", "-T", "prefix", "d", "detach-client"},
		{"bind-key", "-T", "prefix", "C-b", "send-prefix"},
	}
}

// join is what a colleague types on this host: tmux itself where somebody shares, as it
// needs nothing else; else what begins it.
func (t shared) join(runs, readOnly bool) string {
	if runs {
		line := []string{"tmux", "-u", "-S", t.socket, "attach"}
		if readOnly {
			line = append(line, "-r")
		}
		return shell.Quote(line)
	}
	line := "mayday pair --incident " + t.id
	for _, name := range []string{"MAYDAY_RUNTIME_DIR", "MAYDAY_HOME"} {
		if v := os.Getenv(name); v != "" {
			line = name + "=" + shell.Quote([]string{v}) + " " + line
		}
	}
	return line
}
