package kube

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"mayday/state"
)

// soon is how long credentials must last at least for a proof to be sure of them.
const soon = 30 * time.Minute

// credentials knows until when the connection may be used, as far as what it sends
// says so.
type credentials struct {
	renews   string // who renews them without anybody's help; "" if nobody does
	certData []byte
	certFile string

	mu    sync.Mutex
	token string // the last one sent
}

// watchCredentials makes cfg tell which credentials it uses.
func watchCredentials(cfg *rest.Config) *credentials {
	c := &credentials{certData: cfg.CertData, certFile: cfg.CertFile}
	switch {
	case cfg.ExecProvider != nil:
		c.renews = "the plugin " + state.Clean(cfg.ExecProvider.Command)
	case cfg.BearerTokenFile != "":
		c.renews = "whoever writes " + state.Clean(cfg.BearerTokenFile)
	case cfg.AuthProvider != nil:
		c.renews = "the " + state.Clean(cfg.AuthProvider.Name) + " provider"
	}
	// Next to the wire: whatever provides the token has set the header by then.
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return noting{next, c} })
	return c
}

type noting struct {
	next http.RoundTripper
	c    *credentials
}

// RoundTrip implements http.RoundTripper.
func (n noting) RoundTrip(r *http.Request) (*http.Response, error) {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		n.c.mu.Lock()
		n.c.token = token
		n.c.mu.Unlock()
	}
	return n.next.RoundTrip(r)
}

// until says when the credentials expire; false where they do not say. kind is what
// expires, for a person.
func (c *credentials) until() (at time.Time, kind string, known bool) {
	c.mu.Lock()
	token := c.token
	c.mu.Unlock()
	if at, ok := tokenEnd(token); ok {
		return at, "token", true
	}
	raw := c.certData
	if len(raw) == 0 && c.certFile != "" && token == "" {
		raw, _ = os.ReadFile(c.certFile) // unreadable: the client would have refused it
	}
	if block, _ := pem.Decode(raw); block != nil && token == "" {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			return cert.NotAfter, "client certificate", true
		}
	}
	return time.Time{}, "", false
}

// tokenEnd reads the expiry of a JSON web token. Nobody verifies it here: the server
// does that, this only warns.
func tokenEnd(token string) (time.Time, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}, false
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if json.Unmarshal(raw, &claims) != nil || claims.Exp <= 0 {
		return time.Time{}, false
	}
	return time.Unix(int64(claims.Exp), 0), true
}

// credentials says how long the rollback may rely on what mayday is logged in with.
func (r *run) credentials() check {
	return func(context.Context) (finding, error) { return r.c.credentials.finding(time.Now()), nil }
}

func (c *credentials) finding(now time.Time) finding {
	const name = "credentials"
	at, kind, known := c.until()
	if !known {
		if c.renews != "" {
			return yes(name, "renewed by "+c.renews)
		}
		return yes(name, "do not say when they expire")
	}
	left := at.Sub(now)
	text := fmt.Sprintf("the %s expires at %s, in %s", kind, at.UTC().Format("15:04:05 UTC on 2 Jan"), state.Duration(left.Truncate(time.Second)))
	switch {
	case c.renews != "":
		return yes(name, text+"; "+c.renews+" renews it")
	case left <= 0:
		return no(name, state.Doubtful, fmt.Errorf("the %s expired at %s: log in again in another shell", kind, at.UTC().Format("15:04:05 UTC on 2 Jan")))
	case left < soon:
		return no(name, state.Doubtful, fmt.Errorf("%s: log in again in another shell before that", text))
	}
	return yes(name, text)
}
