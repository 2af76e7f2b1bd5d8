// Package router is the practice range's data plane: an HTTP reverse proxy that
// does what a service mesh or gateway would do with the cluster's VirtualService,
// HTTPRoute, Services and EndpointSlices. It is a plain API client, so it routes to
// the pods of any cluster on which a node of package app serves.
package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"mayday/steps/drill/follow"
)

// Options of a router.
type Options struct {
	Config    *rest.Config
	Namespace string
	Route     string // "VirtualService/app", "HTTPRoute/app" or "Service/app"
	Listen    string // default "127.0.0.1:0"
}

// Router serves one route until it is closed. Safe for concurrent use.
type Router struct {
	URL string // "http://127.0.0.1:41234"

	kind, name string
	chooser    chooser
	server     *http.Server
	transport  *http.Transport
	cancel     context.CancelFunc
	wg         sync.WaitGroup

	mu      sync.Mutex
	world   world
	changed chan struct{} // closed and replaced with every change of the table
}

// Start listens and follows the cluster; requests are answered 503 until it knows
// an endpoint. Close ends it.
func Start(ctx context.Context, opts Options) (*Router, error) {
	kind, name, ok := strings.Cut(opts.Route, "/")
	if !ok || kind != "VirtualService" && kind != "HTTPRoute" && kind != "Service" {
		return nil, fmt.Errorf("route %q: write VirtualService/<name>, HTTPRoute/<name> or Service/<name>", opts.Route)
	}
	client, err := follow.Client(opts.Config)
	if err != nil {
		return nil, err
	}
	listen := opts.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &Router{URL: "http://" + l.Addr().String(), kind: kind, name: name, cancel: cancel, changed: make(chan struct{}),
		transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 10 * time.Second,
			DialContext: (&net.Dialer{Timeout: time.Second}).DialContext, DisableCompression: true}}
	r.server = &http.Server{Handler: r.proxy(), ReadHeaderTimeout: 5 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	r.wg.Go(func() { _ = r.server.Serve(l) }) // always http.ErrServerClosed
	r.follow(ctx, client, opts.Namespace)
	return r, nil
}

// Close stops listening and following, and waits for all goroutines.
func (r *Router) Close() {
	r.cancel()
	_ = r.server.Close() // its listener and connections are gone either way
	r.wg.Wait()
	r.transport.CloseIdleConnections()
}

// follow starts one follower for each kind that this route needs.
func (r *Router) follow(ctx context.Context, client dynamic.Interface, ns string) {
	follower(ctx, r, client, ns, follow.Pods, func(w *world, set map[string]*corev1.Pod) { w.pods = set })
	follower(ctx, r, client, ns, follow.Services, func(w *world, set map[string]*corev1.Service) { w.services = set })
	follower(ctx, r, client, ns, follow.EndpointSlices, func(w *world, set map[string]*discoveryv1.EndpointSlice) { w.slices = set })
	switch r.kind {
	case "VirtualService":
		follower(ctx, r, client, ns, follow.VirtualServices, func(w *world, set map[string]*virtualService) { w.virtualServices = set })
		follower(ctx, r, client, ns, follow.DestinationRules, func(w *world, set map[string]*destinationRule) { w.destinationRules = set })
	case "HTTPRoute":
		follower(ctx, r, client, ns, follow.HTTPRoutes, func(w *world, set map[string]*httpRoute) { w.httpRoutes = set })
	}
}

func follower[T any](ctx context.Context, r *Router, client dynamic.Interface, ns string,
	gvr schema.GroupVersionResource, set func(*world, map[string]*T)) {
	r.wg.Go(func() {
		follow.Objects(ctx, client, gvr, ns, func(objects map[string]*T) {
			r.mu.Lock()
			defer r.mu.Unlock()
			set(&r.world, objects)
			var lanes []lane
			for _, d := range r.world.destinations(r.kind, r.name) {
				lanes = append(lanes, lane{destination: d, backends: r.world.backends(d)})
			}
			r.chooser.set(lanes)
			close(r.changed)
			r.changed = make(chan struct{})
		})
	})
}

// Backends gives how many backends each Service of the route has now.
func (r *Router) Backends() map[string]int {
	r.chooser.mu.Lock()
	defer r.chooser.mu.Unlock()
	out := map[string]int{}
	for _, l := range r.chooser.lanes {
		out[l.service] += len(l.backends)
	}
	return out
}

// Wait returns when ready says yes to the number of backends of each Service, or
// when ctx ends.
func (r *Router) Wait(ctx context.Context, ready func(map[string]int) bool) error {
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		if ready(r.Backends()) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *Router) proxy() http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			// The transport chooses the host; until then any will do.
			pr.SetURL(&url.URL{Scheme: "http", Host: "backend"})
			pr.Out.Host = pr.In.Host
			// An empty key is not sent, and lets the transport try again on a fresh
			// connection when a draining pod closes an idle one under a request.
			pr.Out.Header["Idempotency-Key"] = nil
		},
		Transport: (*trip)(r),
		ErrorLog:  log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			code := http.StatusBadGateway
			if errors.Is(err, errNoBackend) {
				code = http.StatusServiceUnavailable
			}
			http.Error(w, err.Error(), code)
		},
	}
}

var errNoBackend = errors.New("no healthy upstream")

// retryable is the largest body that is kept so that another backend can be tried.
const retryable = 64 << 10

// trip sends a request to the backend that the table says, and to the next of the
// same destination where a connection cannot be made: a pod that has just gone.
type trip Router

// RoundTrip implements http.RoundTripper.
func (t *trip) RoundTrip(req *http.Request) (*http.Response, error) {
	backends := t.chooser.pick()
	if len(backends) == 0 {
		return nil, errNoBackend
	}
	if req.Body != nil && req.ContentLength > 0 && req.ContentLength <= retryable {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(body))), nil }
	}
	var err error
	for _, b := range backends {
		try := *req
		u := *req.URL
		u.Host, try.URL = b, &u
		if req.GetBody != nil {
			try.Body, _ = req.GetBody() // never fails: it is a string
		}
		var resp *http.Response
		resp, err = t.transport.RoundTrip(&try)
		if err == nil {
			return resp, nil
		}
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "dial" || req.Body != nil && req.GetBody == nil {
			break
		}
	}
	return nil, err
}
