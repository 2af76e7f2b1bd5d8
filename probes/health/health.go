// Package health looks at a service from outside, by HTTP: as a probe that the Hub
// schedules, as a check with a yes or no and evidence, and as a count of which
// version answers.
//
// What an answer means: a wrong status is knowledge and crit, however fast it
// came. No answer (nothing listens, a reset, a TLS failure, a time-out) is an
// error and not crit: from here nobody can tell a dead service from a dead
// port-forward or VPN, and a rollback must not hang on mayday's own network.
package health

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"mayday/probes"
	"mayday/state"
	"mayday/state/runbook"
)

// Kind is the kind of the probes this package asks.
const Kind = "http"

// Bounds of one request.
const (
	maxBody  = 1 << 20
	patience = 10 * time.Second // where the caller's context has no time-out
)

// Options set an Asker up; the zero value will do.
type Options struct {
	// Redirects says to follow them. By default a redirect is the answer, with its
	// status, so that a login page elsewhere never looks like health.
	Redirects bool
	// TLS for services with an authority of their own; nil: the system's.
	TLS *tls.Config
}

// Asker asks HTTP probes. Safe for concurrent use.
type Asker struct{ client *http.Client }

var _ probes.Asker = (*Asker)(nil)

// New makes an Asker.
func New(opt Options) *Asker { return &Asker{client: client(opt, 2)} }

// Close drops idle connections. Questions in flight go on.
func (a *Asker) Close() { a.client.CloseIdleConnections() }

func client(opt Options, conns int) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = conns
	t.IdleConnTimeout = 30 * time.Second
	if opt.TLS != nil {
		t.TLSClientConfig = opt.TLS.Clone()
	}
	c := &http.Client{Transport: t}
	if !opt.Redirects {
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return c
}

// Ask makes the probe's request. The value is the latency in seconds until the
// whole answer (its first MiB) was read, the text "200 12ms".
func (a *Asker) Ask(ctx context.Context, p state.Probe, _ time.Time) (probes.Reading, error) {
	method, address, ok := strings.Cut(p.Query, " ")
	if !ok {
		method, address = "", p.Query
	}
	if p.Method != "" {
		method = p.Method
	}
	req := request{method, address, p.Headers, p.Body}
	ans, err := send(ctx, a.client, req)
	if err != nil {
		return probes.Reading{}, err
	}
	r := probes.Reading{Value: ans.took.Seconds(), Text: ans.String()}
	switch wrong := lacks(ans.body, p.Contains, p.JSON); {
	case !expected(ans.status, p.Status):
		r.Verdict = state.Crit
		r.Text += ", want " + wanted(p.Status)
	case wrong != "" && ans.cut:
		return probes.Reading{}, beyond(req.line())
	case wrong != "":
		r.Verdict = state.Crit
		r.Text += ", but " + wrong
	}
	return r, nil
}

// beyond is what is known of a body that does not hold what it should in as much of it
// as is read: nothing.
func beyond(what string) *state.Problem {
	return &state.Problem{What: fmt.Sprintf("the answer of %s is larger than %d MiB", what, maxBody>>20), Why: "what it should hold may lie beyond",
		Do: "Ask for a smaller answer", Code: "answer-large"}
}

// lacks says what of the text and the JSON values the body does not hold, "" where
// it holds all.
func lacks(body []byte, contains string, values map[string]string) string {
	if !bytes.Contains(body, []byte(contains)) {
		return fmt.Sprintf("the answer does not contain %q", contains)
	}
	if len(values) == 0 {
		return ""
	}
	var doc any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber() // 1234567 stays as it is written
	if err := dec.Decode(&doc); err != nil {
		return "the answer is not JSON"
	}
	for _, path := range slices.Sorted(maps.Keys(values)) {
		p, err := runbook.ParseJSONPath(path)
		if err != nil {
			return fmt.Sprintf("%q is not a path into JSON", path)
		}
		v, ok := p.Find(doc)
		if got := written(v); !ok {
			return "there is no " + path
		} else if got != values[path] {
			return fmt.Sprintf("%s is %s, want %s", path, strconv.Quote(got), strconv.Quote(values[path]))
		}
	}
	return ""
}

// written gives a JSON value as a runbook writes it: text without its quotes.
func written(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

func expected(got, want int) bool {
	return got == want || want == 0 && got/100 == 2
}

func wanted(status int) string {
	if status == 0 {
		return "2xx"
	}
	return fmt.Sprint(status)
}

type request struct {
	method, url string
	headers     map[string]string
	body        string
}

// line is the request as a person would type it, without its password.
func (r request) line() string {
	method := r.method
	if method == "" {
		method = http.MethodGet
	}
	if u, err := url.Parse(r.url); err == nil {
		return method + " " + u.Redacted()
	}
	return method + " " + r.url
}

type answer struct {
	status int
	took   time.Duration
	body   []byte // at most maxBody of it
	cut    bool   // there was more
	header http.Header
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, round(a.took)) }

// round writes a latency as the metrics pane shows it.
func round(d time.Duration) string {
	if d < time.Millisecond {
		return "<1ms"
	}
	if d < 10*time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// send makes one request and reads the answer's body up to maxBody.
func send(ctx context.Context, c *http.Client, r request) (answer, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, strings.NewReader(r.body))
	if err != nil {
		return answer{}, &state.Problem{What: "the address cannot be asked", Why: state.Clean(err.Error()), Do: "Correct it in the runbook", Code: "bad-address"}
	}
	req.Header.Set("User-Agent", "mayday")
	for k, v := range r.headers {
		if strings.EqualFold(k, "Host") {
			req.Host = v
			continue
		}
		req.Header.Set(k, v)
	}
	start := time.Now()
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, unanswered(ctx, r, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return answer{}, unanswered(ctx, r, err)
	}
	took := time.Since(start)
	if resp.StatusCode == http.StatusProxyAuthRequired { // by definition not the service's own word
		return answer{}, &state.Problem{What: r.line() + " got no answer", Why: "a proxy on the way wants credentials (status 407)",
			Do: "Check http_proxy and no_proxy in the environment", Code: "no-answer"}
	}
	return answer{resp.StatusCode, took, body[:min(len(body), maxBody)], len(body) > maxBody, resp.Header}, nil
}

// unanswered says why no answer came. It wraps the context's error where that
// ended the request.
func unanswered(ctx context.Context, r request, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: no answer: %w", r.line(), ctx.Err())
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	return noAnswer(r.line()+" got no answer", err)
}
