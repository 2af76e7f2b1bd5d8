package rules

import (
	"cmp"
	"time"

	"mayday/probes/prom"
)

// Reach gives how long after a lasting change in the world an alert of a file of rules
// may still be quiet, the slowest of them: its group's interval, its query's reach (as
// prom.Reach has it) and its "for". scrape is how old what the source stores may be; a
// series that a recording rule of the file makes is as much older as that rule. A file
// that cannot be loaded is a *state.Problem.
func Reach(path string, scrape time.Duration) (time.Duration, error) {
	groups, err := Load(path)
	if err != nil {
		return 0, err
	}
	made := map[string]time.Duration{}
	behind := func(metric string) time.Duration { return cmp.Or(made[metric], scrape) }
	var worst time.Duration
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			d, err := prom.Reach(r.Expr, behind)
			if err != nil {
				return 0, err
			}
			d += time.Duration(g.Interval)
			if g.QueryOffset != nil {
				d += time.Duration(*g.QueryOffset)
			}
			if r.Record != "" {
				made[r.Record] = max(made[r.Record], d)
				continue
			}
			worst = max(worst, d+time.Duration(r.For))
		}
	}
	return worst, nil
}
