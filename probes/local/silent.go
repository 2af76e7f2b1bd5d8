package local

import (
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// silentSince gives the incident time of the last answer of the targets that a query is
// about, zero where for each of its selectors one that it may find answers: ranges would
// still hold what was good, and "or vector(0)" make a number of nothing. That targets do
// not answer ("up") is news of its own.
func (l *Local) silentSince(query string, at time.Time) time.Time {
	l.mu.Lock()
	all := make([]*target, 0, len(l.running))
	for _, t := range l.running {
		all = append(all, t)
	}
	l.mu.Unlock()
	lately := at.Add(-l.allowed()).UnixMilli()
	if !slices.ContainsFunc(all, func(t *target) bool { return t.answered.Load() < lately }) {
		return time.Time{}
	}
	expr, err := l.parser.ParseExpr(query)
	if err != nil {
		return time.Time{} // it was read once already
	}
	oldest := int64(0)
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok && s.Timestamp == nil && s.OriginalOffset >= 0 {
			if ms := lastAnswer(all, s, lately); ms > 0 && (oldest == 0 || ms < oldest) {
				oldest = ms
			}
		}
		return nil
	})
	if oldest == 0 {
		return time.Time{}
	}
	return time.UnixMilli(oldest).UTC()
}

// lastAnswer gives when a target that a selector may find answered last, moved by the
// selector's offset; 0 where one did lately, or there never was any.
func lastAnswer(all []*target, s *parser.VectorSelector, lately int64) int64 {
	newest := int64(0)
	for _, t := range all {
		if t.mayHave(s.LabelMatchers) {
			newest = max(newest, t.answered.Load()+s.OriginalOffset.Milliseconds())
		}
	}
	if newest >= lately || newest == s.OriginalOffset.Milliseconds() {
		return 0
	}
	return newest
}

// mayHave reports whether a page of the target may hold series with such labels.
func (t *target) mayHave(match []*labels.Matcher) bool {
	return !slices.ContainsFunc(match, func(m *labels.Matcher) bool {
		if m.Name == model.MetricNameLabel {
			return m.Type == labels.MatchEqual && m.Value == "up" // ours, not its own
		}
		return t.labels.Has(m.Name) && !m.Matches(t.labels.Get(m.Name))
	})
}
