package runbook

import (
	"reflect"
	"strings"
	"testing"
)

func TestHowAServerIsReached(t *testing.T) {
	rb := parseOK(t, `
service: shop
prometheus:
  url: https://mimir.example.com/prometheus
  http:
    basic_auth: {username: bob, password_file: secrets/p}
    tls_config: {ca_file: ca.pem, server_name: mimir, min_version: TLS12}
    http_headers: {X-Scope-OrgID: {values: [team-a], files: [tenant], env: [TENANT]}}
    follow_redirects: false
`)
	want := &Web{BasicAuth: &BasicAuth{Username: "bob", PasswordFile: "/srv/shop/secrets/p"},
		TLS:                  &TLS{CAFile: "/srv/shop/ca.pem", ServerName: "mimir", MinVersion: "TLS12"},
		ProxyFromEnvironment: true, HTTP2: true,
		Headers: map[string]WebHeader{"X-Scope-OrgID": {Values: []string{"team-a"}, Files: []string{"/srv/shop/tenant"}, Env: []string{"TENANT"}}}}
	if !reflect.DeepEqual(rb.Prometheus.HTTP, want) {
		t.Errorf("%+v", rb.Prometheus.HTTP)
	}
}

// A secret that stands in the file by mistake is not printed with the mistake.
func TestMisplacedSecretsAreNotShown(t *testing.T) {
	for _, text := range []string{"password: hunter2", "{credentials: hunter2, x: 1}", `"token": "hunter2"`, "url: https://bob:hunter2@x/y", `{"password":"hunter2"}`} {
		e := &Error{Path: "x", source: []string{text}, Issues: []Issue{{Line: 1, Column: 1, Text: "no"}}}
		if s := e.Error(); strings.Contains(s, "hunter2") {
			t.Errorf("%s", s)
		}
	}
	keep := &Error{source: []string{"basic_auth: {password_file: /run/p, username: bob}"}}
	if s := keep.line(1); s != keep.source[0] {
		t.Error(s)
	}
}
