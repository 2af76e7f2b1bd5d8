package shell

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mayday/state"
	"mayday/steps"
)

// ledger is the fence of one environment that scripts change: an append-only file
// under MAYDAY_HOME, one claim a line, because there is no object in a cluster that
// could carry an annotation. Who owns the environment follows from the lines in their
// order, so nobody waits for anybody: a claim that lost is a line that counts for
// nothing, also when its writer was stopped between looking and writing.
//
//	{"do":"claim","fence":"INC-20261122-01/0","rollout":"r1"}
//	{"do":"begun","fence":"INC-20261122-01/0","rollout":"r1"}
//	{"do":"done","fence":"INC-20261122-01/0","rollout":"r1","hook":"deploy"}
//	{"do":"seize","fence":"INC-20261122-01/1","rollout":"r1"}
//	{"do":"close","fence":"INC-20261122-01/1"}
//
// It fences within one account of one host; a mayday elsewhere does not see it.
type ledger struct{ path string }

// entry is one line.
type entry struct {
	Do      string `json:"do"`
	Fence   string `json:"fence"`
	From    string `json:"from,omitempty"` // claim: whose finished fence it takes over
	Rollout string `json:"rollout,omitempty"`
	Hook    string `json:"hook,omitempty"`
}

// owner is who owns the environment, as the lines say.
type owner struct {
	fence   string // "" nobody
	closed  bool   // finished with
	rollout string
	begun   map[string]bool // rollouts of this incident that ran a hook
	done    map[string]bool // hooks of this rollout and epoch that ended well
	size    int64           // of the file that says so
}

func fenceText(f steps.Fence) string { return f.Incident + "/" + strconv.Itoa(f.Epoch) }

func parseFence(s string) (steps.Fence, bool) {
	i := strings.LastIndexByte(s, '/')
	if i <= 0 {
		return steps.Fence{}, false
	}
	n, err := strconv.Atoi(s[i+1:])
	return steps.Fence{Incident: s[:i], Epoch: n}, err == nil
}

// read folds the file. None yet: nobody owns the environment.
func (l ledger) read() (owner, error) {
	b, err := os.ReadFile(l.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return owner{}, l.problem(err)
	}
	o := owner{begun: map[string]bool{}, done: map[string]bool{}, size: int64(len(b))}
	for line := range bytes.Lines(b) {
		var e entry
		if json.Unmarshal(line, &e) == nil { // torn, or another mayday's word: it claims nothing
			o.fold(e)
		}
	}
	return o, nil
}

func (o *owner) fold(e entry) {
	f, ok := parseFence(e.Fence)
	if !ok {
		return
	}
	have, _ := parseFence(o.fence)
	same := have.Incident == f.Incident
	switch e.Do {
	case "claim":
		if o.fence == "" || same && f.Epoch >= have.Epoch || !same && o.closed && e.From == o.fence {
			o.take(e, same)
		}
	case "seize":
		if !same || f.Epoch >= have.Epoch {
			o.take(e, same)
		}
	case "begun":
		if o.fence == e.Fence {
			o.begun[e.Rollout] = true
		}
	case "done":
		if o.fence == e.Fence && o.rollout == e.Rollout {
			o.done[e.Hook] = true
		}
	case "close":
		o.closed = o.closed || o.fence == e.Fence
	}
}

func (o *owner) take(e entry, same bool) {
	if o.fence != e.Fence || o.rollout != e.Rollout {
		o.done = map[string]bool{}
	}
	if !same {
		o.begun = map[string]bool{}
	}
	o.fence, o.rollout, o.closed = e.Fence, e.Rollout, false
}

// admit says whether forward work under f may go on. The error is steps.ErrFenced.
func (o owner) admit(f steps.Fence, environment string) error {
	have, ok := parseFence(o.fence)
	switch {
	case !ok || have.Incident == f.Incident && have.Epoch <= f.Epoch:
		return nil
	case have.Incident == f.Incident:
		return fenced(&state.Problem{What: environment + " belongs to a newer epoch of this incident", Code: "fenced",
			Why: fmt.Sprintf("its fence is %s, this work is %s: a rollback or a newer attempt took over", o.fence, fenceText(f)),
			Do:  "Look at the incident's timeline; this must not be repeated."})
	case o.closed:
		return nil
	}
	return fenced(&state.Problem{What: environment + " belongs to incident " + state.Clean(have.Incident), Code: "fenced",
		Why: "another rollout or its rollback is under way there (fence " + state.Clean(o.fence) + ")",
		Do:  "Talk to its commander; its end or its rollback sets the environment free."})
}

// claim makes f the fence for forward work on a rollout.
func (l ledger) claim(f steps.Fence, rollout, environment string) (owner, error) {
	want := fenceText(f)
	for {
		o, err := l.read()
		if err == nil {
			err = o.admit(f, environment)
		}
		if err != nil || o.fence == want && o.rollout == rollout && !o.closed {
			return o, err
		}
		if err := l.append(entry{Do: "claim", Fence: want, From: o.fence, Rollout: rollout}); err != nil {
			return o, err
		}
	}
}

// seize makes f the fence for a rollback, whoever has it; only a newer epoch of the
// same incident keeps it.
func (l ledger) seize(f steps.Fence, rollout, environment string) (owner, error) {
	o, err := l.read()
	if err != nil {
		return o, err
	}
	if have, _ := parseFence(o.fence); have.Incident == f.Incident && have.Epoch > f.Epoch {
		return o, o.admit(f, environment)
	}
	if err := l.append(entry{Do: "seize", Fence: fenceText(f), Rollout: rollout}); err != nil {
		return o, err
	}
	if o, err = l.read(); err == nil && o.fence != fenceText(f) {
		err = o.admit(f, environment) // somebody seized it behind us
	}
	return o, err
}

// append writes one line whole and syncs it. Lines begin with the end of one that a
// crash may have torn.
func (l ledger) append(e entry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
		return l.problem(err)
	}
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return l.problem(err)
	}
	_, err = file.Write(append(append([]byte{'\n'}, b...), '\n'))
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return l.problem(err)
	}
	return nil
}

func (l ledger) problem(err error) error {
	return &state.Problem{Code: "fence", What: "the fence of the environment cannot be written or read", Why: state.Clean(err.Error()),
		Do: "Make " + filepath.Dir(l.path) + " writable, or set MAYDAY_HOME to a folder that is."}
}

// fenced is a Problem that is steps.ErrFenced.
func fenced(p *state.Problem) error { return fencedProblem{p} }

type fencedProblem struct{ *state.Problem }

func (f fencedProblem) Unwrap() []error { return []error{f.Problem, steps.ErrFenced} }
