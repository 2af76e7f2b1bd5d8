package rollout

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"mayday/probes"
	"mayday/state"
)

// Kinds of probes about pods: p.Query is a label selector.
const (
	KindPods     = "pods"
	KindRestarts = "restarts"
)

// restartsWithin is the incident time over which restarts are counted.
const restartsWithin = 10 * time.Minute

// podsFor reads what a probe's selector finds, without those that are leaving or have ended
// well: they are not meant to be ready.
func (a *Asker) podsFor(ctx context.Context, p state.Probe) ([]*corev1.Pod, error) {
	sel, err := labels.Parse(p.Query)
	if err != nil {
		return nil, &state.Problem{What: fmt.Sprintf("%q is not a label selector", p.Query), Why: state.Clean(err.Error()),
			Do: "Correct " + p.Kind + " in the runbook", Code: "pods-selector"}
	}
	ctx, cancel := patient(ctx)
	defer cancel()
	pods, err := a.selected(ctx, sel)
	if err != nil {
		return nil, unread(ctx, a.host, "pods of "+p.Query, "pods", err)
	}
	return slices.DeleteFunc(pods, func(p *corev1.Pod) bool {
		return p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded
	}), nil
}

// Pods answers for the pods of a selector, with the watches of the Asker it stands on.
type Pods struct{ *Asker }

var _ probes.Asker = Pods{}

// Ask gives the share of the pods that are ready, from 0 to 1; no pods are no data. The
// verdict is crit when one cannot start, else the thresholds' alone.
func (a Pods) Ask(ctx context.Context, p state.Probe, _ time.Time) (probes.Reading, error) {
	pods, err := a.podsFor(ctx, p)
	if err != nil {
		return probes.Reading{}, err
	}
	if len(pods) == 0 {
		return probes.Reading{NoData: true, Text: "no pod matches " + p.Query}, nil
	}
	ready := 0
	for _, x := range pods {
		if slices.ContainsFunc(x.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}) {
			ready++
		}
	}
	r := probes.Reading{Value: float64(ready) / float64(len(pods)), Text: fmt.Sprintf("%d/%d ready", ready, len(pods))}
	if why := brokenOnes(pods, func(*corev1.Pod) bool { return true }); why != "" {
		r.Verdict = state.Crit
		r.Text += ": " + why
	}
	return r, nil
}

// Restarts counts how often containers of a selector's pods restart, with the watches of
// the Asker it stands on. Make one with NewRestarts; safe for concurrent use.
type Restarts struct {
	*Asker

	mu     sync.Mutex
	counts map[string]*restarts // by probe
}

// restarts are what one probe has seen.
type restarts struct {
	selector string
	begun    bool
	seen     map[string]int32 // by pod and container
	lately   []restart        // oldest first
}

type restart struct {
	at    time.Time
	where string
	n     int
}

var _ probes.Asker = (*Restarts)(nil)

// NewRestarts makes one that has counted nothing yet.
func NewRestarts(a *Asker) *Restarts { return &Restarts{Asker: a, counts: map[string]*restarts{}} }

// Ask counts the restarts that were seen in the ten minutes before the incident time at;
// those before the first question do not count, but of pods that come later. No pods are
// no data. The text names who restarted last.
func (a *Restarts) Ask(ctx context.Context, p state.Probe, at time.Time) (probes.Reading, error) {
	pods, err := a.podsFor(ctx, p)
	if err != nil {
		return probes.Reading{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.counts[p.Name]
	if c == nil || c.selector != p.Query {
		c = &restarts{selector: p.Query}
		a.counts[p.Name] = c
	}
	c.look(pods, at)
	n := 0
	for _, x := range c.lately {
		n += x.n
	}
	switch {
	case n == 0 && len(pods) == 0:
		return probes.Reading{NoData: true, Text: "no pod matches " + p.Query}, nil
	case n == 0:
		return probes.Reading{}, nil
	}
	return probes.Reading{Value: float64(n), Text: "the last: " + c.lately[len(c.lately)-1].where}, nil
}

func (c *restarts) look(pods []*corev1.Pod, at time.Time) {
	seen := map[string]int32{}
	for _, p := range pods {
		for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			key := string(p.UID) + "/" + p.Name + "/" + s.Name
			if more := s.RestartCount - c.seen[key]; c.begun && more > 0 {
				c.lately = append(c.lately, restart{at, strings.TrimSuffix(p.Name+"/"+s.Name, "/"), int(more)})
			}
			seen[key] = s.RestartCount
		}
	}
	c.seen, c.begun = seen, true
	c.lately = slices.DeleteFunc(c.lately, func(x restart) bool { return at.Sub(x.at) > restartsWithin })
}
