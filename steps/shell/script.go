package shell

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// ScriptOptions is what the script strategy is wired with.
type ScriptOptions struct {
	Service      string // together with the environment it names the fence
	Environments map[string]runbook.Environment
	Fences       string        // folder of the fences, made when it is needed
	Traffic      steps.Traffic // optional: without it no answer is looked at
	Redact       *Redactor
}

// Script is the strategy of environments that a team deploys to by programs of its
// own: see runbook.Script for its hooks.
//
// There is no object that could carry the fence. It is a file under MAYDAY_HOME, see
// ledger: a hook does not begin under an older epoch or over another live incident,
// and a rollback ends the hook that runs, whichever process of this account started
// it, before its own begins. On another host, or under another account, mayday does
// not see that; hooks find MAYDAY_EPOCH and INCIDENT_ID in their environment, to
// refuse an older epoch where they act. A process that leaves the hook's group and
// closes its files goes on unseen.
//
// A hook that ended well is not run again for the same rollout and epoch; one that
// was interrupted is. Looks (validate, monitor) that exit with anything but 0 blame
// the new version: production is then rolled back.
func Script(o ScriptOptions) steps.Strategy {
	return &script{o: o, around: func(do func() error) error { return do() }}
}

type script struct {
	o ScriptOptions
	// around goes around every write. Tests let writes fail here.
	around func(do func() error) error
}

// Name implements steps.Strategy.
func (*script) Name() string { return "script" }

// scriptRecord is the plan's snapshot.
type scriptRecord struct {
	Incident  string `json:"incident"`
	Mark      string `json:"mark,omitempty"` // as fences have it
	URL       string `json:"url,omitempty"`
	Hooks     hooks  `json:"hooks"`
	Redeploys bool   `json:"redeploys,omitempty"`
	Batches   int    `json:"batches,omitempty"`
}

// owner is who the fences of the plan name.
func (r scriptRecord) owner() string {
	if r.Mark == "" {
		return r.Incident
	}
	return r.Mark
}

// part is a stage: one hook that changes something and those that look at it. The
// last one has no hook and sets the environment free.
type part struct {
	name   string
	change string
	looks  []string
	batch  int
	weight int
	serves bool // users may see the new version after it: a gate stands behind it
}

// parts are the stages of a rollout.
func (r scriptRecord) parts(version, environment string) []part {
	switched := r.Hooks.have("switch")
	all := 100
	if r.Batches > 0 {
		all = 100 / (r.Batches + 1)
	}
	first := part{name: "deploy " + version, change: "deploy", looks: r.Hooks.those("validate"), serves: !switched}
	out := []part{first}
	if switched {
		out = append(out, part{name: "switch to " + version, change: "switch", serves: true})
	}
	last := &out[len(out)-1]
	last.looks, last.weight = append(last.looks, r.Hooks.those("monitor")...), all
	for i := 1; i <= r.Batches; i++ {
		out = append(out, part{name: fmt.Sprintf("next batch, %d of %d", i, r.Batches), change: "next_batch", looks: r.Hooks.those("monitor"),
			batch: i, weight: 100 * (i + 1) / (r.Batches + 1), serves: true})
	}
	return append(out, part{name: environment + " released", weight: 100})
}

func (h hooks) have(key string) bool { _, ok := h[key]; return ok }

// those gives the keys that there is a hook for.
func (h hooks) those(keys ...string) []string {
	var out []string
	for _, k := range keys {
		if h.have(k) {
			out = append(out, k)
		}
	}
	return out
}

// did is what the ledger calls a change that was made.
func (p part) did() string {
	if p.batch > 0 {
		return fmt.Sprintf("%s %d", p.change, p.batch)
	}
	return p.change
}

// call is one call of the strategy: the plan, what it remembers, what the runbook
// says now.
type call struct {
	*script
	plan   state.Plan
	rec    scriptRecord
	ledger ledger
	now    map[string]*runbook.Command
}

func (s *script) resume(plan state.Plan) (*call, error) {
	c := &call{script: s, plan: plan}
	if err := json.Unmarshal(plan.Snapshot, &c.rec); err != nil || !c.rec.Hooks.have("rollback") {
		return nil, &state.Problem{What: "the plan " + plan.ID + " has no usable snapshot", Code: "snapshot",
			Why: "it was written by another mayday or is damaged", Do: "Plan the rollout again; to go back run the team's rollback script."}
	}
	if s.o.Fences == "" {
		return nil, &state.Problem{Code: "no-home", What: "there is no place for the environment's fence", Do: "Set MAYDAY_HOME to a folder of your own."}
	}
	if e := s.o.Environments[plan.Environment].Script; e != nil {
		c.now = e.Hooks()
	}
	c.ledger = s.ledger(plan.Environment)
	return c, nil
}

func (s *script) ledger(environment string) ledger {
	name := s.o.Service + "/" + environment
	sum := sha256.Sum256([]byte(name)) // names that differ only in what a file name cannot hold
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, name)
	return ledger{filepath.Join(s.o.Fences, safe[:min(len(safe), 60)]+"-"+hex.EncodeToString(sum[:3])+".jsonl")}
}

// told is what forward hooks are told, back what the rollback is: where it is deploy
// itself, the version before is what it deploys.
func (c *call) told() values {
	return told(c.plan.Version, c.plan.Target, c.plan.Environment, c.rec.Incident)
}

func (c *call) back() values {
	if c.rec.Redeploys {
		return told(c.plan.Target, c.plan.Version, c.plan.Environment, c.rec.Incident)
	}
	return c.told()
}

// Plan implements steps.Strategy.
func (s *script) Plan(ctx context.Context, order steps.Order) (state.Plan, error) {
	env := order.Environment
	sc := env.Script
	if sc == nil {
		return state.Plan{}, &state.Problem{What: "environment " + env.Name + " has no script strategy", Code: "config",
			Do: "Set script: with deploy and rollback in mayday.yaml."}
	}
	if err := ctx.Err(); err != nil {
		return state.Plan{}, fmt.Errorf("plan by scripts: %w", err)
	}
	remembered, err := remember(sc.Hooks(), s.o.Redact)
	if err != nil {
		return state.Plan{}, err
	}
	plan := state.Plan{ID: order.ID, Environment: env.Name, Production: env.Production, Strategy: s.Name(), Version: order.Version,
		Target: order.Previous, Subject: "scripts in " + sc.Deploy.Dir}
	rec := scriptRecord{Incident: order.Incident, Mark: order.Mark, URL: env.URL, Hooks: remembered, Redeploys: sc.Redeploys, Batches: sc.Batches}
	if rec.Hooks.have("version") {
		plan.Target, err = rec.Hooks["version"].answer(ctx, told(order.Version, order.Previous, env.Name, order.Incident), sc.Version, s.o.Redact)
		if err != nil {
			return state.Plan{}, fmt.Errorf("ask for the version that is live: %w", err)
		}
	}
	switch plan.Target {
	case "":
		return state.Plan{}, &state.Problem{What: "the version in " + env.Name + " has no name", Code: "no-target",
			Why: "there is no version hook, and git knows no version of production", Do: "Tag what runs there or add script.version, then plan again."}
	case order.Version:
		return state.Plan{}, &state.Problem{What: env.Name + " already runs " + order.Version, Code: "already-running", Do: "There is nothing to roll out; validate it instead."}
	}
	if plan.Snapshot, err = json.Marshal(rec); err != nil {
		return state.Plan{}, fmt.Errorf("encode snapshot: %w", err)
	}
	c, err := s.resume(plan)
	if err != nil {
		return state.Plan{}, err
	}
	c.describe(&plan, sc.Hold)
	return plan, nil
}

// describe lays the stages and the inverse down.
func (c *call) describe(plan *state.Plan, hold state.Duration) {
	object := "environment " + plan.Environment
	command := func(key string, v values) string { return c.rec.Hooks[key].shown(v, c.now[key], c.o.Redact) }
	for i, p := range c.rec.parts(plan.Version, plan.Environment) {
		stage := state.Stage{Name: p.name, Weight: p.weight}
		if p.serves {
			stage.Hold = hold
		}
		for _, key := range append([]string{p.change}, p.looks...) {
			if key == "" {
				stage.Ops = append(stage.Ops, state.Op{ID: fmt.Sprintf("%d.close", i), Title: "fence of " + plan.Environment + " closed", Object: object,
					Command: "# a line in " + c.ledger.path})
				continue
			}
			v := c.told()
			if p.batch > 0 {
				v = v.with("batch", fmt.Sprint(p.batch))
			}
			op := state.Op{ID: fmt.Sprintf("%d.%s", i, key), Title: key + ": " + c.o.Redact.Text(Quote(v.replace(c.rec.Hooks[key].Run...))), Object: object, Command: command(key, v)}
			op.Diff = "+ " + op.Command + "\n"
			stage.Ops = append(stage.Ops, op)
		}
		plan.Stages = append(plan.Stages, stage)
	}
	plan.Warnings = append(plan.Warnings, "scripts are fenced on this host and for this account only ("+c.ledger.path+"): agree with whoever deploys from elsewhere")
	plan.Inverse = append(plan.Inverse, state.Op{ID: opScript, Title: "back to " + plan.Target + ": " + c.o.Redact.Text(Quote(c.back().replace(c.rec.Hooks["rollback"].Run...))),
		Object: object, Command: command("rollback", c.back())})
	if c.rec.Hooks.have("validate_rollback") {
		plan.Inverse = append(plan.Inverse, state.Op{ID: opValidate, Title: "validate " + plan.Target, Object: object, Command: command("validate_rollback", c.told())})
	}
	plan.Inverse = append(plan.Inverse, state.Op{ID: opVerify, Title: plan.Target + " live and answering"})
}

// Look implements steps.Strategy.
func (s *script) Look(ctx context.Context, plan state.Plan) ([]string, error) {
	c, err := s.resume(plan)
	if err != nil {
		return nil, err
	}
	o, err := c.ledger.read()
	if err != nil {
		return nil, err
	}
	line := "environment " + plan.Environment + ": no hook of this rollout has ended"
	if len(o.done) > 0 && o.rollout == plan.ID {
		line = "environment " + plan.Environment + ": " + strings.Join(sortedKeys(o.done), ", ") + " ended well"
	}
	switch {
	case o.fence == "":
		line += " (no fence)"
	case o.closed:
		line += " (fence " + o.fence + ", closed)"
	default:
		line += " (fence " + o.fence + ")"
	}
	lines := []string{line}
	list, err := c.ledger.running()
	for _, r := range list {
		if r.pid > 1 {
			lines = append(lines, fmt.Sprintf("a hook runs, process group %d", r.pid))
		}
		err = errors.Join(err, r.file.Close())
	}
	if c.rec.Hooks.have("version") {
		text, verr := c.live(ctx, c.told())
		if verr != nil {
			text = "not known: " + state.Clean(verr.Error())
		}
		lines = append(lines, "live: "+text)
	}
	return lines, err
}

// live asks which version is live.
func (c *call) live(ctx context.Context, v values) (string, error) {
	return c.rec.Hooks["version"].answer(ctx, v, c.now["version"], c.o.Redact)
}
