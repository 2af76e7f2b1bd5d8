package kube

import (
	"net"
	"net/http"
	"os"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
)

// How long a connection to the API server may be silent, in real time, before it is asked
// for a sign of life, and how long that may take. All requests share one connection: where
// the network has swallowed it without a word (a VPN that fell, a firewall that forgot),
// each of them runs into its callTimeout until the connection is given up, and client-go's
// own 30 and 15 s are most of what a rollback is tried for.
const (
	silentFor  = 5 * time.Second
	signOfLife = 5 * time.Second
)

// The variables by which client-go lets a person set these two.
const (
	silentVariable = "HTTP2_READ_IDLE_TIMEOUT_SECONDS"
	signVariable   = "HTTP2_PING_TIMEOUT_SECONDS"
)

// noticeSilence makes a connection that silently broke be given up soon, unless the
// environment says otherwise. It sets it up for this cluster's transport alone: what the
// process runs inherits its environment.
func noticeSilence(cfg *rest.Config) {
	if cfg.Transport != nil {
		return
	}
	if cfg.Dial == nil {
		// As client-go dials. With a dialer of its own, cfg gets a transport of its own too:
		// one that others share is in use already, and must not be changed.
		cfg.Dial = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	var h2 http.HTTP2Config
	if os.Getenv(silentVariable) == "" {
		h2.SendPingTimeout = silentFor
	}
	if os.Getenv(signVariable) == "" {
		h2.PingTimeout = signOfLife
	}
	cfg.WrapTransport = transport.Wrappers(func(rt http.RoundTripper) http.RoundTripper {
		for inner := rt; inner != nil; {
			switch t := inner.(type) {
			case *http.Transport:
				t.HTTP2 = &h2
				return rt
			case utilnet.RoundTripperWrapper:
				inner = t.WrappedRoundTripper()
			default:
				return rt
			}
		}
		return rt
	}, cfg.WrapTransport)
}
