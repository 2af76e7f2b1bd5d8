package commstest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// SecretEnv is the variable that a rig's secret is in.
const SecretEnv = "MAYDAY_TEST_SECRET"

// Server is a service over HTTP with faults.
type Server struct {
	URL string

	mu    sync.Mutex
	fault Fault
	got   []Got
}

// Serve starts a service. take answers a request while all is well, after looking at
// it as the service would; what it posts, it notes with Note. limit is the largest
// body, in bytes; a larger one is answered 413.
func Serve(t testing.TB, limit int, take func(s *Server, w http.ResponseWriter, r *http.Request, body []byte)) *Server {
	s := &Server{fault: Well}
	gone := make(chan struct{})
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
		if err != nil {
			return // the client went away
		}
		s.mu.Lock()
		fault := s.fault
		s.mu.Unlock()
		switch {
		case fault == Hangs:
			select {
			case <-r.Context().Done():
			case <-gone:
			}
		case fault == Busy:
			w.Header().Set("Retry-After", strconv.Itoa(int(Rest/time.Second)))
			w.WriteHeader(http.StatusTooManyRequests)
		case fault == Broken:
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "\x1b[2J\x1b]0;owned\x07 no, "+r.URL.Path+"\n")
		case len(body) > limit:
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		default:
			take(s, w, r, body)
		}
	}))
	t.Cleanup(h.Close)
	t.Cleanup(func() { close(gone) }) // first
	s.URL = h.URL
	return s
}

// Set sets the service's way.
func (s *Server) Set(f Fault) { s.mu.Lock(); s.fault = f; s.mu.Unlock() }

// Note keeps a letter that was posted.
func (s *Server) Note(g Got) { s.mu.Lock(); s.got = append(s.got, g); s.mu.Unlock() }

// Got gives what was posted.
func (s *Server) Got() []Got { s.mu.Lock(); defer s.mu.Unlock(); return append([]Got(nil), s.got...) }

// Secret puts a secret into SecretEnv for the test, and gives what takes its validity
// and itself away.
func Secret(t *testing.T, valid, wrong string) (deny, unset func()) {
	t.Setenv(SecretEnv, valid)
	set := func(v string) func() {
		return func() {
			if err := os.Setenv(SecretEnv, v); err != nil { // t.Setenv put it back at the end
				t.Fatal(err)
			}
		}
	}
	return set(wrong), set("")
}

// Schema compiles the JSON schema in a file, written from the service's documentation.
func Schema(t testing.TB, file string) func(body []byte) error {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	return func(body []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err != nil {
			return err
		}
		return schema.Validate(v)
	}
}
