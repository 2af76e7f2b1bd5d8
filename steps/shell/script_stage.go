package shell

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// How the effect on answers is observed, in real time.
const (
	answers = 50               // requests at a time
	follow  = 20 * time.Second // until all answers come from the version wanted
	between = 100 * time.Millisecond
)

// Stage implements steps.Strategy.
func (s *script) Stage(ctx context.Context, plan state.Plan, i int, fence steps.Fence, out io.Writer) (steps.Effect, error) {
	if i < 0 || i >= len(plan.Stages) {
		return steps.Effect{}, fmt.Errorf("plan %s has no stage %d", plan.ID, i)
	}
	if err := ctx.Err(); err != nil {
		return steps.Effect{}, fmt.Errorf("stage %q: %w", plan.Stages[i].Name, err)
	}
	c, err := s.resume(plan)
	if err != nil {
		return steps.Effect{}, err
	}
	p := c.rec.parts(plan.Version, plan.Environment)[i]
	if p.change == "" {
		return c.release(ctx, fence)
	}
	if _, err := c.ledger.claim(fence, plan.ID, plan.Environment); err != nil {
		return steps.Effect{}, err
	}
	if err := c.ledger.settle(ctx, out); err != nil {
		return steps.Effect{}, err
	}
	v := c.told().under(fence.Epoch)
	if p.batch > 0 {
		v = v.with("batch", fmt.Sprint(p.batch))
	}
	text, err := c.change(ctx, p, v, fence, out)
	if err != nil {
		return steps.Effect{}, err
	}
	for _, key := range p.looks {
		if err := c.look(ctx, key, v, fence, out); err != nil {
			return steps.Effect{}, err
		}
		text += ", " + key + " ok"
	}
	return c.effect(ctx, p, text)
}

// release closes the fence: whoever comes next may begin.
func (c *call) release(ctx context.Context, fence steps.Fence) (steps.Effect, error) {
	o, err := c.ledger.read()
	if err == nil {
		err = o.admit(fence, c.plan.Environment)
	}
	if err != nil {
		return steps.Effect{}, err
	}
	if o.fence != fenceText(fence) || o.closed {
		return steps.Effect{Text: "was free already"}, nil
	}
	err = c.around(func() error { return c.ledger.append(entry{Do: "close", Fence: fenceText(fence)}) })
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("release %s: %w", c.plan.Environment, ctx.Err())
	}
	return steps.Effect{Text: c.plan.Environment + " is free for the next rollout"}, err
}

// change runs the hook that changes something, unless it ended well already.
func (c *call) change(ctx context.Context, p part, v values, fence steps.Fence, out io.Writer) (string, error) {
	o, err := c.ledger.claim(fence, c.plan.ID, c.plan.Environment)
	if err != nil {
		return "", err
	}
	if o.done[p.did()] {
		fmt.Fprintf(out, "%s ended well already\n", p.did())
		return p.did() + " was done", nil
	}
	s, err := c.rec.Hooks[p.change].spec(v, c.now[p.change], c.o.Redact)
	if err != nil {
		return "", err
	}
	s.Output = out
	if !o.begun[c.plan.ID] {
		if err := c.ledger.append(entry{Do: "begun", Fence: fenceText(fence), Rollout: c.plan.ID}); err != nil {
			return "", err
		}
	}
	var res Result
	err = c.around(func() (err error) {
		done := entry{Do: "done", Fence: fenceText(fence), Rollout: c.plan.ID, Hook: p.did()}
		res, err = c.ledger.run(ctx, s, fence, &done, c.plan.Environment)
		return err
	})
	return fmt.Sprintf("%s done in %s", p.did(), res.Duration.Round(time.Millisecond)), err
}

// look runs a hook that looks at the new version. What it says against it counts
// against the version; that it could not look does not.
func (c *call) look(ctx context.Context, key string, v values, fence steps.Fence, out io.Writer) error {
	s, err := c.rec.Hooks[key].spec(v, c.now[key], c.o.Redact)
	if err != nil {
		return err
	}
	s.Output = out
	_, err = c.ledger.run(ctx, s, fence, nil, c.plan.Environment)
	if state.HasCode(err, "exit") && ctx.Err() == nil {
		return &state.Problem{Code: "unhealthy", What: c.plan.Version + " is not healthy: " + key + " says so", Why: state.AsProblem(err).What + ": " + state.AsProblem(err).Why,
			Do: "Look at its output; R takes the rollout back."}
	}
	return err
}

// effect tells what is seen of a stage; once all users should have the new version,
// it waits for that.
func (c *call) effect(ctx context.Context, p part, text string) (steps.Effect, error) {
	if p.weight == 0 || !p.serves {
		return steps.Effect{Text: text}, nil
	}
	give := time.Now().Add(follow)
	for {
		good, named, total, err := c.count(ctx, c.plan.Version)
		share := 100 * float64(good) / float64(max(total, 1))
		switch {
		case ctx.Err() != nil:
			return steps.Effect{}, fmt.Errorf("watch the answers: %w", ctx.Err())
		case total == 0 && err == nil:
			return steps.Effect{Text: text}, nil
		case err == nil && named == 0:
			return steps.Effect{Text: text + ", not observed: no answer names its version"}, nil
		case err == nil && (p.weight < 100 || math.Round(share) == 100):
			return steps.Effect{Text: fmt.Sprintf("%s, seen %.1f %%", text, share), Seen: share}, nil
		case time.Now().After(give):
			why := fmt.Sprintf("%s answers %.1f %% of the requests", c.plan.Version, share)
			if err != nil {
				why = state.Clean(err.Error())
			}
			return steps.Effect{}, &state.Problem{Code: "traffic", What: "the hooks are done, and not only " + c.plan.Version + " answers", Why: why,
				Do: "Look at the load balancer, then go on (g), or roll back."}
		}
		if err := pause(ctx); err != nil {
			return steps.Effect{}, err
		}
	}
}

// count looks at some answers; total is 0 where nobody is to be asked.
func (c *call) count(ctx context.Context, version string) (good, named, total int, err error) {
	if c.o.Traffic == nil || c.rec.URL == "" {
		return 0, 0, 0, nil
	}
	seen, err := c.o.Traffic.Versions(ctx, runbook.Environment{Name: c.plan.Environment, Production: c.plan.Production, URL: c.rec.URL}, answers)
	for v, n := range seen {
		total += n
		if v != "" {
			named += n
		}
	}
	return seen[version], named, total, err
}

func pause(ctx context.Context) error {
	t := time.NewTimer(between)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait: %w", ctx.Err())
	case <-t.C:
		return nil
	}
}
