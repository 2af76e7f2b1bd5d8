package runbook

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
)

// Web says how a server is reached over HTTP, under the names that Prometheus gives
// them in its own http_config. A secret never stands in the runbook: it is in a file,
// read again at each use, or in an environment variable, read at the start.
type Web struct {
	BasicAuth            *BasicAuth           `yaml:"basic_auth"`
	Authorization        *Authorization       `yaml:"authorization"`
	OAuth2               *OAuth2              `yaml:"oauth2"`
	TLS                  *TLS                 `yaml:"tls_config"`
	ProxyURL             string               `yaml:"proxy_url"`
	NoProxy              string               `yaml:"no_proxy"`               // hosts that proxy_url is not for, with commas
	ProxyFromEnvironment bool                 `yaml:"proxy_from_environment"` // default: true without proxy_url
	FollowRedirects      bool                 `yaml:"follow_redirects"`       // default true
	HTTP2                bool                 `yaml:"enable_http2"`           // default true
	Headers              map[string]WebHeader `yaml:"http_headers"`           // X-Scope-OrgID: {values: [tenant]}
}

// BasicAuth is a user name with a password.
type BasicAuth struct {
	Username     string `yaml:"username"`
	UsernameFile string `yaml:"username_file"`
	PasswordFile string `yaml:"password_file"`
	PasswordEnv  string `yaml:"password_env"`
}

// Authorization is the header of that name: "Bearer" and a token.
type Authorization struct {
	Type            string `yaml:"type"` // default Bearer
	CredentialsFile string `yaml:"credentials_file"`
	CredentialsEnv  string `yaml:"credentials_env"`
}

// OAuth2 gets tokens by client credentials.
type OAuth2 struct {
	ClientID         string            `yaml:"client_id"`
	ClientSecretFile string            `yaml:"client_secret_file"`
	ClientSecretEnv  string            `yaml:"client_secret_env"`
	TokenURL         string            `yaml:"token_url"`
	Scopes           []string          `yaml:"scopes"`
	EndpointParams   map[string]string `yaml:"endpoint_params"`
	TLS              *TLS              `yaml:"tls_config"` // of the token's server
}

// TLS says whom to trust and who asks.
type TLS struct {
	CAFile             string `yaml:"ca_file"`
	CertFile           string `yaml:"cert_file"`
	KeyFile            string `yaml:"key_file"`
	ServerName         string `yaml:"server_name"`
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify"`
	MinVersion         string `yaml:"min_version"` // TLS10 to TLS13
}

// WebHeader is what a header is set to; several give several lines.
type WebHeader struct {
	Values []string `yaml:"values"`
	Files  []string `yaml:"files"`
	Env    []string `yaml:"env"`
}

var tlsVersions = []string{"TLS10", "TLS11", "TLS12", "TLS13"}

// web makes the paths absolute.
func (r *Runbook) web(b *binder, path string, w *Web) {
	if w == nil {
		return
	}
	if w.ProxyURL == "" && !b.set(path+".proxy_from_environment") {
		w.ProxyFromEnvironment = true
	}
	tls := func(t *TLS) {
		if t != nil {
			t.CAFile, t.CertFile, t.KeyFile = r.abs(t.CAFile, ""), r.abs(t.CertFile, ""), r.abs(t.KeyFile, "")
		}
	}
	tls(w.TLS)
	if a := w.BasicAuth; a != nil {
		a.UsernameFile, a.PasswordFile = r.abs(a.UsernameFile, ""), r.abs(a.PasswordFile, "")
	}
	if a := w.Authorization; a != nil {
		a.CredentialsFile = r.abs(a.CredentialsFile, "")
	}
	if a := w.OAuth2; a != nil {
		a.ClientSecretFile = r.abs(a.ClientSecretFile, "")
		tls(a.TLS)
	}
	for _, h := range w.Headers {
		for i, file := range h.Files {
			h.Files[i] = r.abs(file, "")
		}
	}
}

// server checks where a server is and how it is reached.
func (b *binder) server(path, address string, w *Web) {
	if address != "" {
		b.url(path+".url", address)
		b.noPassword(path+".url", address, path+".http.basic_auth.password_file")
	}
	if w != nil {
		b.web(path+".http", w)
	}
}

// noPassword refuses a secret that stands in an address.
func (b *binder) noPassword(path, address, better string) {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return
	}
	if _, has := u.User.Password(); has {
		b.fail(path, "%s holds a password; a runbook holds none: use %s", path, better)
	}
}

func (b *binder) web(path string, w *Web) {
	var auth []string
	if a := w.BasicAuth; a != nil {
		auth = append(auth, "basic_auth")
		b.one(path+".basic_auth", "username", a.Username, "username_file", a.UsernameFile)
		b.one(path+".basic_auth", "password_file", a.PasswordFile, "password_env", a.PasswordEnv)
	}
	if a := w.Authorization; a != nil {
		auth = append(auth, "authorization")
		b.one(path+".authorization", "credentials_file", a.CredentialsFile, "credentials_env", a.CredentialsEnv)
	}
	if a := w.OAuth2; a != nil {
		auth = append(auth, "oauth2")
		if a.ClientID == "" {
			b.fail(path+".oauth2", "%s.oauth2 needs client_id", path)
		}
		b.one(path+".oauth2", "client_secret_file", a.ClientSecretFile, "client_secret_env", a.ClientSecretEnv)
		b.url(path+".oauth2.token_url", a.TokenURL)
		b.tls(path+".oauth2.tls_config", a.TLS)
	}
	if len(auth) > 1 {
		b.fail(path+"."+auth[1], "%s has both %s and %s; a request has one authorization", path, auth[0], auth[1])
	}
	b.tls(path+".tls_config", w.TLS)
	switch {
	case w.ProxyURL != "":
		b.url(path+".proxy_url", w.ProxyURL)
		b.noPassword(path+".proxy_url", w.ProxyURL, "https_proxy in the environment, with "+path+".proxy_from_environment")
		if w.ProxyFromEnvironment {
			b.fail(path+".proxy_from_environment", "%s has both proxy_url and proxy_from_environment", path)
		}
	case w.NoProxy != "":
		b.fail(path+".no_proxy", "%s.no_proxy needs proxy_url", path)
	}
	for _, name := range slices.Sorted(maps.Keys(w.Headers)) {
		at, h := path+".http_headers."+name, w.Headers[name]
		switch http.CanonicalHeaderKey(name) {
		case "Authorization", "Host", "Content-Length", "Content-Type", "User-Agent", "Connection":
			b.fail(at, "%s cannot be set here%s", at, map[bool]string{true: "; use " + path + ".authorization"}[http.CanonicalHeaderKey(name) == "Authorization"])
		}
		if len(h.Values)+len(h.Files)+len(h.Env) == 0 {
			b.fail(at, "%s needs values, files or env", at)
		}
	}
}

func (b *binder) tls(path string, t *TLS) {
	if t == nil {
		return
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		b.fail(path, "%s needs cert_file and key_file together", path)
	}
	if t.MinVersion != "" {
		b.word(path+".min_version", "TLS version", t.MinVersion, tlsVersions)
	}
}

// one wants exactly one of two keys.
func (b *binder) one(path, key, value, other, otherValue string) {
	switch {
	case value == "" && otherValue == "":
		b.fail(path, "%s needs %s or %s", path, key, other)
	case value != "" && otherValue != "":
		b.fail(path+"."+other, "%s", fmt.Sprintf("%s has both %s and %s", path, key, other))
	}
}
