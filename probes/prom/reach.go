package prom

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"mayday/state"
)

// Reach gives how long after a lasting change in the world the query may still answer
// as if nothing had happened, or not yet all of it. behind is how far what is stored
// under a metric's name ("" where a selector names none) lags behind the world: the
// interval of its scrapes.
//
// A range selector over a window w sees nothing but the changed world once w has
// passed, and until then a part of it: a counter whose rate jumps from g to b reads
// g + (b - g)·t/w after the time t, and so crosses a limit L after w·(L - g)/(b - g).
// That is little for an outage, and nearly all of w for a jump that just crosses the
// limit, so the worst case is w. What was scraped just before the change has then left
// the window: its interval does not count again. An instant selector shows the last
// scrape, which is up to an interval old. A subquery adds its window to what is in it,
// an offset adds itself; of several selectors the slowest counts. One that looks at
// the past alone, by a later offset than another or by a fixed time, is what the query
// compares with, and no part of the delay.
//
// Not counted, because the query does not show it: what recording rules on a server
// add, and how late a server stores what it scrapes. A query that cannot be read is a
// *state.Problem.
func Reach(query string, behind func(metric string) time.Duration) (time.Duration, error) {
	// The language of Prometheus 3 with all its functions, as the engines here have it.
	expr, err := parser.NewParser(parser.Options{EnableExperimentalFunctions: true}).ParseExpr(query)
	if err != nil {
		return 0, &state.Problem{What: "the query cannot be read", Why: state.Clean(fmt.Sprint(err)), Code: "prometheus-query"}
	}
	r := reachOf(expr, behind)
	return r.window + max(r.offset, 0), nil
}

// reach is what a part of a query adds; seen: it looks at the world at all.
type reach struct {
	window, offset time.Duration
	seen           bool
}

func reachOf(n parser.Node, behind func(string) time.Duration) reach {
	switch n := n.(type) {
	case *parser.VectorSelector:
		return reach{behind(metricOf(n)), n.OriginalOffset, n.Timestamp == nil}
	case *parser.MatrixSelector:
		s, ok := n.VectorSelector.(*parser.VectorSelector)
		if !ok {
			return reach{}
		}
		w := n.Range
		if lag := behind(metricOf(s)); lag > w {
			w = lag // no two scrapes in the window: it will answer nothing, and say so
		}
		return reach{w, s.OriginalOffset, s.Timestamp == nil}
	case *parser.SubqueryExpr:
		in := reachOf(n.Expr, behind)
		return reach{in.window + n.Range, in.offset + n.OriginalOffset, in.seen && n.Timestamp == nil}
	}
	var out reach
	for _, c := range parser.Children(n) {
		in := reachOf(c, behind)
		switch {
		case !in.seen:
		case !out.seen:
			out = in
		default:
			out.window, out.offset = max(out.window, in.window), min(out.offset, in.offset)
		}
	}
	return out
}

func metricOf(s *parser.VectorSelector) string {
	for _, m := range s.LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return s.Name
}
