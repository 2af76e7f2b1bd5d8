package mail

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/comms"
	"mayday/steps/comms/commstest"
)

const password = "geheim-geheim-geheim"

// server is a real SMTP server in this process, behind TLS, with faults.
type server struct {
	t    testing.TB
	addr string
	ca   string // file
	gone chan struct{}

	mu    sync.Mutex
	fault commstest.Fault
	got   []commstest.Got
	raw   []string
}

func serve(t testing.TB, implicit bool) *server {
	s := &server{t: t, fault: commstest.Well, gone: make(chan struct{})}
	cert := s.certificate()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{s: s}, nil }))
	srv.Domain, srv.TLSConfig, srv.MaxMessageBytes, srv.MaxLineLength = "localhost", &tls.Config{Certificates: []tls.Certificate{cert}}, 10<<20, 2000
	srv.ErrorLog = quiet{}
	if implicit {
		l = tls.NewListener(l, srv.TLSConfig)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		close(s.gone)
		_ = srv.Close()
		_ = l.Close() // which Close does not know where Serve has only just begun
		<-done
	})
	return s
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func (s *server) certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.ca = filepath.Join(s.t.TempDir(), "ca.pem")
	if err := os.WriteFile(s.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (s *server) set(f commstest.Fault) { s.mu.Lock(); s.fault = f; s.mu.Unlock() }
func (s *server) now() commstest.Fault  { s.mu.Lock(); defer s.mu.Unlock(); return s.fault }
func (s *server) letters() []commstest.Got {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]commstest.Got(nil), s.got...)
}

type session struct {
	s    *server
	in   bool
	from string
	to   []string
}

func (*session) AuthMechanisms() []string { return []string{sasl.Plain, sasl.Login} }
func (x *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, pw string) error {
		if user != "mayday" || pw != password {
			return smtp.ErrAuthFailed
		}
		x.in = true
		return nil
	}), nil
}

func (x *session) Mail(from string, _ *smtp.MailOptions) error {
	x.from = from
	switch {
	case !x.in:
		return smtp.ErrAuthRequired
	case x.s.now() == commstest.Busy:
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "try again later"}
	case x.s.now() == commstest.Broken:
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "\x1b[2Jno"}
	}
	return nil
}

func (x *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	x.to = append(x.to, to)
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	return nil
}

func (x *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if x.s.now() == commstest.Hangs {
		<-x.s.gone
		return errors.New("gone")
	}
	x.s.take(string(b))
	return nil
}

func (x *session) Reset()        { x.from, x.to = "", nil }
func (x *session) Logout() error { return nil }

// take reads a mail as a reader does.
func (s *server) take(raw string) {
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		s.t.Error(err)
		return
	}
	for name := range m.Header {
		switch name {
		case "From", "To", "Subject", "Message-Id", "References", "Auto-Submitted", "Date", "Mime-Version", "Content-Type", "Content-Transfer-Encoding":
		default:
			s.t.Errorf("a header field %s: %q", name, m.Header[name])
		}
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		s.t.Error(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		s.t.Error(err)
	}
	key := strings.Replace(strings.TrimSuffix(strings.TrimPrefix(m.Header.Get("Message-Id"), "<"), "@mayday>"), ".", "/", 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, commstest.Got{Key: key, Text: subject + "\n" + string(body)})
	s.raw = append(s.raw, raw)
}

func (s *server) channel(change func(*runbook.Mail)) comms.Channel {
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	n, err := net.LookupPort("tcp", port)
	if err != nil {
		s.t.Fatal(err)
	}
	m := &runbook.Mail{Host: host, Port: n, TLS: "starttls", CAFile: s.ca, User: "mayday", PasswordEnv: commstest.SecretEnv, From: "Mayday <mayday@example.com>",
		To: []string{"team@example.com", "Ops <ops@example.com>"}}
	if change != nil {
		change(m)
	}
	c, err := New(runbook.Channel{Name: "ops", Kind: Kind, Mail: m})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func TestConformance(t *testing.T) {
	for tls, implicit := range map[string]bool{"starttls": false, "implicit": true} {
		t.Run(tls, func(t *testing.T) {
			commstest.Run(t, func(t *testing.T) commstest.Rig {
				s := serve(t, implicit)
				deny, unset := commstest.Secret(t, password, "wrong-wrong")
				return commstest.Rig{Channel: s.channel(func(m *runbook.Mail) { m.TLS = tls }), Secret: password, Set: s.set, Deny: deny, Unset: unset, Got: s.letters,
					Cannot: map[string]bool{"rest": true}}
			})
		})
	}
}

func TestHeadersCannotBeInjected(t *testing.T) {
	s := serve(t, false)
	t.Setenv(commstest.SecretEnv, password)
	l := commstest.Letter("m1-0", "first\r\nBcc: everybody@example.com\r\n\r\nbody")
	l.Incident.ID = "INC-1\r\nBcc: x@example.com"
	l.Key = l.Incident.ID + "/m1-0"
	if _, err := s.channel(nil).Send(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	m, err := mail.ReadMessage(strings.NewReader(s.raw[0]))
	if err != nil || m.Header.Get("Bcc") != "" || m.Header.Get("Auto-Submitted") != "auto-generated" || !strings.Contains(m.Header.Get("To"), "ops@example.com") {
		t.Errorf("%v\n%s", err, s.raw[0])
	}
}

func TestOneThread(t *testing.T) {
	s := serve(t, false)
	t.Setenv(commstest.SecretEnv, password)
	c := s.channel(nil)
	for _, id := range []string{"m1-0", "m2-0"} {
		if _, err := c.Send(t.Context(), commstest.Letter(id, "x")); err != nil {
			t.Fatal(err)
		}
	}
	for _, raw := range s.raw {
		if m, err := mail.ReadMessage(strings.NewReader(raw)); err != nil || m.Header.Get("References") != "<INC-20261122-01@mayday>" {
			t.Errorf("%v\n%s", err, raw)
		}
	}
}

// The word of the review is an invitation (RFC 6047): to its guests too, with the
// calendar's part in its method, and the same as a file.
func TestTheReviewIsAnInvitation(t *testing.T) {
	s := serve(t, false)
	t.Setenv(commstest.SecretEnv, password)
	l := commstest.Letter("m9-0", "REVIEW of INC-20261122-01")
	l.Message.Purpose = "meeting"
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	l.Incident.Review = state.Review{At: at, Until: at.Add(time.Hour), Planned: at.Add(-24 * time.Hour), First: at.Add(-24 * time.Hour), Title: "Review: Käufer können nicht zahlen",
		Organizer: state.Guest{Name: "Alice", Mail: "alice@example.com"}, Guests: []state.Guest{{Name: "Alice", Mail: "alice@example.com"}, {Name: `Bob "B" Ö\`, Mail: "bob@example.com"}}}
	if _, err := s.channel(nil).Send(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	m, err := mail.ReadMessage(strings.NewReader(s.raw[0]))
	if err != nil {
		t.Fatal(err)
	}
	to, err := m.Header.AddressList("To")
	var who []string
	for _, a := range to {
		who = append(who, a.Address)
	}
	if err != nil || strings.Join(who, " ") != "team@example.com ops@example.com alice@example.com bob@example.com" {
		t.Errorf("to %v %v", who, err)
	}
	parts := leaves(t, m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body)
	want := string(comms.Invitation(l.Incident))
	if !strings.Contains(parts["text/plain"], "REVIEW of") || parts["text/calendar REQUEST"] != want || parts["application/ics"] != want {
		t.Errorf("parts %q", parts)
	}
}

// leaves gives a mail's parts by their type, and their method where they have one.
func leaves(t *testing.T, kind, encoding string, body io.Reader) map[string]string {
	t.Helper()
	media, params, err := mime.ParseMediaType(kind)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	if !strings.HasPrefix(media, "multipart/") {
		switch encoding {
		case "quoted-printable":
			body = quotedprintable.NewReader(body)
		case "base64":
			body = base64.NewDecoder(base64.StdEncoding, body)
		}
		b, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSpace(media+" "+params["method"])] = string(b)
		return out
	}
	for r := multipart.NewReader(body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range leaves(t, p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p) {
			out[k] = v
		}
	}
}

func TestWhatTheServerRefusesForEver(t *testing.T) {
	s := serve(t, false)
	t.Setenv(commstest.SecretEnv, password)
	for why, change := range map[string]func(*runbook.Mail){
		"no such user":        func(m *runbook.Mail) { m.To = []string{"nobody@example.com"} },
		"no certificate":      func(m *runbook.Mail) { m.CAFile = os.Args[0] },
		"missing.pem":         func(m *runbook.Mail) { m.CAFile = "/nowhere/missing.pem" },
		"mail: no angle-addr": func(m *runbook.Mail) { m.From = "nobody" },
	} {
		_, err := s.channel(change).Send(t.Context(), commstest.Letter("m1-0", "x"))
		if why == "mail: no angle-addr" {
			why = "nobody"
		}
		if !comms.Permanent(err) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func TestNeverWithoutTLS(t *testing.T) {
	// A server that offers no STARTTLS, or whose certificate nobody trusts, gets nothing.
	t.Setenv(commstest.SecretEnv, password)
	s := serve(t, false)
	if _, err := s.channel(func(m *runbook.Mail) { m.CAFile = "" }).Send(t.Context(), commstest.Letter("m1-0", "x")); err == nil {
		t.Error("sent to a server that nobody trusts")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	plain := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{s: s, in: true}, nil }))
	plain.Domain, plain.AllowInsecureAuth, plain.ErrorLog = "localhost", true, quiet{}
	done := make(chan error, 1)
	go func() { done <- plain.Serve(l) }()
	defer func() { _ = plain.Close(); <-done }()
	s.addr = l.Addr().String()
	_, err = s.channel(nil).Send(t.Context(), commstest.Letter("m1-0", "x"))
	if err == nil || !strings.Contains(strings.ToUpper(err.Error()), "STARTTLS") || len(s.letters()) != 0 {
		t.Errorf("%v, %d letters", err, len(s.letters()))
	}
}

func TestNobodyListens(t *testing.T) {
	c, err := New(runbook.Channel{Name: "ops", Kind: Kind, Mail: &runbook.Mail{Host: "127.0.0.1", Port: 1, TLS: "starttls", From: "a@example.com", To: []string{"b@example.com"}}})
	if err != nil {
		t.Fatal(err)
	}
	commstest.Unreached(t, c)
	if _, err := c.Reach(t.Context()); !state.HasCode(err, "unreachable") {
		t.Errorf("%v", err)
	}
}
