package kube

import (
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/rest"
)

// TestABrokenConnectionIsNoticed: where the network swallows a connection without a word,
// a rollback gets through on another one within seconds, in fake time.
func TestABrokenConnectionIsNoticed(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		most time.Duration
	}{
		{"as it is", nil, silentFor + signOfLife + time.Second},
		{"as somebody set it", map[string]string{silentVariable: "20", signVariable: "20"}, 41 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			synctest.Test(t, func(t *testing.T) {
				n := newWire()
				srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					_, _ = io.WriteString(w, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":"u-1"}}`)
				}))
				srv.Listener.Close()
				srv.Listener, srv.EnableHTTP2 = n, true
				srv.StartTLS()
				defer srv.Close()
				ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
				cl, err := New(&rest.Config{Host: "https://example.com", TLSClientConfig: rest.TLSClientConfig{CAData: ca}, Dial: n.dial})
				if err != nil {
					t.Fatal(err)
				}
				defer n.cut()
				look := func() error { _, err := cl.get(t.Context(), deployment("shop", "app")); return err }
				if err := look(); err != nil {
					t.Fatal(err)
				}
				n.swallow()
				began := time.Now()
				if err := new(run).insist(t.Context(), look); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > c.most || took < c.most/2 {
					t.Errorf("it took %v, want at most %v", took, c.most)
				}
			})
		})
	}
}

// wire is a network that can swallow what is sent over it. It implements net.Listener.
type wire struct {
	arrived chan net.Conn
	shut    sync.Once
	mu      sync.Mutex
	ends    []*end
}

func newWire() *wire { return &wire{arrived: make(chan net.Conn, 8)} }

func (w *wire) dial(context.Context, string, string) (net.Conn, error) {
	a, b := newEnd(), newEnd()
	a.peer, b.peer = b, a
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends = append(w.ends, a, b)
	w.arrived <- b
	return a, nil
}

// swallow makes nothing arrive any more of what the connections there are carry; new ones
// work.
func (w *wire) swallow() {
	w.each(func(e *end) { e.deaf = true })
}

// cut ends all connections.
func (w *wire) cut() {
	w.each(func(e *end) { e.closed = true })
}

func (w *wire) each(f func(*end)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.ends {
		e.change(f)
	}
}

func (w *wire) Accept() (net.Conn, error) {
	c, ok := <-w.arrived
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (w *wire) Close() error   { w.shut.Do(func() { close(w.arrived) }); return nil }
func (w *wire) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

// end is one of the two of a connection.
type end struct {
	peer   *end
	cond   *sync.Cond
	in     bytes.Buffer
	closed bool
	deaf   bool
}

func newEnd() *end { return &end{cond: sync.NewCond(new(sync.Mutex))} }

func (e *end) change(f func(*end)) {
	e.cond.L.Lock()
	defer e.cond.L.Unlock()
	f(e)
	e.cond.Broadcast()
}

func (e *end) Read(p []byte) (int, error) {
	e.cond.L.Lock()
	defer e.cond.L.Unlock()
	for e.in.Len() == 0 && !e.closed {
		e.cond.Wait()
	}
	return e.in.Read(p)
}

func (e *end) Write(p []byte) (int, error) {
	e.peer.change(func(o *end) {
		if !o.deaf {
			o.in.Write(p)
		}
	})
	return len(p), nil
}

func (e *end) Close() error {
	shut := func(o *end) { o.closed = o.closed || o == e || !o.deaf }
	e.change(shut)
	e.peer.change(shut)
	return nil
}

func (*end) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }
func (*end) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }
func (*end) SetDeadline(time.Time) error      { return nil }
func (*end) SetReadDeadline(time.Time) error  { return nil }
func (*end) SetWriteDeadline(time.Time) error { return nil }
