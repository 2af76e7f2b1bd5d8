package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"mayday/probes"
	"mayday/probes/probetest"
	"mayday/state"
)

// serve runs a server with a health service, nil for none, and gives its address.
func serve(t *testing.T, h healthpb.HealthServer, opts ...grpc.ServerOption) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(opts...)
	if h != nil {
		healthpb.RegisterHealthServer(s, h)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(ln) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return ln.Addr().String()
}

// checker answers by a function.
type checker struct {
	healthpb.UnimplementedHealthServer
	f func(ctx context.Context) (*healthpb.HealthCheckResponse, error)
}

func (c checker) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	return c.f(ctx)
}

func failing(code codes.Code, text string) healthpb.HealthServer {
	return checker{f: func(context.Context) (*healthpb.HealthCheckResponse, error) { return nil, status.Error(code, text) }}
}

// raw accepts connections and hands each to f, until the test ends.
func raw(t *testing.T, f func(net.Conn)) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); f(c) }()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String()
}

func TestConformance(t *testing.T) {
	probetest.Run(t, func(t *testing.T, w probetest.World) (probetest.Subject, bool) {
		var address string
		switch w {
		case probetest.Well:
			address = serve(t, health.NewServer())
		case probetest.Hangs:
			address = serve(t, checker{f: func(ctx context.Context) (*healthpb.HealthCheckResponse, error) { <-ctx.Done(); return nil, ctx.Err() }})
		case probetest.Drips:
			// The head of a settings frame, and then its body a byte at a time.
			address = raw(t, func(c net.Conn) {
				_, err := c.Write([]byte{0, 0x3f, 0xfc, 4, 0, 0, 0, 0, 0})
				for err == nil {
					_, err = c.Write([]byte{0})
					time.Sleep(time.Millisecond)
				}
			})
		case probetest.Refuses:
			address = strings.TrimPrefix(probetest.Nobody(t), "http://")
		case probetest.Fails:
			address = serve(t, failing(codes.Internal, "no such luck"))
		case probetest.Escapes:
			address = serve(t, failing(codes.Internal, "\x1b[31mred\x1b]0;t\x07\r\nx"))
		case probetest.Garbage:
			address = raw(t, func(c net.Conn) { fmt.Fprint(c, "\x1b[31mSSH-2.0-hello\r\n\r\n") })
		default:
			return probetest.Subject{}, false
		}
		return probetest.Subject{Asker: Asker{}, Probe: state.Probe{Name: "pay", Kind: Kind, Query: "grpc://" + address}}, true
	})
}

func TestVerdicts(t *testing.T) {
	h := health.NewServer()
	h.SetServingStatus("shop.Pay", healthpb.HealthCheckResponse_SERVING)
	h.SetServingStatus("shop.Search", healthpb.HealthCheckResponse_NOT_SERVING)
	well := serve(t, h)
	for name, c := range map[string]struct {
		query string
		want  state.Verdict
		text  string
	}{
		"server":      {"grpc://" + well, state.OK, "SERVING "},
		"service":     {"grpc://" + well + "/shop.Pay", state.OK, "SERVING "},
		"not serving": {"grpc://" + well + "/shop.Search", state.Crit, "NOT_SERVING "},
		"unknown":     {"grpc://" + well + "/shop.Play", state.Error, "does not know that service"},
		"no health":   {"grpc://" + serve(t, nil), state.Error, "does not offer the health service"},
		"denied":      {"grpc://" + serve(t, failing(codes.Unauthenticated, "who?")), state.Error, "does not let mayday in"},
		"no scheme":   {well, state.Error, "grpc://host:port/service"},
	} {
		t.Run(name, func(t *testing.T) {
			p, now := state.Probe{Kind: Kind, Query: c.query}, time.Now()
			r, err := Asker{}.Ask(t.Context(), p, now)
			if x := probes.Judge(p, r, err, now, now); x.Verdict != c.want || !strings.Contains(x.Text, c.text) {
				t.Fatalf("%+v", x)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	donor := httptest.NewTLSServer(nil) // for its certificate
	defer donor.Close()
	address := serve(t, health.NewServer(), grpc.Creds(credentials.NewServerTLSFromCert(&donor.TLS.Certificates[0])))
	pool := x509.NewCertPool()
	pool.AddCert(donor.Certificate())
	p := state.Probe{Kind: Kind, Query: "grpcs://" + address}
	if r, err := (Asker{TLS: &tls.Config{RootCAs: pool, ServerName: "example.com"}}).Ask(t.Context(), p, time.Now()); err != nil || r.Verdict != "" {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := (Asker{}).Ask(t.Context(), p, time.Now()); !state.HasCode(err, "no-answer") || !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("unknown authority: %v", err)
	}
}
