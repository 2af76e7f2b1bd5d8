package prom

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"

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
	switch resp.StatusCode {
	case http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		if req.Method == http.MethodPost {
			return resp, nil // the API client asks again by GET
		}
	}
	body := bufio.NewReader(io.LimitReader(resp.Body, maxBody+1))
	if start, _ := body.Peek(512); isPage(resp.Header, start) && resp.StatusCode/100 != 3 {
		page, _ := io.ReadAll(io.LimitReader(body, 8<<10))
		_ = resp.Body.Close() // only read
		return nil, &pageError{status: resp.StatusCode, page: page}
	}
	resp.Body = &bounded{Reader: body, Closer: resp.Body}
	return resp, nil
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
