package shell

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mayday/state"
	"mayday/steps"
)

// Operations of a rollback, as named in a plan's inverse.
const (
	opScript   = "script"
	opValidate = "validate"
	opVerify   = "verify"
)

const (
	// fencePatience is how long a rollback waits for the disk to take its fence.
	fencePatience = 500 * time.Millisecond
	// livePatience is how long the target may take to be what the version hook prints.
	livePatience = 30 * time.Second
)

// Rollback implements steps.Strategy. A failed operation does not keep the next ones
// from being tried. Where the fence's disk does not answer, it goes on without.
func (s *script) Rollback(ctx context.Context, plan state.Plan, fence steps.Fence, report func(state.RollbackOp)) (steps.Verification, error) {
	c, err := s.resume(plan)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return steps.Verification{Manual: manual(plan, c)}, err
	}
	out := steps.Output(ctx)
	before, _ := c.ledger.read() // what it cannot say is taken as said
	own, err := c.seize(fence)
	if errors.Is(err, steps.ErrFenced) {
		return steps.Verification{Manual: manual(plan, c)}, err
	}
	if own.unfenced = err != nil; own.unfenced {
		fmt.Fprintf(out, "going on without a fence: %s\n", state.Clean(err.Error()))
	}
	own.never = ours(before, fence) && !before.begun[plan.ID]
	if _, err := c.ledger.stop(out); err != nil {
		fmt.Fprintf(out, "what else runs is not known: %s\n", state.Clean(err.Error()))
	}
	var failed []error
	step := func(id, title string, do func() (string, error)) string {
		text, err := reported(report, id, title, do)
		if err != nil {
			failed = append(failed, err)
		}
		return text
	}
	step(opScript, "back to "+plan.Target, func() (string, error) { return c.takeBack(ctx, own, fence) })
	if len(failed) > 0 && (ctx.Err() != nil || c.overtaken(fence)) {
		return steps.Verification{Manual: manual(plan, c)}, c.why(failed[0], fence)
	}
	if c.rec.Hooks.have("validate_rollback") {
		step(opValidate, "validate "+plan.Target, func() (string, error) { return c.validateBack(ctx, own, fence) })
	}
	text := step(opVerify, plan.Target+" live and answering", func() (string, error) { return c.verify(ctx, fence, len(failed) == 0) })
	if len(failed) > 0 {
		return steps.Verification{Text: text, Manual: manual(plan, c)}, c.why(failed[0], fence)
	}
	if !own.unfenced {
		_ = c.ledger.append(entry{Do: "close", Fence: fenceText(fence)}) // a courtesy to the next incident
	}
	return steps.Verification{Text: text}, nil
}

// seized is what a rollback knows of the environment it works on.
type seized struct {
	owner
	unfenced bool // the disk did not take the fence
	never    bool // no hook of this rollout was ever begun here
}

// ours reports whether nobody else owned the environment before the rollback.
func ours(o owner, f steps.Fence) bool {
	have, ok := parseFence(o.fence)
	return !ok || have.Incident == f.Incident
}

// seize takes the environment without waiting for a disk that hangs.
func (c *call) seize(fence steps.Fence) (seized, error) {
	type answer struct {
		o   owner
		err error
	}
	got := make(chan answer, 1)
	go func() {
		o, err := c.ledger.seize(fence, c.plan.ID, c.plan.Environment)
		got <- answer{o, err}
	}()
	select {
	case a := <-got:
		return seized{owner: a.o}, a.err
	case <-time.After(fencePatience):
		return seized{}, errors.New("the disk hangs")
	}
}

// overtaken reports whether a newer epoch took over.
func (c *call) overtaken(fence steps.Fence) bool {
	o, err := c.ledger.read()
	return err == nil && o.admit(fence, c.plan.Environment) != nil
}

// why is the error, or that a newer epoch ended what failed.
func (c *call) why(err error, fence steps.Fence) error {
	if o, rerr := c.ledger.read(); rerr == nil {
		if over := o.admit(fence, c.plan.Environment); over != nil {
			return over
		}
	}
	return err
}

// reported carries one operation out and reports it before and after.
func reported(report func(state.RollbackOp), id, title string, do func() (string, error)) (string, error) {
	report(state.RollbackOp{Op: id, Title: title, Status: state.ItemRunning})
	text, err := do()
	done := state.RollbackOp{Op: id, Title: title, Status: state.ItemDone, Text: text}
	if err != nil {
		done.Status, done.Text = state.ItemFailed, state.Clean(err.Error())
	}
	report(done)
	return text, err
}

// takeBack runs the rollback hook, unless it ended well already or the version hook
// says that nothing has to be taken back.
func (c *call) takeBack(ctx context.Context, own seized, fence steps.Fence) (string, error) {
	if own.done["rollback"] {
		return "was so already", nil
	}
	v := c.back().under(fence.Epoch)
	if own.never && c.rec.Hooks.have("version") {
		if live, err := c.live(ctx, v); err == nil && live == c.plan.Target {
			return "nothing was begun: " + live + " is live", nil
		}
	}
	res, err := c.hook(ctx, "rollback", v, own, fence, &entry{Do: "done", Fence: fenceText(fence), Rollout: c.plan.ID, Hook: "rollback"})
	return "ended well in " + res.Duration.Round(time.Millisecond).String(), err
}

func (c *call) validateBack(ctx context.Context, own seized, fence steps.Fence) (string, error) {
	res, err := c.hook(ctx, "validate_rollback", c.told().under(fence.Epoch), own, fence, nil)
	return "ok in " + res.Duration.Round(time.Millisecond).String(), err
}

// hook runs one of the rollback's hooks; done marks one that changes something.
func (c *call) hook(ctx context.Context, key string, v values, own seized, fence steps.Fence, done *entry) (res Result, err error) {
	s, err := c.rec.Hooks[key].spec(v, c.now[key], c.o.Redact)
	if err != nil {
		return res, err
	}
	s.Output = steps.Output(ctx)
	run := func() (err error) {
		if own.unfenced {
			res, err = Run(ctx, s)
		} else {
			res, err = c.ledger.run(ctx, s, fence, done, c.plan.Environment)
		}
		return err
	}
	if done == nil {
		return res, run()
	}
	return res, c.around(run)
}

// verify looks whether the target is live, by its name and by its answers; once only
// where there is nothing to wait for.
func (c *call) verify(ctx context.Context, fence steps.Fence, wait bool) (string, error) {
	var seen []string
	give := time.Now()
	if wait {
		give = give.Add(livePatience)
	}
	for c.rec.Hooks.have("version") {
		live, err := c.live(ctx, c.back().under(fence.Epoch))
		if err == nil && live == c.plan.Target {
			seen = append(seen, "version says "+live)
			break
		}
		if err == nil {
			err = &state.Problem{Code: "workload", What: "the version hook says " + live + ", not " + c.plan.Target, Do: "Run the commands by hand, then look again."}
		}
		if time.Now().After(give) {
			return "", err
		}
		if err := pause(ctx); err != nil {
			return "", err
		}
	}
	for {
		good, named, total, err := c.count(ctx, c.plan.Target)
		switch {
		case ctx.Err() != nil:
			return "", fmt.Errorf("watch the answers: %w", ctx.Err())
		case err == nil && total > 0 && good == total:
			return strings.Join(append(seen, fmt.Sprintf("%s answered %d of %d requests", c.plan.Target, good, total)), ", "), nil
		case err == nil && named == 0:
			return c.unanswered(seen, total), nil
		case time.Now().After(give):
			if err == nil {
				err = &state.Problem{Code: "traffic", What: "not only " + c.plan.Target + " answers after the rollback",
					Why: fmt.Sprintf("%d of %d requests", good, total), Do: "Move the traffic by hand, then check: curl -sI " + c.rec.URL}
			}
			return strings.Join(seen, ", "), err
		}
		if err := pause(ctx); err != nil {
			return "", err
		}
	}
}

// unanswered says what a rollback goes by where no answer names its version.
func (c *call) unanswered(seen []string, total int) string {
	if c.rec.Hooks.have("validate_rollback") {
		seen = append(seen, "validated by its hook")
	}
	if total > 0 {
		seen = append(seen, "answers, which name no version")
	}
	if len(seen) == 0 {
		return "by the word of the rollback hook alone"
	}
	return strings.Join(seen, ", ")
}

// manual are the commands that do what the rollback could not, and how to check.
func manual(plan state.Plan, c *call) []string {
	var out []string
	for _, op := range plan.Inverse {
		if op.Command != "" {
			out = append(out, op.Command)
		}
	}
	if c != nil && c.rec.URL != "" {
		out = append(out, "curl -sI "+quote(c.rec.URL))
	}
	return out
}
