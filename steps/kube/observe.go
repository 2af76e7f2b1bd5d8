package kube

import (
	"context"
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"

	"mayday/state"
)

// How the effect on traffic is observed, in real time.
const (
	samples = 300 // requests for a share
	answers = 50  // requests that must all come from the target after a rollback
)

// patience is how long effects on traffic may take, in real time.
type patience struct {
	follow time.Duration // until a changed weight is seen
	drain  time.Duration // until a version that is left no longer answers
	next   time.Duration // until a rollback goes on to the next workload, whatever one hangs on
}

var usual = patience{follow: 20 * time.Second, drain: 10 * time.Second, next: 10 * time.Second}

// tolerance is how far, in percent, an observed share of n requests may lie from
// the wanted one: four standard deviations of chance, and at least 5.
func tolerance(share int, n int) float64 {
	p := float64(share) / 100
	return max(5, 400*math.Sqrt(p*(1-p)/float64(n)))
}

// unseen explains why nothing can be observed; "" where it can.
func (r *run) unseen() string {
	switch {
	case r.traffic == nil:
		return "not observed"
	case r.s.URL == "":
		return "not observed: the environment has no url"
	}
	return ""
}

// observe waits until the new version answers about share percent of the requests.
// still is asked before each try whether the wait makes sense yet.
func (r *run) observe(ctx context.Context, share int, still func(context.Context) error) (float64, string, error) {
	if why := r.unseen(); why != "" {
		return 0, why, nil
	}
	give := time.Now().Add(r.patience.follow)
	said := ""
	for {
		if err := still(ctx); err != nil {
			return 0, "", err
		}
		counts, err := r.traffic.Versions(ctx, r.env(), samples)
		seen, named, total := tally(counts, r.plan.Version)
		why := fmt.Sprintf("%s answers %.1f %% of the requests", r.plan.Version, seen)
		switch {
		case ctx.Err() != nil:
			return 0, "", ctx.Err()
		case err != nil:
			why = state.Clean(err.Error())
		case total > 0 && named == 0:
			return 0, "not observed: no answer names its version", nil
		case total > 0 && math.Abs(seen-float64(share)) <= tolerance(share, total):
			return seen, fmt.Sprintf("seen %.1f %%", seen), nil
		}
		if why != said {
			said = why
			fmt.Fprintf(r.out, "traffic: %s, %d %% wanted\n", why, share)
		}
		if time.Now().After(give) {
			return seen, "", &state.Problem{What: fmt.Sprintf("traffic does not follow: %d %% wanted", share), Why: why, Code: "traffic",
				Do: "Look at what shares the traffic out: does it follow " + r.plan.Subject + "? Then go on, or roll back."}
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return 0, "", err
		}
	}
}

// tally gives the share of one version in percent, how many answers named any
// version, and how many there were.
func tally(counts map[string]int, version string) (share float64, named, total int) {
	for v, n := range counts {
		total += n
		if v != "" {
			named += n
		}
	}
	if total > 0 {
		share = 100 * float64(counts[version]) / float64(total)
	}
	return share, named, total
}

// answering waits until only the target version answers, as connections to the
// new one drain. The text says how many of the last requests did.
func (r *run) answering(ctx context.Context) (string, error) {
	if why := r.unseen(); why != "" {
		return "answers " + why, nil
	}
	give := time.Now().Add(r.patience.drain)
	for {
		counts, err := r.traffic.Versions(ctx, r.env(), answers)
		_, named, total := tally(counts, r.plan.Target)
		good := counts[r.plan.Target]
		text := fmt.Sprintf("%s answered %d of %d requests", r.plan.Target, good, max(total, answers))
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case err == nil && good >= answers:
			return text, nil
		case err == nil && total > 0 && named == 0:
			return "answers not observed: none names its version", nil
		case err != nil:
			text = state.Clean(err.Error())
		}
		if time.Now().After(give) {
			return "", &state.Problem{What: "not only " + r.plan.Target + " answers after the rollback", Why: text, Code: "traffic",
				Do: "Move the traffic by hand, then check: curl -sI " + r.s.URL}
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return "", err
		}
	}
}

// versionIn reads the version of the named container.
func versionIn(list []corev1.Container, name string) string {
	i := containerIndex(list, name)
	if i < 0 {
		return "?"
	}
	return state.Clean(or(tagOf(list[i].Image), list[i].Image))
}
