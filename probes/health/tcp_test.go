package health

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"mayday/probes"
	"mayday/probes/probetest"
	"mayday/state"
)

// full gives an address whose queue of connections is full: one more hangs.
func full(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
	for range 10 {
		c, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("ten connections, and the queue is not full")
	return ""
}

func bare(url string) string { return strings.TrimPrefix(url, "http://") }

func TestTCPConformance(t *testing.T) {
	probetest.Run(t, func(t *testing.T, w probetest.World) (probetest.Subject, bool) {
		p := state.Probe{Name: "db", Kind: KindTCP}
		switch w {
		case probetest.Well:
			p.Query = bare(probetest.Serve(t, status(200, "")))
		case probetest.Refuses:
			p.Query = bare(probetest.Nobody(t))
		case probetest.Hangs:
			p.Query = full(t)
		default:
			return probetest.Subject{}, false
		}
		return probetest.Subject{Asker: TCP{}, Probe: p}, true
	})
}

// mute accepts connections and says what it is told to, then nothing.
func mute(t *testing.T, says string) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var all []net.Conn
		for {
			c, err := ln.Accept()
			if err != nil {
				break
			}
			fmt.Fprint(c, says)
			all = append(all, c)
		}
		for _, c := range all {
			c.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String()
}

// authority signs certificates for a test.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newAuthority(t *testing.T) *authority {
	a := &authority{pool: x509.NewCertPool()}
	a.key, a.cert, _ = a.sign(t, "authority", 1000*24*time.Hour)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) sign(t *testing.T, name string, left time.Duration) (*ecdsa.PrivateKey, *x509.Certificate, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: noon.Add(-2000 * 24 * time.Hour), NotAfter: noon.Add(left), DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		BasicConstraintsValid: true, IsCA: name == "authority", KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	parent, signer := tmpl, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serve shakes hands with a certificate that is good for so long.
func (a *authority) serve(t *testing.T, left time.Duration, chain ...[]byte) string {
	t.Helper()
	_, _, cert := a.sign(t, "shop", left)
	cert.Certificate = append(cert.Certificate, chain...)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
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
			_ = c.(*tls.Conn).Handshake()
			c.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String()
}

func TestTLSConformance(t *testing.T) {
	a := newAuthority(t)
	probetest.Run(t, func(t *testing.T, w probetest.World) (probetest.Subject, bool) {
		p := state.Probe{Name: "certificate", Kind: KindTLS}
		switch w {
		case probetest.Well:
			p.Query = a.serve(t, 90*24*time.Hour)
		case probetest.Refuses:
			p.Query = bare(probetest.Nobody(t))
		case probetest.Hangs:
			p.Query = mute(t, "")
		case probetest.Garbage, probetest.Escapes:
			p.Query = mute(t, "\x1b[31mSSH-2.0-hello\r\n\r\n")
		default:
			return probetest.Subject{}, false
		}
		return probetest.Subject{Asker: TLS{Roots: a.pool, Now: func() time.Time { return noon }}, Probe: p}, true
	})
}

func TestTLSExpiry(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	_, old, _ := a.sign(t, "intermediate", 5*24*time.Hour)
	warn, crit := 21.0, 7.0
	for name, c := range map[string]struct {
		address string
		want    state.Verdict
		days    float64
		text    string
	}{
		"long":         {a.serve(t, 90*24*time.Hour), state.OK, 90, "expires 2027-02-20"},
		"soon":         {a.serve(t, 36*time.Hour), state.Crit, 1.5, "expires 2026-11-24 00:00"},
		"expired":      {a.serve(t, -24*time.Hour), state.Crit, -1, "expired 2026-11-21"},
		"intermediate": {a.serve(t, 90*24*time.Hour, old.Raw), state.Crit, 5, "intermediate, above it"},
		"stranger":     {stranger.serve(t, 90*24*time.Hour), state.Warn, 90, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			p := state.Probe{Kind: KindTLS, Query: c.address, Below: true, Warn: &warn, Crit: &crit}
			now := time.Now()
			r, err := TLS{Roots: a.pool, Now: func() time.Time { return noon }}.Ask(t.Context(), p, now)
			x := probes.Judge(p, r, err, now, now)
			if x.Verdict != c.want || x.Value != c.days || !strings.Contains(x.Text, c.text) {
				t.Fatalf("%+v", x)
			}
		})
	}
}
