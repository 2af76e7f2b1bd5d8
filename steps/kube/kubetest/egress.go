package kubetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// podRange is what kwok gives pods addresses from. Nothing listens there.
var podRange = netip.MustParsePrefix("10.64.0.0/14")

// egressConfig tells the API server to reach nodes, pods and webhooks through the
// egress: the way into a network of which it is no part.
const egressConfig = `apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport: {uds: {udsName: %q}}
`

// egress is the network between the API server and the pods: an HTTP CONNECT proxy
// that leads a pod's pretended address to the server that really answers for it,
// so that the API server's proxies to Services and pods work. What is no pod is
// dialled as it stands.
type egress struct {
	listener net.Listener
	ctx      context.Context // ends the tunnels
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu   sync.Mutex
	pods map[string]map[string]string // by namespace, by pod address: where its server listens
}

// newEgress listens on a Unix socket.
func newEgress(socket string) (*egress, error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	e := &egress{listener: l, pods: map[string]map[string]string{}}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			e.wg.Go(func() { e.tunnel(conn) })
		}
	})
	return e, nil
}

// close ends all tunnels and waits for them.
func (e *egress) close() {
	e.cancel()
	_ = e.listener.Close() // it listens no more either way
	e.wg.Wait()
}

// lead says where the pods of a namespace are served, which it takes over.
func (e *egress) lead(ns string, pods map[string]string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pods[ns] = pods
}

func (e *egress) target(address string) (string, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !podRange.Contains(to.Addr()) {
		return address, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, pods := range e.pods {
		if server := pods[to.Addr().String()]; server != "" {
			return server, nil
		}
	}
	return "", errors.New("nobody serves the pod " + address)
}

// tunnel serves one connection of the API server.
func (e *egress) tunnel(here net.Conn) {
	defer here.Close()
	defer context.AfterFunc(e.ctx, func() { _ = here.Close() })()
	in := bufio.NewReader(here)
	req, err := http.ReadRequest(in)
	if err != nil {
		return // the other side has gone
	}
	there, err := e.dial(req.Host)
	if err != nil {
		_, _ = fmt.Fprintf(here, "HTTP/1.1 502 %s\r\nContent-Length: 0\r\n\r\n", err)
		return
	}
	defer there.Close()
	defer context.AfterFunc(e.ctx, func() { _ = there.Close() })()
	if _, err := io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	// A broken tunnel is for its two ends to see. Where one direction ends, all does.
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(here, there)
		_ = here.Close()
	})
	_, _ = io.Copy(there, in)
	_ = there.Close()
	back.Wait()
}

func (e *egress) dial(address string) (net.Conn, error) {
	address, err := e.target(address)
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(e.ctx, "tcp", address)
}
