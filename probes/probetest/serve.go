package probetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Serve serves h on loopback until the test ends and gives its address
// ("http://127.0.0.1:1234"). A handler may wait for its request's context: that
// ends with the client's connection and with the test.
func Serve(t testing.TB, h http.Handler) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Only a body that was read lets the server see the client leave.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		h.ServeHTTP(w, r)
	}))
	srv.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	srv.Start()
	t.Cleanup(func() {
		cancel()
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv.URL
}

// Web is a server in one of the worlds that are the same whatever is asked of it over
// HTTP; nil for the others.
func Web(w World) http.HandlerFunc {
	switch w {
	case Hangs:
		return func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	case Drips:
		return drip
	case Fails:
		return func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no such luck", http.StatusServiceUnavailable)
		}
	case Escapes:
		return func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "\x1b[31mred\x1b]0;t\x07\r\nx", http.StatusInternalServerError)
		}
	case Page:
		return func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "<!DOCTYPE html><html><head><title>Sign in \x1b[31mnow</title></head></html>")
		}
	case Garbage:
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "\x00\x01\x1b[31m{{{") }
	}
	return nil
}

// drip answers a byte at a time until the client has gone.
func drip(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		fmt.Fprint(w, " ")
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// Nobody gives an address on loopback that nothing listens at.
func Nobody(t testing.TB) string {
	t.Helper()
	srv := httptest.NewServer(nil)
	srv.Close()
	return srv.URL
}
