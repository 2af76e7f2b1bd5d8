package comms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/shell"
)

// sendTimeout bounds one post, real time.
const sendTimeout = 10 * time.Second

// longestWait bounds what a server may ask for by Retry-After.
const longestWait = 5 * time.Minute

// defaultAudiences are a channel's that names none: customers and executives are
// written to only where somebody decided so.
var defaultAudiences = []string{"team", "stakeholders", "reviewers", "pages"}

// Post renders messages and posts them to the runbook's channels. Safe for
// concurrent use.
type Post struct {
	rb        *runbook.Runbook
	templates map[string]*template.Template
	redact    *shell.Redactor
	client    *http.Client
}

// New reads the templates; a runbook's own that cannot be used is an error. A
// channel without a URL is none: its messages fail, and say why.
func New(rb *runbook.Runbook) (*Post, error) {
	templates, err := parse(rb)
	if err != nil {
		return nil, err
	}
	p := &Post{rb: rb, templates: templates}
	p.redact = shell.NewRedactor(p.Secrets()...)
	p.client = &http.Client{Timeout: sendTimeout,
		// A redirected post would take the message, and the secret path, elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return p, nil
}

// Channels names the channels of an audience, in the runbook's order.
func (p *Post) Channels(audience string) []string {
	var out []string
	for _, c := range p.rb.Channels {
		a := c.Audiences
		if len(a) == 0 {
			a = defaultAudiences
		}
		if slices.Contains(a, audience) {
			out = append(out, c.Name)
		}
	}
	return out
}

// Secrets lists what must never be shown or journaled: the channels' URLs, and
// the parts of them that look like tokens.
func (p *Post) Secrets() []string {
	var out []string
	for _, c := range p.rb.Channels {
		raw, err := address(c)
		if err != nil {
			continue
		}
		out = append(out, raw)
		u, err := url.Parse(raw)
		if err != nil {
			continue
		}
		if pw, ok := u.User.Password(); ok {
			out = append(out, pw)
		}
		for part := range strings.SplitSeq(u.Path, "/") {
			if len(part) >= 16 {
				out = append(out, part)
			}
		}
		for _, values := range u.Query() {
			for _, v := range values {
				if len(v) >= 8 {
					out = append(out, v)
				}
			}
		}
	}
	return out
}

// failure is why a message did not arrive.
type failure struct {
	*state.Problem
	permanent bool
	after     time.Duration
}

func (f *failure) Unwrap() error { return f.Problem }

// Permanent reports whether trying the same message again is pointless.
func Permanent(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.permanent
}

// RetryAfter gives how long (real time) the server asked to be left alone, at most
// five minutes; 0 if it did not.
func RetryAfter(err error) time.Duration {
	var f *failure
	if errors.As(err, &f) {
		return f.after
	}
	return 0
}

// address finds a channel's URL. Its errors hold no secret.
func address(c runbook.Channel) (string, error) {
	missing := func(why string, permanent bool) error {
		return &failure{Problem: &state.Problem{Code: "no-url", What: "The channel " + c.Name + " has no URL", Why: why,
			Do: "Set it and start mayday again; until then tell them another way."}, permanent: permanent}
	}
	switch {
	case c.URL != "":
		return c.URL, nil
	case c.URLEnv != "":
		if v := strings.TrimSpace(os.Getenv(c.URLEnv)); v != "" {
			return v, nil
		}
		return "", missing("the environment variable "+c.URLEnv+" is empty", true)
	case c.URLFile != "":
		b, err := os.ReadFile(c.URLFile)
		if v := strings.TrimSpace(string(b)); err == nil && v != "" {
			return v, nil
		}
		return "", missing("the file "+c.URLFile+" cannot be read or is empty", false)
	}
	return "", missing("the runbook gives none", true)
}

func (p *Post) channel(name string) (runbook.Channel, error) {
	for _, c := range p.rb.Channels {
		if c.Name == name {
			return c, nil
		}
	}
	return runbook.Channel{}, &failure{Problem: &state.Problem{Code: "no-channel", What: "There is no channel " + name,
		Why: "the runbook changed since the message was written", Do: "Add it again, or tell them another way."}, permanent: true}
}

// body is what a plain webhook gets. Chats read "text", programs the rest.
type body struct {
	Text     string `json:"text"`
	Incident string `json:"incident"`
	Audience string `json:"audience,omitempty"`
	Purpose  string `json:"purpose"`
	ID       string `json:"id"`
}

// Send posts one message of an incident to its channel and blocks until the server
// answered, at most ten seconds. The key that lets a server know a repetition is
// "<incident>/<message ID>". Errors hold no secrets; [Permanent] and [RetryAfter]
// say what to do about them.
func (p *Post) Send(ctx context.Context, incident string, m state.Message) error {
	c, err := p.channel(m.Channel)
	if err != nil {
		return err
	}
	b, err := json.Marshal(body{m.Text, incident, m.Audience, m.Purpose, m.ID})
	if err != nil {
		return fmt.Errorf("write the message: %w", err)
	}
	return p.request(ctx, c, http.MethodPost, b, incident+"/"+m.ID)
}

// Reach asks a channel's server for an answer without posting anything. Any answer
// but a server error will do: webhooks refuse what is no post.
func (p *Post) Reach(ctx context.Context, name string) error {
	c, err := p.channel(name)
	if err != nil {
		return err
	}
	return p.request(ctx, c, http.MethodHead, nil, "")
}

func (p *Post) request(ctx context.Context, c runbook.Channel, method string, b []byte, key string) error {
	to, err := address(c)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(b))
	if err != nil {
		return &failure{Problem: &state.Problem{Code: "no-url", What: "The URL of the channel " + c.Name + " is none",
			Do: "Correct it in the runbook, or where the runbook takes it from."}, permanent: true}
	}
	if key != "" {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := p.client.Do(req)
	if err != nil {
		return p.unreached(c, err)
	}
	defer func() { _ = res.Body.Close() }()
	said, _ := io.ReadAll(io.LimitReader(res.Body, 512)) // only for the error's text
	if res.StatusCode < 300 || method == http.MethodHead && res.StatusCode < 500 {
		return nil
	}
	return p.answered(c, res, p.redact.Text(state.Clean(string(said))))
}

func (p *Post) unreached(c runbook.Channel, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // its text without the URL
	}
	return &failure{Problem: &state.Problem{Code: "unreachable", What: "The channel " + c.Name + " was not reached",
		Why: p.redact.Text(state.Clean(err.Error())), Do: "It is tried again; meanwhile tell them another way."}}
}

func (p *Post) answered(c runbook.Channel, res *http.Response, said string) error {
	code := res.StatusCode
	f := &failure{Problem: &state.Problem{Code: "refused", What: fmt.Sprintf("The channel %s answered %d %s", c.Name, code, http.StatusText(code)),
		Why: said, Do: "It is tried again; meanwhile tell them another way."}}
	f.permanent = code < 500 && code != http.StatusRequestTimeout && code != http.StatusTooEarly && code != http.StatusTooManyRequests
	if f.permanent {
		f.Do = "Check the channel's URL; this message is not tried again."
	}
	f.after = retryAfter(res.Header.Get("Retry-After"), time.Now())
	return f
}

// retryAfter reads seconds or a date; 0 where there is neither.
func retryAfter(h string, now time.Time) time.Duration {
	d := time.Duration(0)
	if n, err := strconv.Atoi(strings.TrimSpace(h)); err == nil {
		d = time.Duration(min(n, int(longestWait/time.Second))) * time.Second
	} else if t, err := http.ParseTime(h); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), longestWait)
}
