package shell

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mayday/state"
	"mayday/state/runbook"
)

// hook is a command of the runbook as a plan remembers it: what was proven is what
// runs, whatever the runbook says meanwhile. Of its environment only the names are
// kept, because a journal is no place for what they may hold.
type hook struct {
	Key     string         `json:"key"` // its name in the runbook: "deploy"
	Run     []string       `json:"run"`
	Dir     string         `json:"dir"`
	Timeout state.Duration `json:"timeout"`
	Env     []string       `json:"env,omitempty"`
}

// hooks are those of one plan, by their keys.
type hooks map[string]hook

// remember makes hooks of commands. A secret in an argument is refused: it would
// have to be written into the journal to be run again.
func remember(commands map[string]*runbook.Command, redact *Redactor) (hooks, error) {
	out := hooks{}
	for key, c := range commands {
		for _, arg := range c.Run {
			if redact.Text(arg) != arg {
				return nil, &state.Problem{Code: "config", What: "an argument of " + key + " holds a secret", Why: redact.Text(Quote(c.Run)),
					Do: "Let the command read it from its environment: env in the runbook, or what mayday was started with."}
			}
		}
		out[key] = hook{Key: key, Run: c.Run, Dir: c.Dir, Timeout: c.Timeout, Env: sortedKeys(c.Env)}
	}
	return out, nil
}

// program looks whether there is something to run.
func (h hook) program() error {
	name := h.Run[0]
	if !strings.Contains(name, "/") {
		_, err := exec.LookPath(name)
		if err != nil {
			return notStarted(Spec{Args: h.Run, Dir: h.Dir}, exec.ErrNotFound)
		}
		return nil
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(h.Dir, name)
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		err = fs.ErrNotExist
	case info.IsDir() || unix.Access(name, unix.X_OK) != nil:
		err = fs.ErrPermission
	default:
		return nil
	}
	return notStarted(Spec{Args: h.Run, Dir: h.Dir}, err)
}

// Present looks whether a runbook's command could be started: its folder and its
// program are there, and the program is executable. A program whose name the incident
// fills in ("{version}") is not looked for.
func Present(c runbook.Command) error {
	if info, err := os.Stat(c.Dir); c.Dir != "" && (err != nil || !info.IsDir()) {
		return &state.Problem{What: "Cannot run " + Quote(c.Run), Why: "the folder " + c.Dir + " does not exist",
			Do: "Correct dir in the runbook, or make the folder.", Code: "no-directory"}
	}
	if len(c.Run) == 0 || strings.Contains(c.Run[0], "{") {
		return nil
	}
	return hook{Run: c.Run, Dir: c.Dir}.program()
}

// values are what hooks are told: in their environment, and in their arguments where
// the runbook names them.
type values []value

type value struct{ name, text string }

// told gives what every hook of a plan is told.
func told(version, previous, environment, incident string) values {
	return values{{"version", version}, {"previous_version", previous}, {"environment", environment}, {"incident", incident}}
}

func (v values) with(name, text string) values {
	return append(v[:len(v):len(v)], value{name, text})
}

func (v values) under(epoch int) values { return v.with("epoch", strconv.Itoa(epoch)) }

// variable is the environment's name for a value.
func (x value) variable() string {
	switch x.name {
	case "incident":
		return "INCIDENT_ID"
	case "epoch":
		return "MAYDAY_EPOCH"
	}
	return strings.ToUpper(x.name)
}

func (v values) environ() []string {
	var out []string
	for _, x := range v {
		out = append(out, x.variable()+"="+x.text)
	}
	return out
}

// replace fills the values in, argument by argument.
func (v values) replace(args ...string) []string {
	var pairs []string
	for _, x := range v {
		pairs = append(pairs, "{"+x.name+"}", x.text)
	}
	r := strings.NewReplacer(pairs...)
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = r.Replace(a)
	}
	return out
}

// shown is the hook as a person would type it. now is the runbook's command, nil
// where it is gone.
func (h hook) shown(v values, now *runbook.Command, redact *Redactor) string {
	var env []string
	for _, x := range v {
		env = append(env, x.variable()+"="+quote(x.text))
	}
	for _, name := range h.Env {
		text := "…"
		if now != nil && !secretName.MatchString(name) {
			text = quote(redact.Text(now.Env[name]))
		}
		env = append(env, name+"="+text)
	}
	return redact.Text("cd " + quote(h.Dir) + " && " + strings.Join(env, " ") + " " + Quote(v.replace(h.Run...)))
}

// spec is the hook ready to run.
func (h hook) spec(v values, now *runbook.Command, redact *Redactor) (Spec, error) {
	s := Spec{Args: v.replace(h.Run...), Dir: h.Dir, Env: v.environ(), Timeout: h.Timeout.D(), Redact: redact}
	for _, name := range h.Env {
		text, ok := "", false
		if now != nil {
			text, ok = now.Env[name]
		}
		if !ok {
			return s, &state.Problem{Code: "config", What: "cannot run " + redact.Text(Quote(s.Args)), Why: "the runbook has lost " + name + ", which its environment needs",
				Do: "Put it back into the runbook (env of " + h.Key + "), or run it by hand."}
		}
		s.Env = append(s.Env, name+"="+text)
	}
	return s, h.program()
}

// longestAnswer bounds what a hook may print that answers in a word.
const longestAnswer = 4096

// answer runs a hook that prints one word.
func (h hook) answer(ctx context.Context, v values, now *runbook.Command, redact *Redactor) (string, error) {
	s, err := h.spec(v, now, redact)
	if err != nil {
		return "", err
	}
	s.Keep = longestAnswer
	res, err := Run(ctx, s)
	if err != nil {
		return "", err
	}
	words := strings.Fields(string(res.Stdout))
	if len(words) != 1 || len(res.Stdout) >= longestAnswer || state.Clean(words[0]) != words[0] {
		return "", &state.Problem{Code: "answer", What: redact.Text(Quote(s.Args)) + " must print one word and nothing else",
			Why: fmt.Sprintf("it printed %q", redact.Text(state.Clean(string(res.Stdout[:min(len(res.Stdout), 200)])))), Do: "Let it print only the version, and what else it has to say to its error output."}
	}
	return words[0], nil
}
