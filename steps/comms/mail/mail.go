// Package mail sends messages by SMTP, over TLS always: STARTTLS, or TLS from the
// first byte. Messages of one incident are one thread. The word of the review meeting is
// an invitation.
//
// Protocols: RFC 5321, 3207 (STARTTLS), 4954 (AUTH), 5322, 6047 (invitations).
package mail

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	netmail "net/mail"
	"net/textproto"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/comms"
)

// Kind is the word for it in a runbook.
const Kind = "mail"

const (
	patience   = 10 * time.Second // for the whole conversation, real time
	maxBody    = 1 << 20          // bytes; servers take ten times as much
	maxSubject = 200              // characters
)

type channel struct{ c runbook.Channel }

// New makes a channel of an entry that has a mail section.
func New(c runbook.Channel) (comms.Channel, error) { return &channel{c}, nil }

// Send mails to everybody of the entry in one conversation. The Message-ID is made of
// the letter's key, so that a mailbox that has it shows it once.
func (s *channel) Send(ctx context.Context, l comms.Letter) (string, error) {
	m, err := s.render(l)
	if err != nil {
		return "", comms.Refused(s.c.Name, err.Error(), true)
	}
	return "", s.talk(ctx, func(c *mail.Client) error { return c.Send(m) })
}

// Reach greets the server and logs in.
func (s *channel) Reach(ctx context.Context) (string, error) {
	if err := s.talk(ctx, func(*mail.Client) error { return nil }); err != nil {
		return "", err
	}
	if s.c.Mail.User == "" {
		return "its server answers, over TLS", nil
	}
	return "its server takes the password, over TLS", nil
}

// Secrets implements comms.Channel.
func (s *channel) Secrets() []string {
	if pw, err := s.password(); err == nil && pw != "" {
		return []string{pw}
	}
	return nil
}

func (s *channel) password() (string, error) {
	m := s.c.Mail
	if m.User == "" {
		return "", nil
	}
	return comms.Secret(s.c.Name, "password", m.PasswordEnv, m.PasswordFile)
}

// talk dials, does something, and says goodbye.
func (s *channel) talk(ctx context.Context, do func(*mail.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := s.client(ctx)
	if err != nil {
		return err
	}
	if err := c.DialWithContext(ctx); err != nil {
		return s.sort(ctx, err)
	}
	err = do(c)
	if quit := c.Close(); err == nil && quit != nil && ctx.Err() != nil {
		err = quit
	}
	return s.sort(ctx, err)
}

func (s *channel) client(ctx context.Context) (*mail.Client, error) {
	m := s.c.Mail
	password, err := s.password()
	if err != nil {
		return nil, err
	}
	conf, err := trust(m)
	if err != nil {
		return nil, comms.Refused(s.c.Name, err.Error(), true)
	}
	left := patience
	if end, ok := ctx.Deadline(); ok {
		left = time.Until(end)
	}
	options := []mail.Option{mail.WithPort(m.Port), mail.WithTimeout(max(left, time.Millisecond)), mail.WithTLSConfig(conf)}
	if m.TLS == "implicit" {
		options = append(options, mail.WithSSL())
	} else {
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory), mail.WithDialContextFunc(func(dial context.Context, network, address string) (net.Conn, error) {
			return bounded(ctx, dial, network, address)
		}))
	}
	if m.User != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(m.User), mail.WithPassword(password))
	}
	c, err := mail.NewClient(m.Host, options...)
	if err != nil {
		return nil, comms.Refused(s.c.Name, err.Error(), true)
	}
	return c, nil
}

// bounded dials a connection that ends when ctx does: go-mail's commands take none.
// With implicit TLS go-mail must dial itself, or it would not know that it may log in;
// there only its time-out bounds them.
func bounded(ctx, dial context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(dial, network, address)
	if err == nil {
		context.AfterFunc(ctx, func() { _ = conn.Close() }) // ctx always ends: talk made it
	}
	return conn, err
}

func trust(m *runbook.Mail) (*tls.Config, error) {
	conf := &tls.Config{ServerName: m.Host, MinVersion: tls.VersionTLS12}
	if m.CAFile == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(m.CAFile)
	if err != nil {
		return nil, err
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New(m.CAFile + " holds no certificate")
	}
	return conf, nil
}

// unfit are the characters that a Message-ID should not hold.
var unfit = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

func id(s string) string { return unfit.ReplaceAllString(s, ".") + "@mayday" }

// render writes the mail. Header fields are one clean line each, whatever was typed.
func (s *channel) render(l comms.Letter) (*mail.Msg, error) {
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := m.From(s.c.Mail.From); err != nil {
		return nil, err
	}
	if err := m.To(s.c.Mail.To...); err != nil {
		return nil, err
	}
	title, _ := l.First()
	subject := []rune(state.Clean(cmp.Or(title, l.Incident.Title)))
	m.Subject(string(subject[:min(len(subject), maxSubject)]) + " [" + state.Clean(l.Incident.ID) + "]")
	m.SetMessageIDWithValue(id(l.Key))
	m.SetGenHeader("References", "<"+id(l.Incident.ID)+">")
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetDateWithValue(l.Message.Queued)
	m.SetBodyString(mail.TypeTextPlain, comms.Fit(l.Message.Text, maxBody))
	if l.Message.Purpose == "meeting" {
		return m, invite(m, l.Incident)
	}
	return m, nil
}

// invite makes the mail an invitation (RFC 6047): to its guests too, with the calendar's
// part beside the text, and as a file for those whose program shows no such parts.
func invite(m *mail.Msg, in *state.Incident) error {
	cal := comms.Invitation(in)
	if cal == nil {
		return nil // none is planned any more
	}
	for _, g := range in.Review.Guests {
		m.AddToMailAddress(&netmail.Address{Name: state.Clean(g.Name), Address: g.Mail})
	}
	method := "PUBLISH"
	if len(in.Review.Guests) > 0 {
		method = "REQUEST"
	}
	m.AddAlternativeString(mail.ContentType("text/calendar; method="+method), string(cal))
	return m.AttachReader(comms.InvitationName, bytes.NewReader(cal), mail.WithFileContentType("application/ics"))
}

// sort makes a failure of what the server said: 5xx is for ever, but for a login that
// an operator may put right there is no other try either.
func (s *channel) sort(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return comms.Unreached(s.c.Name, "no answer in time: "+ctx.Err().Error())
	}
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		return comms.Refused(s.c.Name, answer.Error(), answer.Code >= 500)
	}
	if sent, ok := errors.AsType[*mail.SendError](err); ok && sent.ErrorCode() > 0 {
		return comms.Refused(s.c.Name, strings.ReplaceAll(sent.Error(), "\n", " "), !sent.IsTemp())
	}
	return comms.Unreached(s.c.Name, err.Error())
}
