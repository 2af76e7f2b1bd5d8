package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"mayday/probes"
	"mayday/probes/prom"
	"mayday/state"
)

var _ probes.Historian = (*Local)(nil)

// Query evaluates PromQL that gives one number, as Ask does.
func (l *Local) Query(ctx context.Context, expr string, at time.Time) (probes.Reading, error) {
	return l.Ask(ctx, state.Probe{Query: expr}, at)
}

// Ask evaluates p.Query at the incident time at. A query that cannot be read, or
// whose series the probe has no use for, is a *state.Problem. Where there is no data,
// the reading's text says whether targets do not answer, and it is pending while the
// first scrapes are not in; where scraping stands still, or none of the targets that the
// query may be about answers, the reading's time is that of their last scrape.
func (l *Local) Ask(ctx context.Context, p state.Probe, at time.Time) (probes.Reading, error) {
	q, err := l.engine.NewInstantQuery(ctx, storage.QueryableFunc(l.querier), nil, p.Query, at)
	if err != nil {
		return probes.Reading{}, unread(err)
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		if ctx.Err() != nil {
			return probes.Reading{}, fmt.Errorf("query: %w", ctx.Err())
		}
		return probes.Reading{}, &state.Problem{What: "the query fails", Why: state.Clean(res.Err.Error()), Code: "prometheus-query"}
	}
	r, err := reading(p, res)
	if r.NoData {
		r.Text, r.Pending = cmp.Or(l.trouble(), r.Text), l.warming()
	}
	if newest, late := l.late(at); late && err == nil {
		r.At = newest
	} else if err == nil && !r.NoData {
		r.At = l.silentSince(p.Query, at)
	}
	return r, err
}

// Past evaluates p.Query at incident times a step apart, as far back as was scraped.
func (l *Local) Past(ctx context.Context, p state.Probe, from, to time.Time, step time.Duration) ([]probes.Reading, error) {
	q, err := l.engine.NewRangeQuery(ctx, storage.QueryableFunc(l.querier), nil, p.Query, from, to, step)
	if err != nil {
		return nil, unread(err)
	}
	defer q.Close()
	m, err := q.Exec(ctx).Matrix()
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	if len(m) > probes.MostPast {
		return nil, nil // no more than what a chart shows is looked back for
	}
	var all []probes.Series
	for _, s := range m {
		labels, label := s.Metric.String(), s.Metric.Get(p.By)
		for _, x := range s.Floats {
			all = append(all, probes.Series{Labels: labels, Label: label, Value: x.F, At: time.UnixMilli(x.T).UTC()})
		}
	}
	return probes.GatherPast(p, all)
}

func unread(err error) error {
	return &state.Problem{
		What: "the query cannot be read", Why: state.Clean(err.Error()),
		Do: cmp.Or(prom.Renamed(err.Error()), "Correct the probe's query"), Code: "prometheus-query",
	}
}

// late says whether scraping had stopped well before at, and when.
func (l *Local) late(at time.Time) (time.Time, bool) {
	ms := l.newest.Load()
	if ms == 0 {
		return time.Time{}, false
	}
	newest := time.UnixMilli(ms).UTC()
	return newest, at.Sub(newest) > l.allowed()
}

// allowed is how old the last scrape may be. Those that time out take real time, which a
// fast clock multiplies.
func (l *Local) allowed() time.Duration {
	return 2*l.opt.Interval.D() + l.opt.Clock.Incident(l.opt.Timeout+time.Second)
}

func reading(p state.Probe, res *promql.Result) (probes.Reading, error) {
	switch v := res.Value.(type) {
	case promql.Scalar:
		return probes.Reading{Value: v.V}, nil
	case promql.Vector:
		all := make([]probes.Series, len(v))
		for i, s := range v {
			if s.H != nil {
				return probes.Reading{}, &state.Problem{
					What: "the query gives a histogram, not a number",
					Do:   "Wrap it, such as in histogram_quantile(0.95, …)",
				}
			}
			all[i] = probes.Series{Labels: s.Metric.String(), Label: s.Metric.Get(p.By), Value: s.F}
		}
		return probes.Gather(p, all)
	}
	return probes.Reading{}, &state.Problem{
		What: fmt.Sprintf("the query gives a %s, not a number", res.Value.Type()),
		Do:   "Aggregate it, such as with sum(rate(…[1m]))",
	}
}

// querier opens the store for a range of time (ms). While old data is being
// dropped, a reader of it would fail: it gets what stays.
func (l *Local) querier(mint, maxt int64) (storage.Querier, error) {
	q, err := tsdb.NewBlockQuerier(tsdb.NewRangeHead(l.head, mint, maxt), mint, maxt)
	if err != nil {
		return nil, fmt.Errorf("metrics in memory: %w", err)
	}
	closeIt, again, newMint := l.head.IsQuerierCollidingWithTruncation(mint, maxt)
	if !closeIt {
		return q, nil
	}
	if err := q.Close(); err != nil {
		return nil, errors.Join(errors.New("metrics in memory"), err)
	}
	if !again {
		return storage.NoopQuerier(), nil
	}
	return tsdb.NewBlockQuerier(tsdb.NewRangeHead(l.head, newMint, maxt), newMint, maxt)
}
