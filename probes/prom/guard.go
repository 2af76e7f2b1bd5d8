package prom

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/prometheus/common/config"

	"mayday/state"
)

// maxBody bounds an answer: a probe wants one number.
const maxBody = 4 << 20

// guard bounds bodies and refuses web pages before somebody tries to read them as
// JSON.
type guard struct{ next http.RoundTripper }

// CloseIdleConnections lets http.Client reach the transport below.
func (g *guard) CloseIdleConnections() {
	if c, ok := g.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := g.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	pages := resp.StatusCode/100 != 3
	switch resp.StatusCode {
	case http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		pages = req.Method != http.MethodPost // the API client asks again by GET
	}
	body := bufio.NewReader(io.LimitReader(resp.Body, maxBody+1))
	if start, _ := body.Peek(512); pages && isPage(resp.Header, start) {
		page, _ := io.ReadAll(io.LimitReader(body, 8<<10))
		_ = resp.Body.Close() // only read
		return nil, &pageError{status: resp.StatusCode, page: page}
	}
	resp.Body = &bounded{Reader: body, Closer: resp.Body}
	return resp, nil
}

// stay refuses redirects that would take the runbook's headers to another host, which
// the configuration's own client does not keep back as it does credentials, and either
// of them out of TLS.
func stay(c *config.HTTPClientConfig) func(*http.Request, []*http.Request) error {
	headers := c.HTTPHeaders != nil && len(c.HTTPHeaders.Headers) > 0
	secret := headers || c.BasicAuth != nil || c.Authorization != nil || c.OAuth2 != nil
	return func(req *http.Request, via []*http.Request) error {
		from := via[0].URL
		switch {
		case headers && !strings.EqualFold(req.URL.Hostname(), from.Hostname()):
			return fmt.Errorf("it sends mayday on to %s, which the headers of the runbook are not for", req.URL.Host)
		case secret && from.Scheme == "https" && req.URL.Scheme != "https":
			return fmt.Errorf("it sends mayday on to %s without TLS, where anybody could read the credentials", req.URL.Host)
		case len(via) >= 10:
			return errors.New("it sends mayday on and on (10 redirects)")
		}
		return nil
	}
}

func isPage(h http.Header, start []byte) bool {
	if strings.Contains(h.Get("Content-Type"), "json") {
		return false
	}
	start = bytes.ToLower(bytes.TrimLeft(start, " \t\r\n\xef\xbb\xbf"))
	return bytes.HasPrefix(start, []byte("<!doctype")) || bytes.HasPrefix(start, []byte("<html")) ||
		strings.Contains(h.Get("Content-Type"), "text/html") && bytes.HasPrefix(start, []byte("<"))
}

// bounded fails, rather than ends, beyond maxBody.
type bounded struct {
	io.Reader
	io.Closer
	n int
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if b.n += n; b.n > maxBody {
		return n, &largeError{}
	}
	return n, err
}

type largeError struct{}

func (*largeError) Error() string {
	return fmt.Sprintf("the answer is larger than %d MiB", maxBody>>20)
}

// pageError says that a web page came where data was asked for.
type pageError struct {
	status int
	page   []byte
}

func (e *pageError) Error() string { return fmt.Sprintf("a web page (status %d)", e.status) }

// title gives the page's title as it is told, "" where it has none.
func (e *pageError) title() string {
	lower := bytes.Clone(e.page)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	from := bytes.Index(lower, []byte("<title>"))
	if from < 0 {
		return ""
	}
	from += len("<title>")
	to := bytes.Index(lower[from:], []byte("</title>"))
	if to < 0 {
		return ""
	}
	return fmt.Sprintf("; it is titled %q", state.Clean(string(e.page[from:from+min(to, 80)])))
}
