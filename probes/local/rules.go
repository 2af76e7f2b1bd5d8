package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"

	"mayday/state"
)

// Vector evaluates PromQL at an incident time to all the series it gives; a scalar is
// one series without labels. What is neither is a *state.Problem.
func (l *Local) Vector(ctx context.Context, expr string, at time.Time) (v promql.Vector, warning string, err error) {
	q, err := l.engine.NewInstantQuery(ctx, storage.QueryableFunc(l.querier), nil, expr, at)
	if err != nil {
		return nil, "", unread(err)
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		if ctx.Err() != nil {
			return nil, "", fmt.Errorf("query: %w", ctx.Err())
		}
		return nil, "", &state.Problem{What: "the query fails", Why: state.Clean(res.Err.Error()), Code: "prometheus-query"}
	}
	switch v := res.Value.(type) {
	case promql.Vector:
		return append(promql.Vector(nil), v...), "", nil // the query's own goes with it
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V}}, "", nil
	}
	return nil, "", &state.Problem{What: fmt.Sprintf("the query gives a %s, not series of numbers", res.Value.Type()), Code: "prometheus-query"}
}

// Record stores what recording rules made at an incident time, as if it had been
// scraped, and ends the series in gone.
func (l *Local) Record(ctx context.Context, at time.Time, made promql.Vector, gone []labels.Labels, _ bool) error {
	l.write.Lock()
	defer l.write.Unlock()
	app := l.head.Appender(ctx)
	ms := at.UnixMilli()
	var err error
	for _, s := range made {
		if s.H != nil {
			continue // the store holds numbers, as its scrapes do
		}
		err = errors.Join(err, put(app, &series{labels: s.Metric}, ms, s.F))
	}
	for _, ls := range gone {
		err = errors.Join(err, put(app, &series{labels: ls}, ms, staleMark()))
	}
	if err != nil {
		return errors.Join(err, app.Rollback())
	}
	return app.Commit()
}

// Health says when scraping stopped, zero where it goes on; which targets do not
// answer, in words; and whether the first scrapes are not in yet.
func (l *Local) Health(at time.Time) (newest time.Time, trouble string, begun bool) {
	if t, late := l.late(at); late {
		newest = t
	}
	return newest, l.trouble(), l.warming()
}
