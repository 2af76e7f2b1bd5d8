package kube

import (
	"context"
	"crypto/rand"
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

	"mayday/state"
)

// bridge gives a loopback URL behind which a pod or a Service of the cluster answers, by
// way of the API server's proxy. path is that proxy's. Only who knows the URL, which
// holds a secret, gets through, and only until stop, which waits. The client's own
// Authorization header stays behind: on that way it would speak to the API server.
func (c *Cluster) bridge(ctx context.Context, path string) (address string, stop func(), err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("listen on loopback: %w", err)
	}
	secret, to := "/"+rand.Text(), c.server.JoinPath(path)
	base := "/" + strings.Trim(to.Path, "/")
	proxy := &httputil.ReverseProxy{
		Transport: c.web,
		ErrorLog:  log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			rest := strings.TrimPrefix(r.In.URL.Path, secret)
			r.Out.URL = &url.URL{Scheme: to.Scheme, Host: to.Host, Path: base + rest, RawQuery: r.In.URL.RawQuery}
			r.Out.Host = ""
			r.Out.Header.Del("Authorization")
		},
		ModifyResponse: func(resp *http.Response) error {
			if at := resp.Header.Get("Location"); strings.HasPrefix(at, base+"/") {
				resp.Header.Set("Location", secret+strings.TrimPrefix(at, base))
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "the API server does not answer: "+state.Clean(err.Error()), http.StatusBadGateway)
		},
	}
	server := &http.Server{ReadHeaderTimeout: callTimeout, ErrorLog: proxy.ErrorLog, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, secret+"/") {
			http.NotFound(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) }) // always http.ErrServerClosed
	return "http://" + l.Addr().String() + secret, func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(end) != nil { // somebody still asks
			_ = server.Close()
		}
		serving.Wait()
	}, nil
}
