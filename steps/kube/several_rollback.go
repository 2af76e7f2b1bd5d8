package kube

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"mayday/state"
	"mayday/steps"
)

// Rollback implements steps.Strategy. The workloads are taken back from the last to the
// first, each as soon as what is written for the one before it is written, or did not
// get written for a while; pods are waited for at the same time.
func (v several) Rollback(ctx context.Context, plan state.Plan, fence steps.Fence, report func(state.RollbackOp)) (steps.Verification, error) {
	list, err := parts(plan)
	if err != nil {
		return steps.Verification{}, err
	}
	if len(list) == 0 {
		return v.strategy.Rollback(ctx, plan, fence, report)
	}
	var told sync.Mutex
	seen, errs := make([]steps.Verification, len(list)), make([]error, len(list))
	var wg sync.WaitGroup
	for i := len(list) - 1; i >= 0; i-- {
		p, written := list[i], make(chan struct{})
		say := sync.OnceFunc(func() { close(written) })
		wg.Go(func() {
			defer say()
			seen[i], errs[i] = v.takeBack(ctx, p.Plan, fence, func(op state.RollbackOp) {
				told.Lock()
				defer told.Unlock()
				op.Op, op.Title = p.id(op.Op), p.of(op.Title)
				report(op)
			}, say)
		})
		hung := time.NewTimer(v.patience.next)
		select {
		case <-written:
		case <-hung.C:
		}
		hung.Stop()
	}
	wg.Wait()
	return summed(ctx, list, seen, errs)
}

// summed is the verification of all and what failed, each with its workload's name.
func summed(ctx context.Context, list []part, seen []steps.Verification, errs []error) (steps.Verification, error) {
	var out steps.Verification
	var texts []string
	var failed []error
	for i, p := range list {
		if seen[i].Text != "" {
			texts = append(texts, p.of(seen[i].Text))
		}
		out.Manual = append(out.Manual, seen[i].Manual...)
		if errs[i] != nil {
			failed = append(failed, p.failed(errs[i]))
		}
	}
	out.Text = strings.Join(texts, "; ")
	switch {
	case len(failed) == 0 || ctx.Err() != nil && len(failed) > 0:
		return out, errors.Join(failed...)
	case len(failed) == 1:
		return out, failed[0]
	}
	all := *state.AsProblem(failed[0])
	var whats []string
	for _, err := range failed {
		whats = append(whats, state.AsProblem(err).What)
	}
	all.What = strings.Join(whats, "; ")
	return out, &explained{&all, errors.Join(failed...)}
}
