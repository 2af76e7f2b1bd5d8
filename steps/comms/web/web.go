// Package web is what channels over HTTP have in common: the time-out, no redirects,
// a bound on what an answer may hold, and which answer means what.
package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mayday/state"
	"mayday/steps/comms"
)

// Timeout bounds one request, real time.
const Timeout = 10 * time.Second

const (
	maxAnswer = 1 << 20 // bytes of an answer that are read
	maxSaid   = 512     // bytes of a refusal that are shown
)

// Client sends for one channel. Safe for concurrent use.
type Client struct {
	channel string
	http    *http.Client
	sort    Sort
}

// Sort says what an answer that is no success means; [Answered] is one.
type Sort func(channel string, code int, header http.Header, said string) *comms.Failure

// New makes the client of the channel with that name.
func New(channel string) *Client {
	return &Client{channel: channel, sort: Answered, http: &http.Client{Timeout: Timeout,
		// A redirected post would take the message, and the secret path, elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Sorting is the client for a service whose answers mean something else.
func (c *Client) Sorting(by Sort) *Client { c.sort = by; return c }

// Do is http.Client's, but an answer that is no success (2xx) is a *comms.Failure as
// well, and a success's body is bounded.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	res, err := c.http.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // its text without the URL
		}
		return nil, comms.Unreached(c.channel, err.Error())
	}
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, maxAnswer), res.Body}
		return res, nil
	}
	said, _ := io.ReadAll(io.LimitReader(res.Body, maxSaid)) // only for the error's text
	_ = res.Body.Close()
	return nil, c.sort(c.channel, res.StatusCode, res.Header, string(said))
}

// Request makes a request with a body in JSON; nil is no body.
func (c *Client) Request(ctx context.Context, method, address string, header http.Header, body any) (*http.Request, error) {
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("write the message for the channel %s: %w", c.channel, err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(b))
	if err != nil {
		return nil, &comms.Failure{Problem: &state.Problem{Code: "no-url", What: "The URL of the channel " + c.channel + " is none",
			Do: "Correct it in the runbook, or where the runbook takes it from."}, Permanent: true}
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// JSON sends body and reads the answer into into, where it is not nil. It gives the
// answer as it came, too.
func (c *Client) JSON(ctx context.Context, method, address string, header http.Header, body, into any) ([]byte, error) {
	req, err := c.Request(ctx, method, address, header, body)
	if err != nil {
		return nil, err
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	said, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, comms.Unreached(c.channel, "its answer broke off: "+err.Error())
	}
	if into != nil {
		if err := json.Unmarshal(said, into); err != nil {
			return said, comms.Unreached(c.channel, "its answer is not what the service is documented to give: "+err.Error())
		}
	}
	return said, nil
}

// Reach asks an address for an answer. Any but a server error will do: what takes
// posts refuses to be looked at.
func (c *Client) Reach(ctx context.Context, address string) (string, error) {
	req, err := c.Request(ctx, http.MethodHead, address, nil, nil)
	if err != nil {
		return "", err
	}
	res, err := c.Do(req)
	if err == nil {
		_ = res.Body.Close()
		return "its server answers", nil
	}
	if f, ok := errors.AsType[*comms.Failure](err); ok && f.Permanent {
		return "its server answers", nil
	}
	return "", err
}

// calm is what some services, Statuspage among them, answer instead of 429.
const calm = 420

// Answered sorts an answer that is no success: what 5xx, 408, 420, 425 and 429 refuse
// is worth another try, and Retry-After says when.
func Answered(channel string, code int, header http.Header, said string) *comms.Failure {
	permanent := code < 500 && code != http.StatusRequestTimeout && code != calm && code != http.StatusTooEarly && code != http.StatusTooManyRequests
	f := comms.Refused(channel, said, permanent)
	f.What = fmt.Sprintf("The channel %s answered %d %s", channel, code, http.StatusText(code))
	if permanent {
		f.Do = "Check the channel's URL and token; this message is not tried again."
	}
	f.After = retryAfter(header.Get("Retry-After"), time.Now())
	return f
}

// retryAfter reads seconds or a date; 0 where there is neither.
func retryAfter(h string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(strings.TrimSpace(h)); err == nil {
		return time.Duration(min(max(n, 0), 86400)) * time.Second
	} else if t, err := http.ParseTime(h); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}
