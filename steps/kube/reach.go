package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"mayday/state"
)

// longestVersion bounds what is read of a server's word on its version.
const longestVersion = 64 << 10

// Seen is what a cluster says of itself, and until when it lets us in.
type Seen struct {
	Identity string        // as Cluster.Identity gives it
	Version  string        // the API server's, such as "v1.36.3"
	Login    state.Finding // until when the credentials last; not OK where that is soon
}

// Reach asks the cluster for its identity and its version, and looks at the credentials
// that it took. It writes nothing, and blocks until the server answered or ctx ended; a
// credential plugin that hangs may keep it longer. Errors are *state.Problem.
func (c *Cluster) Reach(ctx context.Context, now time.Time) (Seen, error) {
	id, err := c.Identity(ctx)
	if err != nil {
		return Seen{}, err
	}
	v, err := c.version(ctx)
	return Seen{Identity: id, Version: v, Login: c.credentials.finding(now).Finding}, problem(err, "the cluster does not say its version")
}

func (c *Cluster) version(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server.JoinPath("version").String(), http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := c.web.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var said struct {
		GitVersion string `json:"gitVersion"`
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("GET /version: %s", resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, longestVersion)).Decode(&said); err != nil {
		return "", fmt.Errorf("GET /version: %w", err)
	}
	return state.Clean(said.GitVersion), nil
}
