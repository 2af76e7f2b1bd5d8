package prom

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"mayday/probes"
	"mayday/state"
)

// Rules counts the alerting rules that the server has loaded. An error is a
// *state.Problem: the server was not reached, or evaluates no rules.
func (a *Asker) Rules(ctx context.Context) (alerting int, err error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	got, err := a.api.Rules(ctx, nil)
	if err != nil {
		return 0, a.failed(ctx, err)
	}
	for _, g := range got.Groups {
		for _, r := range g.Rules {
			if _, ok := r.(v1.AlertingRule); ok {
				alerting++
			}
		}
	}
	return alerting, nil
}

// loadedFor is the real time for which an answer about the server's rules is good.
const loadedFor = 30 * time.Second

// knownRules is what the server said last of its alerting rules. A server that does not say
// (some that speak the API evaluate none, and have no such page) is taken at its word.
type knownRules struct {
	mu    sync.Mutex
	until time.Time
	rules []v1.AlertingRule
	err   error
}

// alerting gives the alerting rules as they were half a minute ago at most. It takes no
// more than half of the time that ctx leaves.
func (a *Asker) alerting(ctx context.Context) ([]v1.AlertingRule, error) {
	a.known.mu.Lock()
	rules, err, fresh := a.known.rules, a.known.err, time.Now().Before(a.known.until)
	a.known.mu.Unlock()
	if fresh {
		return rules, err
	}
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
	}
	got, err := a.api.Rules(ctx, nil)
	rules = nil
	for _, g := range got.Groups {
		for _, r := range g.Rules {
			if r, ok := r.(v1.AlertingRule); ok {
				r.Alerts = nil // not needed, and they may be many
				rules = append(rules, r)
			}
		}
	}
	a.known.mu.Lock()
	defer a.known.mu.Unlock()
	a.known.rules, a.known.err, a.known.until = rules, err, time.Now().Add(loadedFor)
	return rules, err
}

// proves makes of a reading of no alerts what it proves: nothing where no rule of the
// server could raise one that the selector takes, little where such a rule fails.
func (a *Asker) proves(ctx context.Context, r probes.Reading, selector string) probes.Reading {
	rules, err := a.alerting(ctx)
	match, bad := matchers(selector)
	if err != nil || bad != nil {
		return r
	}
	able := 0
	var ill []string
	for _, x := range rules {
		if !couldRaise(x, match) {
			continue
		}
		if able++; x.Health != v1.RuleHealthGood {
			ill = append(ill, strings.TrimSuffix(x.Name+": "+state.Clean(x.LastError), ": "))
		}
	}
	switch {
	case able == 0 && r.Value == 0 && r.Text == "":
		return probes.Reading{NoData: true, Text: "no rule that " + a.what + " has loaded can raise such an alert"}
	case len(ill) > 0:
		slices.Sort(ill)
		r.Verdict = state.Warn
		r.Text = strings.TrimPrefix(fmt.Sprintf("%s; %d of %d rules were not evaluated, such as %s", r.Text, len(ill), able, ill[0]), "; ")
	}
	return r
}

// couldRaise reports whether an alert of a rule may have the labels: what the rule itself
// sets is known, the rest comes from the series.
func couldRaise(r v1.AlertingRule, match []*labels.Matcher) bool {
	return !slices.ContainsFunc(match, func(m *labels.Matcher) bool {
		if m.Name == model.AlertNameLabel {
			return !m.Matches(r.Name)
		}
		value, set := r.Labels[model.LabelName(m.Name)]
		return set && !strings.Contains(string(value), "{{") && !m.Matches(string(value))
	})
}

// Reach asks the server for a constant: an error says why it cannot answer queries.
func (a *Asker) Reach(ctx context.Context, at time.Time) error {
	_, err := a.Ask(ctx, state.Probe{Name: "reach", Kind: Kind, Query: "vector(1)"}, at)
	return err
}
