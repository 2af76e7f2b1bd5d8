package health

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// Bounds of one look at the traffic.
const (
	trafficConns   = 8
	trafficTime    = 4 * time.Second // of all requests
	trafficRequest = 2 * time.Second // of one
	trafficMost    = 1000
)

// DefaultVersionHeader names the version that answered.
const DefaultVersionHeader = "X-Version"

// Traffic counts which version answers an environment's URL. The zero value will
// do; safe for concurrent use.
type Traffic struct {
	// Header of the answer that names the version; default DefaultVersionHeader.
	Header string
	// Path below the environment's URL; default "/health". Any status counts: a
	// version that answers 500 answers.
	Path string
}

// Versions sends n requests (at most 1000) to env.URL and counts the answers by
// version; an answer that names none counts under "". It takes at most about four
// seconds of real time: what came until then is returned. No answer at all is a
// *state.Problem; the end of ctx is its error.
func (t Traffic) Versions(ctx context.Context, env runbook.Environment, n int) (map[string]int, error) {
	path, header := t.Path, t.Header
	if path == "" {
		path = "/health"
	}
	if header == "" {
		header = DefaultVersionHeader
	}
	address, err := join(env.URL, path)
	if err != nil {
		return nil, &state.Problem{
			What: "the traffic cannot be observed", Why: err.Error(),
			Do: "Set the environment's url in the runbook", Code: "traffic-unasked",
		}
	}
	all, cancel := context.WithTimeout(ctx, trafficTime)
	defer cancel()
	c := client(Options{}, trafficConns)
	defer c.CloseIdleConnections()
	// A router may pin a connection to one version: many short ones see all.
	c.Transport.(*http.Transport).DisableKeepAlives = true

	var mu sync.Mutex
	seen := map[string]int{}
	var last error
	row := 0
	each(all, trafficConns, min(n, trafficMost), func(ctx context.Context) bool {
		rctx, cancel := context.WithTimeout(ctx, trafficRequest)
		defer cancel()
		ans, err := send(rctx, c, request{url: address})
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			last = err
			row++
			return row < 2*trafficConns
		}
		row = 0
		seen[state.Clean(ans.header.Get(header))]++
		return true
	})
	if ctx.Err() != nil {
		return seen, fmt.Errorf("traffic: %w", ctx.Err())
	}
	if len(seen) == 0 && n > 0 {
		return nil, &state.Problem{
			What: "nothing answers at " + env.URL, Why: reason(last),
			Do: "Check the environment's url and the way to it", Code: "traffic-unasked",
		}
	}
	return seen, nil
}

func reason(err error) string {
	if err == nil {
		return "no request came through in time"
	}
	return state.Clean(err.Error())
}
