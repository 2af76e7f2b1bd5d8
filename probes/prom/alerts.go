package prom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"mayday/probes"
	"mayday/state"
)

// Kinds of the probes that Alerts and Alertmanager ask: p.Query is a selector of
// labels, {severity="critical"}; {} takes all.
const (
	KindAlerts       = "alerts"
	KindAlertmanager = "alertmanager"
)

// Alert is an alert as a probe counts it.
type Alert struct {
	Labels map[string]string
	Firing bool // else it waits for its time
}

// CountAlerts makes a reading of alerts: the value is how many fire of those that the
// selector takes, the text names them, most frequent first. A selector that cannot be
// read is a *state.Problem.
func CountAlerts(selector string, all []Alert) (probes.Reading, error) {
	match, err := matchers(selector)
	if err != nil {
		return probes.Reading{}, err
	}
	firing, pending := map[string]int{}, map[string]int{}
	n := 0
	for _, a := range all {
		if slices.ContainsFunc(match, func(m *labels.Matcher) bool { return !m.Matches(a.Labels[m.Name]) }) {
			continue
		}
		if a.Firing {
			n++
			firing[a.Labels["alertname"]]++
		} else {
			pending[a.Labels["alertname"]]++
		}
	}
	r := probes.Reading{Value: float64(n), Text: names(firing)}
	if len(pending) > 0 {
		r.Text = strings.TrimPrefix(r.Text+"; pending: "+names(pending), "; ")
	}
	return r, nil
}

// matchers reads a selector of alerts; none where it takes all.
func matchers(selector string) ([]*labels.Matcher, error) {
	if strings.Trim(selector, "{} ") == "" {
		return nil, nil
	}
	match, err := parser.NewParser(parser.Options{}).ParseMetricSelector(selector)
	if err != nil {
		return nil, &state.Problem{What: fmt.Sprintf("%q does not select alerts", selector), Why: state.Clean(err.Error()),
			Do: "Correct match in the runbook", Code: "alert-match"}
	}
	return match, nil
}

// names lists what was counted: "HighErrorRate 3x, DiskFull".
func names(count map[string]int) string {
	var all []string
	for name := range count {
		all = append(all, name)
	}
	slices.SortFunc(all, func(a, b string) int {
		if count[a] != count[b] {
			return count[b] - count[a]
		}
		return strings.Compare(a, b)
	})
	for i, name := range all {
		if count[name] > 1 {
			all[i] = fmt.Sprintf("%s %dx", name, count[name])
		}
	}
	return strings.Join(all, ", ")
}

// Alerts asks a Prometheus server for the alerts that its own rules raise.
type Alerts struct{ *Asker }

var _ probes.Asker = Alerts{}

// Ask counts the alerts that fire now; the server knows no other time. Where none of its
// rules could raise one that the selector takes, that is no data; where such rules fail,
// the verdict is at least warn: silence then proves nothing. A server that does not tell
// its rules within half of the time is taken at its word.
func (a Alerts) Ask(ctx context.Context, p state.Probe, _ time.Time) (probes.Reading, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	got, err := a.api.Alerts(ctx)
	if err != nil {
		return probes.Reading{}, a.failed(ctx, err)
	}
	all := make([]Alert, len(got.Alerts))
	for i, x := range got.Alerts {
		all[i] = Alert{Labels: map[string]string{}, Firing: x.State == v1.AlertStateFiring}
		for name, value := range x.Labels {
			all[i].Labels[string(name)] = string(value)
		}
	}
	r, err := CountAlerts(p.Query, all)
	if err != nil {
		return r, err
	}
	return a.proves(ctx, r, p.Query), nil
}

// Alertmanager asks an Alertmanager (or Mimir's) for its active alerts: those that
// nobody silenced and that no other alert inhibits. Safe for concurrent use.
type Alertmanager struct {
	*Asker
	address string
}

var _ probes.Asker = (*Alertmanager)(nil)

// NewAlertmanager makes an asker; it does not connect. A URL or HTTP configuration
// that cannot work is a *state.Problem.
func NewAlertmanager(opt Options) (*Alertmanager, error) {
	a, err := newAsker(opt, "Alertmanager", "alertmanager")
	if err != nil {
		return nil, err
	}
	return &Alertmanager{a, strings.TrimRight(opt.URL, "/") + "/api/v2/alerts?active=true&silenced=false&inhibited=false&unprocessed=false"}, nil
}

// Ask counts the alerts that are active now.
func (a *Alertmanager) Ask(ctx context.Context, p state.Probe, _ time.Time) (probes.Reading, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	body, err := a.get(ctx)
	if err != nil {
		return probes.Reading{}, a.failed(ctx, err)
	}
	var got []struct {
		Labels map[string]string `json:"labels"`
		Status struct {
			State string `json:"state"`
		} `json:"status"`
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return probes.Reading{}, a.explain(err)
	}
	var all []Alert
	for _, x := range got {
		if x.Status.State == "active" {
			all = append(all, Alert{Labels: x.Labels, Firing: true})
		}
	}
	return CountAlerts(p.Query, all)
}

func (a *Alertmanager) get(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		kind := v1.ErrServer
		if resp.StatusCode/100 == 4 {
			kind = v1.ErrClient
		}
		return nil, &v1.Error{Type: kind, Msg: fmt.Sprintf("status %d", resp.StatusCode), Detail: string(body)}
	}
	return body, nil
}

// patient bounds a question whose context has no time-out of its own.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, patience)
}

// failed says what a failed question means; it wraps the context's error where that
// ended it.
func (a *Asker) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s at %s: %w", a.what, a.name, ctx.Err())
	}
	var ue *url.Error
	var page *pageError
	if errors.As(err, &ue) && errors.As(ue.Err, &page) {
		err = page
	}
	return a.explain(err)
}
