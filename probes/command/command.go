// Package command asks a command of the team's own: by its exit code and by the
// number it prints. How a command is run (its process group, its end, what is
// redacted) is the business of whoever makes the Asker.
package command

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"mayday/probes"
	"mayday/state"
)

// Kind is the kind of the probes this package asks.
const Kind = "command"

const patience = 10 * time.Second // where the caller's context has no time-out

// Result is how a command ended by itself.
type Result struct {
	Exit   int
	Stdout string // its beginning, without secrets
	Said   string // the last words of its other output, without secrets
}

// Run runs p.Args, with p.Env besides what else its environment holds, until it ends
// or ctx does. It returns soon after, with all that the command started gone, and
// where ctx ended with an error that is ctx's. A command that could not be started is an error;
// one that failed is not.
type Run func(ctx context.Context, p state.Probe) (Result, error)

// Asker asks commands. Safe for concurrent use where its Run is.
type Asker struct{ Run Run }

var _ probes.Asker = Asker{}

// Ask runs the command. An exit code that is not 0 is crit: the value is the code,
// the text what the command said. Otherwise the value is the number that the last
// line of its standard output holds; without one it is 0 where nothing is measured
// against limits, and else no data.
func (a Asker) Ask(ctx context.Context, p state.Probe, _ time.Time) (probes.Reading, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	r, err := a.Run(ctx, p)
	if ctx.Err() != nil && (err == nil || !errors.Is(err, ctx.Err())) {
		err = fmt.Errorf("%s: %w", p.Query, ctx.Err())
	}
	if err != nil {
		return probes.Reading{}, err
	}
	last := lastLine(r.Stdout)
	if r.Exit != 0 {
		text := fmt.Sprintf("exit code %d", r.Exit)
		if said := firstOf(lastLine(r.Said), last); said != "" {
			text += ": " + said
		}
		return probes.Reading{Value: float64(r.Exit), Text: text, Verdict: state.Crit}, nil
	}
	v, err := strconv.ParseFloat(last, 64)
	switch {
	case err == nil && math.IsNaN(v):
		return probes.Reading{NoData: true, Text: "printed NaN"}, nil
	case err == nil:
		return probes.Reading{Value: v}, nil
	case p.Warn == nil && p.Crit == nil:
		return probes.Reading{Text: firstOf(last, "exit code 0")}, nil
	case last == "":
		return probes.Reading{NoData: true, Text: "printed nothing"}, nil
	}
	return probes.Reading{NoData: true, Text: fmt.Sprintf("printed %q, which is not a number", last)}, nil
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
