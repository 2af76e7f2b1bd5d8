package load

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"mayday/steps/drill/app"
)

// TestDeckIsExact checks that every deck holds each account's login once.
func TestDeckIsExact(t *testing.T) {
	d := newDeck()
	for range 3 {
		logins, rest := map[string]int{}, 0
		for range len(d.cards) {
			if r := d.next(); r.path == "/api/login" {
				logins[string(r.body)]++
			} else {
				rest++
			}
		}
		if len(logins) != len(app.Accounts) || rest != 6 {
			t.Errorf("%d accounts, %d other requests", len(logins), rest)
		}
	}
}

// TestBoundedAndGone lets a server hang: no more than the bound is under way, and
// Close ends them all.
func TestBoundedAndGone(t *testing.T) {
	var now, most atomic.Int64
	full := make(chan struct{}, inFlight*2)
	ts := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == inFlight {
			full <- struct{}{}
		}
		// Only a server that has read the body notices that the client went away.
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer ts.Close()
	g := Start(t.Context(), Options{URL: ts.URL, Rate: 2000})
	<-full
	g.Close()
	if got := most.Load(); got != inFlight {
		t.Errorf("%d requests were under way at once, the bound is %d", got, inFlight)
	}
}
