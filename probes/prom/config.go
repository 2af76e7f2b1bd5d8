package prom

import (
	"crypto/tls"
	"net/url"
	"os"
	"strings"

	"github.com/prometheus/common/config"

	"mayday/state"
	"mayday/state/runbook"
)

// HTTPConfig turns the runbook's words into the configuration that Prometheus' own
// tools use. Environment variables are read now and once; files are read by the
// client at each use, so that a token may be renewed under it. A variable that is
// not set is a *state.Problem. nil gives nil.
func HTTPConfig(w *runbook.Web) (*config.HTTPClientConfig, error) {
	if w == nil {
		return nil, nil
	}
	e := &env{}
	c := &config.HTTPClientConfig{FollowRedirects: w.FollowRedirects, EnableHTTP2: w.HTTP2, TLSConfig: tlsConfig(w.TLS)}
	c.ProxyFromEnvironment, c.NoProxy = w.ProxyFromEnvironment, w.NoProxy
	if w.ProxyURL != "" {
		u, err := url.Parse(w.ProxyURL)
		if err != nil {
			return nil, unusable(err)
		}
		c.ProxyURL = config.URL{URL: u}
	}
	if a := w.BasicAuth; a != nil {
		c.BasicAuth = &config.BasicAuth{Username: a.Username, UsernameFile: a.UsernameFile, PasswordFile: a.PasswordFile, Password: e.secret(a.PasswordEnv)}
	}
	if a := w.Authorization; a != nil {
		c.Authorization = &config.Authorization{Type: a.Type, CredentialsFile: a.CredentialsFile, Credentials: e.secret(a.CredentialsEnv)}
	}
	if a := w.OAuth2; a != nil {
		c.OAuth2 = &config.OAuth2{ClientID: a.ClientID, ClientSecretFile: a.ClientSecretFile, ClientSecret: e.secret(a.ClientSecretEnv),
			TokenURL: a.TokenURL, Scopes: a.Scopes, EndpointParams: a.EndpointParams, TLSConfig: tlsConfig(a.TLS)}
	}
	if len(w.Headers) > 0 {
		c.HTTPHeaders = &config.Headers{Headers: map[string]config.Header{}}
		for name, h := range w.Headers {
			out := config.Header{Values: h.Values, Files: h.Files}
			for _, variable := range h.Env {
				out.Secrets = append(out.Secrets, e.secret(variable))
			}
			c.HTTPHeaders.Headers[name] = out
		}
	}
	if e.missing != "" {
		return nil, &state.Problem{
			What: "the environment variable " + e.missing + " is not set", Why: "the runbook takes credentials from it",
			Do: "Set it before mayday starts, or name a file in the runbook", Code: "prometheus-secret",
		}
	}
	if err := c.Validate(); err != nil {
		return nil, unusable(err)
	}
	return c, nil
}

func unusable(err error) error {
	return &state.Problem{What: "the HTTP settings for Prometheus do not work", Why: state.Clean(err.Error()),
		Do: "Correct http in the runbook", Code: "prometheus-http"}
}

// env reads secrets and remembers what is missing.
type env struct{ missing string }

func (e *env) secret(name string) config.Secret {
	if name == "" {
		return ""
	}
	value := os.Getenv(name)
	if value == "" && e.missing == "" {
		e.missing = name
	}
	return config.Secret(value)
}

func tlsConfig(t *runbook.TLS) config.TLSConfig {
	if t == nil {
		return config.TLSConfig{}
	}
	versions := map[string]config.TLSVersion{"TLS10": tls.VersionTLS10, "TLS11": tls.VersionTLS11, "TLS12": tls.VersionTLS12, "TLS13": tls.VersionTLS13}
	return config.TLSConfig{CAFile: t.CAFile, CertFile: t.CertFile, KeyFile: t.KeyFile, ServerName: t.ServerName,
		InsecureSkipVerify: t.InsecureSkipVerify, MinVersion: versions[t.MinVersion]}
}

// Secrets gives the credentials that w names, as they are now, for a redactor. What
// cannot be read is left out.
func Secrets(w *runbook.Web) []string {
	if w == nil {
		return nil
	}
	var files, variables []string
	if a := w.BasicAuth; a != nil {
		files, variables = append(files, a.PasswordFile), append(variables, a.PasswordEnv)
	}
	if a := w.Authorization; a != nil {
		files, variables = append(files, a.CredentialsFile), append(variables, a.CredentialsEnv)
	}
	if a := w.OAuth2; a != nil {
		files, variables = append(files, a.ClientSecretFile), append(variables, a.ClientSecretEnv)
	}
	for _, h := range w.Headers {
		files, variables = append(files, h.Files...), append(variables, h.Env...)
	}
	var out []string
	for _, name := range variables {
		if v := os.Getenv(name); v != "" {
			out = append(out, v)
		}
	}
	for _, name := range files {
		if b, err := os.ReadFile(name); name != "" && err == nil {
			out = append(out, strings.TrimSpace(string(b)))
		}
	}
	return out
}
