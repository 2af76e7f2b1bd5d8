package prom

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"mayday/probes"
	"mayday/probes/probetest"
	"mayday/state"
	"mayday/state/runbook"
)

// certificate gives one for 127.0.0.1 and example.com, with its key, as files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	der, err := x509.MarshalPKCS8PrivateKey(srv.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))),
		file(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

// A real server, behind TLS and a password: values, alerts, and what is said while it
// is stopped, and after it is killed.
func TestRealServer(t *testing.T) {
	cert, key := certificate(t)
	now := time.Now()
	// The password is hunter2.
	srv := probetest.StartPrometheus(t, probetest.Setup{
		Samples: fmt.Sprintf("orders{shop=\"a\"} 7 %d\n", now.Add(-time.Minute).Unix()),
		Rules:   "groups:\n- name: g\n  rules:\n  - {alert: Always, expr: vector(1), labels: {severity: critical}}\n  - {alert: Never, expr: vector(1) > 2}\n",
		Web: fmt.Sprintf("tls_server_config: {cert_file: %s, key_file: %s}\nbasic_auth_users: {bob: $2a$04$.QLLVxbSd.wrfx5Okr3HaerNnncjQ7NwaM1dLjqPpMsrqv8y23kIe}\n",
			cert, key),
	})
	a := with(t, srv.URL, runbook.Web{TLS: &runbook.TLS{CAFile: cert}, BasicAuth: &runbook.BasicAuth{Username: "bob", PasswordFile: file(t, "hunter2\n")}})
	p := state.Probe{Name: "orders", Kind: Kind, Query: "sum(orders)"}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) { // it lets in before it is ready
		r, err := a.Ask(t.Context(), p, now)
		if err == nil && r.Value == 7 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	alerts := state.Probe{Name: "alerts", Kind: KindAlerts, Query: `{severity="critical"}`}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		r, err := Alerts{a}.Ask(t.Context(), alerts, now)
		if err != nil {
			t.Fatal(err)
		}
		if r.Value == 1 && r.Text == "Always" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", r)
		}
	}
	stranger := with(t, srv.URL, runbook.Web{TLS: &runbook.TLS{CAFile: cert}, BasicAuth: &runbook.BasicAuth{Username: "bob", PasswordFile: file(t, "wrong")}})
	if _, err := stranger.Ask(t.Context(), p, now); !state.HasCode(err, "prometheus-denied") || strings.Contains(err.Error(), "wrong") {
		t.Fatal(err)
	}
	if err := srv.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	short := p
	short.Timeout = state.Duration(300 * time.Millisecond)
	said := asked(t, a, short)
	for deadline := time.Now().Add(time.Minute); said.Verdict == state.OK && time.Now().Before(deadline); {
		said = asked(t, a, short) // the signal takes effect a moment later
	}
	if err := srv.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if said.Verdict != state.Error || !strings.Contains(said.Text, "deadline exceeded") {
		t.Fatalf("stopped: %+v", said)
	}
	if x := asked(t, a, p); x.Verdict != state.OK || x.Value != 7 {
		t.Fatalf("continued: %+v", x)
	}
	if err := srv.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if x := asked(t, a, p); x.Verdict == state.Error && strings.Contains(x.Text, "cannot be reached") {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("killed: %+v", x)
		}
	}
}

// asked asks within the probe's time-out, a long one by default, and judges.
func asked(t *testing.T, a *Asker, p state.Probe) state.Sample {
	t.Helper()
	if p.Timeout == 0 {
		p.Timeout = state.Duration(20 * time.Second)
	}
	ctx, cancel := context.WithTimeout(t.Context(), p.Timeout.D())
	defer cancel()
	now := time.Now()
	r, err := a.Ask(ctx, p, now)
	return probes.Judge(p, r, err, now, now)
}
