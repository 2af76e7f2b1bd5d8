package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"mayday/probes"
	"mayday/state"
)

// KindTCP and KindTLS are the kinds of the probes that TCP and TLS ask.
const (
	KindTCP = "tcp"
	KindTLS = "tls"
)

// TCP asks whether somebody accepts connections at p.Query ("host:port"). The value
// is the time to connect in seconds, the look-up of the name included. Safe for
// concurrent use.
type TCP struct{}

var _ probes.Asker = TCP{}

// Ask connects and hangs up.
func (TCP) Ask(ctx context.Context, p state.Probe, _ time.Time) (probes.Reading, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	start := time.Now()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", p.Query)
	if err != nil {
		return probes.Reading{}, unconnected(ctx, p.Query, err)
	}
	took := time.Since(start)
	_ = c.Close() // nothing was written
	return probes.Reading{Value: took.Seconds(), Text: "connected " + round(took)}, nil
}

// patient bounds a question whose context has no time-out of its own.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, patience)
}

// unconnected says why there is no connection. It wraps the context's error where
// that ended the attempt.
func unconnected(ctx context.Context, address string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: no answer: %w", address, ctx.Err())
	}
	return noAnswer(address+" cannot be connected to", err)
}

// noAnswer is what a person is told of a server that did not answer.
func noAnswer(what string, err error) *state.Problem {
	p := &state.Problem{What: what, Why: state.Clean(err.Error()), Code: "no-answer"}
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		p.Why = "connection refused"
		p.Do = "Nothing listens there: is the service down, or a port-forward or VPN on this side?"
	case errors.As(err, &dns):
		p.Do = "The name is not known here: check the address and the VPN"
	case errors.As(err, &cert):
		p.Do = "The certificate is not trusted here: check the address and the authority"
	}
	return p
}

// TLS asks how long the certificates at p.Query ("host:port") are still good. The
// value is the days until the first of those that the server shows expires, negative
// where one has. A certificate that is not trusted here is at least warn: the text
// says why. Safe for concurrent use.
type TLS struct {
	// Roots are the authorities trusted; nil: the system's.
	Roots *x509.CertPool
	// Now is the real time, by which certificates expire; default time.Now.
	Now func() time.Time
}

var _ probes.Asker = TLS{}

// Ask shakes hands and hangs up.
func (a TLS) Ask(ctx context.Context, p state.Probe, _ time.Time) (probes.Reading, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	host, _, err := net.SplitHostPort(p.Query)
	if err != nil {
		return probes.Reading{}, unconnected(ctx, p.Query, err)
	}
	// What is wrong with a certificate is the answer here and must not end the
	// handshake: it is verified below.
	d := tls.Dialer{Config: &tls.Config{ServerName: host, InsecureSkipVerify: true}}
	c, err := d.DialContext(ctx, "tcp", p.Query)
	if err != nil {
		return probes.Reading{}, unconnected(ctx, p.Query, err)
	}
	chain := c.(*tls.Conn).ConnectionState().PeerCertificates
	_ = c.Close() // nothing was written
	return a.judge(host, chain), nil
}

func (a TLS) judge(host string, chain []*x509.Certificate) probes.Reading {
	now := time.Now()
	if a.Now != nil {
		now = a.Now()
	}
	first, others := chain[0], x509.NewCertPool()
	for _, c := range chain[1:] {
		others.AddCert(c)
		if c.NotAfter.Before(first.NotAfter) {
			first = c
		}
	}
	left := first.NotAfter.Sub(now)
	r := probes.Reading{Value: left.Hours() / 24, Text: "expires " + first.NotAfter.UTC().Format("2006-01-02 15:04")}
	if left < 0 {
		r.Text = "expired " + first.NotAfter.UTC().Format("2006-01-02 15:04")
	}
	if first != chain[0] {
		r.Text += " (" + first.Subject.CommonName + ", above it)"
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Roots: a.Roots, Intermediates: others, CurrentTime: now})
	var expired x509.CertificateInvalidError
	if err != nil && (!errors.As(err, &expired) || expired.Reason != x509.Expired || left > 0) {
		r.Verdict = state.Warn
		r.Text += "; " + err.Error()
	}
	return r
}
