package shell

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"mayday/state"
	"mayday/steps"
)

// proof collects what a proof looked at.
type proof struct{ state.Proof }

func (p *proof) yes(name, text string) {
	p.Checks = append(p.Checks, state.Finding{Name: name, OK: true, Text: text})
}

// no counts a failure, which makes the whole Doubtful or NotReady.
func (p *proof) no(name string, level state.Readiness, err error) {
	text := strings.TrimSpace(state.Clean(err.Error()))
	p.Checks = append(p.Checks, state.Finding{Name: name, Text: text})
	if p.Why != "" {
		p.Why += "; "
	}
	p.Why += name + ": " + text
	if p.Ready == state.Ready || level == state.NotReady {
		p.Ready = level
	}
}

// Prove implements steps.Strategy. Nothing can dry-run a script but the team's own
// prove hook: without it the plan is never more than DOUBTFUL.
func (s *script) Prove(ctx context.Context, plan state.Plan, started bool) (state.Proof, error) {
	p := &proof{state.Proof{Ready: state.Ready, Target: plan.Target}}
	c, err := s.resume(plan)
	if state.HasCode(err, "snapshot") {
		p.no("plan", state.NotReady, err)
		return p.Proof, nil
	}
	if err != nil {
		return state.Proof{}, err
	}
	c.programs(p, started)
	c.fence(p, started)
	if c.rec.Hooks.have("version") {
		c.version(ctx, p, started)
	}
	switch h, ok := c.rec.Hooks["prove"]; {
	case !ok:
		p.no("dry run", state.Doubtful, errors.New("a script cannot be dry-run; a prove hook of the team's own could"))
	default:
		spec, err := h.spec(c.back(), c.now["prove"], c.o.Redact)
		if err == nil {
			_, err = Run(ctx, spec)
		}
		if err != nil && ctx.Err() == nil {
			p.no("dry run", state.NotReady, err)
		} else {
			p.yes("dry run", Quote(spec.Args)+" ended well")
		}
	}
	if !c.rec.Hooks.have("version") && !c.rec.Hooks.have("validate_rollback") && (c.rec.URL == "" || c.o.Traffic == nil) {
		p.no("verification", state.Doubtful, errors.New("nothing would show that the rollback worked: give version, validate_rollback, or the environment's url"))
	}
	return p.Proof, ctx.Err()
}

// programs looks whether what would run is there. Once the rollout runs, what takes
// it back is what counts.
func (c *call) programs(p *proof, started bool) {
	for _, key := range sortedKeys(c.rec.Hooks) {
		back := key == "rollback" || key == "validate_rollback" || key == "version"
		if started && !back {
			continue
		}
		if _, err := c.rec.Hooks[key].spec(c.told(), c.now[key], c.o.Redact); err != nil {
			p.no(key, state.NotReady, err)
			continue
		}
		p.yes(key, c.rec.Hooks[key].Run[0]+" is there and executable")
	}
}

func (c *call) fence(p *proof, started bool) {
	o, err := c.ledger.read()
	if err == nil && !started {
		f := steps.Fence{Incident: c.rec.owner()}
		if have, ok := parseFence(o.fence); ok && have.Incident == f.Incident {
			f = have // the epoch that this incident has here; the Engine says which one holds
		}
		err = o.admit(f, c.plan.Environment)
	}
	if err != nil {
		p.no("fence", state.NotReady, err)
		return
	}
	p.Checks = append(p.Checks, state.Finding{Name: "fence", OK: true, Warn: true, Text: "holds on this host and for this account only: " + c.ledger.path})
}

// version asks what is live: it must still be what the plan was made for.
func (c *call) version(ctx context.Context, p *proof, started bool) {
	live, err := c.live(ctx, c.told())
	switch {
	case err != nil:
		p.no("version", state.Doubtful, err)
	case live == c.plan.Target, started && live == c.plan.Version:
		p.yes("version", live+" is live")
	case started:
		p.no("version", state.Doubtful, fmt.Errorf("%s is live, neither %s nor %s", live, c.plan.Target, c.plan.Version))
	default:
		p.no("version", state.NotReady, fmt.Errorf("%s is live, the plan goes back to %s: make it again", live, c.plan.Target))
	}
}
