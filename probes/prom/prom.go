// Package prom asks a Prometheus server (or what speaks its HTTP API: Thanos,
// Mimir, VictoriaMetrics) for the value of a query.
package prom

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"mayday/probes"
	"mayday/state"
)

// Kind is the kind of the probes this package asks.
const Kind = "prometheus"

// patience is the time-out where the caller's context has none.
const patience = 10 * time.Second

// Options say where the server is and how it is reached.
type Options struct {
	URL string // such as https://prometheus.example.org
	// HTTP holds credentials, TLS and proxy as Prometheus' own tools take them; nil
	// means none, with redirects followed and the proxy of the environment.
	HTTP *config.HTTPClientConfig
}

// Asker asks one server. Safe for concurrent use.
type Asker struct {
	api    v1.API
	client *http.Client
	name   string // the URL without its password
	what   string // what answers there, and the runbook's key for it
	key    string
	known  knownRules
}

var _ probes.Historian = (*Asker)(nil)

// New makes an Asker; it does not connect. A URL or HTTP configuration that cannot
// work is a *state.Problem.
func New(opt Options) (*Asker, error) { return newAsker(opt, "Prometheus", "prometheus") }

func newAsker(opt Options, what, key string) (*Asker, error) {
	u, err := url.Parse(opt.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, &state.Problem{
			What: key + ".url is not a web address", Why: state.Clean(opt.URL),
			Do: "Write it as https://" + key + ".example.org", Code: "prometheus-url",
		}
	}
	cfg := config.DefaultHTTPClientConfig
	cfg.ProxyFromEnvironment = true
	if opt.HTTP != nil {
		cfg = *opt.HTTP
	}
	client, err := config.NewClientFromConfig(cfg, "mayday", config.WithUserAgent("mayday"))
	if err != nil {
		return nil, unusable(err)
	}
	client.Transport = &guard{client.Transport}
	if cfg.FollowRedirects {
		client.CheckRedirect = stay(&cfg)
	}
	c, err := api.NewClient(api.Config{Address: opt.URL, Client: client})
	if err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	return &Asker{api: v1.NewAPI(c), client: client, name: u.Redacted(), what: what, key: key}, nil
}

// Close drops idle connections. Questions in flight go on.
func (a *Asker) Close() { a.client.CloseIdleConnections() }

// Ask evaluates p.Query at the incident time at; where that is now, at the server's now.
func (a *Asker) Ask(ctx context.Context, p state.Probe, at time.Time) (probes.Reading, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	var opts []v1.Option
	if end, ok := ctx.Deadline(); ok {
		// The server stops too, so that a slow query does not pile up on it.
		opts = append(opts, v1.WithTimeout(whole(time.Until(end))))
	}
	v, warnings, err := a.api.Query(ctx, p.Query, moment(at), opts...)
	if err != nil {
		return probes.Reading{}, a.failed(ctx, err)
	}
	r, err := reading(p, v)
	if err != nil {
		return r, err
	}
	if len(warnings) > 0 {
		// The answer may be partial: not a reason to stop, nor to go on unseen.
		r.Verdict, r.Text = state.Warn, "Prometheus warns: "+strings.Join(warnings, "; ")
	}
	return r, nil
}

// nearly is how far from this moment a time may lie that means now.
const nearly = 2 * time.Second

// moment gives the time that a server is asked about; of now it is asked without one, and
// takes its own. The clocks of two hosts differ, and by ours a server that is ahead would
// answer what was true minutes ago, or from windows that are half empty.
func moment(at time.Time) time.Time {
	if time.Since(at).Abs() <= nearly {
		return time.Time{}
	}
	return at
}

// Past evaluates p.Query at incident times a step apart: one query for all of them.
func (a *Asker) Past(ctx context.Context, p state.Probe, from, to time.Time, step time.Duration) ([]probes.Reading, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	v, _, err := a.api.QueryRange(ctx, p.Query, v1.Range{Start: from, End: to, Step: step}) // what is missing of it is the matter of Ask
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	m, _ := v.(model.Matrix)
	if len(m) > probes.MostPast {
		return nil, nil // no more than what a chart shows is looked back for
	}
	var all []probes.Series
	for _, s := range m {
		labels, label := s.Metric.String(), string(s.Metric[model.LabelName(p.By)])
		for _, x := range s.Values {
			all = append(all, probes.Series{Labels: labels, Label: label, Value: float64(x.Value), At: x.Timestamp.Time().UTC()})
		}
	}
	return probes.GatherPast(p, all)
}

// whole rounds a time-out up to what a server can read: Prometheus takes 10s and
// 250ms, and refuses 9.99s.
func whole(d time.Duration) time.Duration {
	unit := time.Second
	if d <= time.Second {
		unit = time.Millisecond
	}
	return max((d + unit - 1).Truncate(unit), time.Millisecond)
}

func reading(p state.Probe, v model.Value) (probes.Reading, error) {
	switch v := v.(type) {
	case *model.Scalar:
		return probes.Reading{Value: float64(v.Value)}, nil
	case model.Vector:
		all := make([]probes.Series, len(v))
		for i, s := range v {
			all[i] = probes.Series{Labels: s.Metric.String(), Label: string(s.Metric[model.LabelName(p.By)]), Value: float64(s.Value)}
			if s.Histogram != nil {
				return probes.Reading{}, &state.Problem{
					What: "the query gives a histogram, not a number",
					Do:   "Wrap it, such as in histogram_quantile(0.95, …)",
				}
			}
		}
		return probes.Gather(p, all)
	case nil:
		return probes.Reading{NoData: true}, nil
	}
	return probes.Reading{}, &state.Problem{
		What: fmt.Sprintf("the query gives a %s, not a number", v.Type()),
		Do:   "Aggregate it, such as with sum(rate(…[1m]))",
	}
}

// explain says what a failed question means to the person who reads it.
func (a *Asker) explain(err error) error {
	var page *pageError
	var apiErr *v1.Error
	var large *largeError
	switch {
	case errors.As(err, &page):
		return &state.Problem{
			What: fmt.Sprintf("asked %s at %s, got a web page (HTML, status %d)", a.what, a.name, page.status),
			Why:  "likely a login page or a proxy in between" + page.title(),
			Do:   "Open the URL in a browser, then correct " + a.key + ".url or its credentials", Code: "prometheus-html",
		}
	case errors.As(err, &large):
		return &state.Problem{
			What: fmt.Sprintf("the answer of %s at %s is larger than %d MiB", a.what, a.name, maxBody>>20),
			Do:   "Aggregate in the query, such as sum(…)", Code: "prometheus-large",
		}
	case errors.As(err, &apiErr) && apiErr.Type == v1.ErrBadData:
		return &state.Problem{What: a.what + " refuses the query", Why: state.Clean(apiErr.Msg), Do: "Correct the probe's query", Code: "prometheus-query"}
	case errors.As(err, &apiErr) && denied(apiErr):
		return &state.Problem{
			What: a.what + " at " + a.name + " does not let mayday in", Why: state.Clean(apiErr.Msg + ": " + detail(apiErr.Detail)),
			Do: "Set the credentials, or the tenant's header, in " + a.key + ".http", Code: "prometheus-denied",
		}
	case errors.As(err, &apiErr) && apiErr.Type != v1.ErrBadResponse:
		why := apiErr.Msg
		if d := detail(apiErr.Detail); d != "" {
			why += ": " + d
		}
		return &state.Problem{What: a.what + " at " + a.name + " answered with an error", Why: state.Clean(why), Code: "prometheus-error"}
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		return &state.Problem{
			What: a.what + " at " + a.name + " cannot be reached", Why: state.Clean(ue.Err.Error()),
			Do: "Check " + a.key + ".url, the network and the VPN", Code: "prometheus-unreachable",
		}
	}
	return &state.Problem{
		What: "what answers at " + a.name + " is not " + a.what, Why: state.Clean(err.Error()),
		Do: "Check " + a.key + ".url", Code: "prometheus-garbage",
	}
}

// denied reports whether the server, or what stands before it, wants to know who asks.
func denied(e *v1.Error) bool {
	return e.Type == v1.ErrClient && (strings.HasSuffix(e.Msg, "401") || strings.HasSuffix(e.Msg, "403"))
}

// detail is the beginning of an error's body.
func detail(s string) string {
	s = state.Clean(s)
	return string([]rune(s)[:min(len([]rune(s)), 120)])
}
