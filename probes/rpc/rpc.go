// Package rpc asks servers for their health over gRPC, by the standard service
// grpc.health.v1.Health.
package rpc

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"mayday/probes"
	"mayday/state"
)

// Kind is the kind of the probes this package asks.
const Kind = "grpc"

const (
	patience = 10 * time.Second // where the caller's context has no time-out
	maxBody  = 64 << 10         // of an answer, which takes a few bytes
)

// Asker asks for health. The zero value will do; safe for concurrent use. Each
// question is a connection of its own, so that it sees what a new client sees.
type Asker struct {
	TLS *tls.Config // for grpcs; nil: the system's authorities
}

var _ probes.Asker = Asker{}

// Ask asks the server in p.Query, "grpc://host:port" or "grpcs://host:port" for the
// server as a whole, with "/service" behind it for one of its services. The value is
// the latency in seconds, connecting included. NOT_SERVING is crit; no answer is an
// error, as everywhere.
func (a Asker) Ask(ctx context.Context, p state.Probe, _ time.Time) (probes.Reading, error) {
	u, err := url.Parse(p.Query)
	if err != nil || u.Host == "" || u.Scheme != "grpc" && u.Scheme != "grpcs" {
		return probes.Reading{}, &state.Problem{What: fmt.Sprintf("%q is not a gRPC server", p.Query),
			Do: "Write it as grpc://host:port/service", Code: "bad-address"}
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	way := insecure.NewCredentials()
	if u.Scheme == "grpcs" {
		way = credentials.NewTLS(a.TLS)
	}
	// passthrough: the dialer looks the name up, anew for each question.
	conn, err := grpc.NewClient("passthrough:///"+u.Host, grpc.WithTransportCredentials(way), grpc.WithUserAgent("mayday"),
		grpc.WithDisableServiceConfig(), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxBody)))
	if err != nil {
		return probes.Reading{}, fmt.Errorf("%s: %w", p.Query, err)
	}
	defer conn.Close()
	start := time.Now()
	resp, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: strings.TrimPrefix(u.Path, "/")})
	if err != nil {
		return probes.Reading{}, explain(ctx, p.Query, err)
	}
	took := time.Since(start)
	r := probes.Reading{Value: took.Seconds(), Text: resp.Status.String() + " " + took.Round(time.Millisecond).String()}
	if resp.Status != healthpb.HealthCheckResponse_SERVING {
		r.Verdict = state.Crit
	}
	return r, nil
}

// explain says what a failed question means.
func explain(ctx context.Context, query string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: no answer: %w", query, ctx.Err())
	}
	s := status.Convert(err)
	p := &state.Problem{What: query + " got no answer", Why: state.Clean(s.Message()), Code: "no-answer"}
	switch s.Code() {
	case codes.Unimplemented:
		p.What, p.Do = query+" does not offer the health service", "Register grpc.health.v1.Health in the server, or probe it by tcp"
	case codes.NotFound:
		p.What, p.Do = query+" does not know that service", "Correct grpc.service in the runbook"
	case codes.Unavailable:
		p.Do = "Is the service down, or a port-forward or VPN on this side? Is tls as the server wants it?"
	case codes.Unauthenticated, codes.PermissionDenied:
		p.What, p.Do = query+" does not let mayday in", "Let the health service be asked without credentials"
	default:
		p.What = query + " answered with an error"
		p.Why = s.Code().String() + ": " + p.Why
	}
	return p
}
