package probetest

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Tool gives the path of a program that Debian's package "prometheus" holds. A machine
// without it skips the test, with the reason; where CI is "true" that is a failure.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		const why = "there is no %s on PATH: apt-get install prometheus"
		if os.Getenv("CI") == "true" {
			t.Fatalf(why, name)
		}
		t.Skipf(why, name)
	}
	return path
}

// Prometheus is a real server on loopback.
type Prometheus struct {
	URL     string
	Process *os.Process // to be stopped and continued by a test

	server, dir, address string
	gone                 chan struct{}
}

// Setup is what a server of a test begins with.
type Setup struct {
	Samples string // text in the format of OpenMetrics, with a timestamp at every sample
	Rules   string // a file of rules, evaluated every second
	Web     string // a web configuration file: certificates and passwords
	Targets string // the path of a file_sd file, whose targets are scraped every second
}

// StartPrometheus runs a real server until the test ends.
func StartPrometheus(t testing.TB, s Setup) *Prometheus {
	t.Helper()
	p := &Prometheus{server: Tool(t, "prometheus"), dir: t.TempDir()}
	settings := "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\n"
	if s.Targets != "" {
		settings += fmt.Sprintf("scrape_configs: [{job_name: range, file_sd_configs: [{files: [%q], refresh_interval: 1s}]}]\n", s.Targets)
	}
	for name, text := range map[string]string{"samples": s.Samples + "# EOF\n", "prometheus.yml": settings, "rules.yml": s.Rules, "web.yml": s.Web} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s.Samples != "" {
		p.load(t)
	}
	scheme := "http://"
	if s.Web != "" {
		scheme = "https://"
	}
	for range 3 { // another process may take the port first
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p.address = ln.Addr().String()
		p.URL = scheme + p.address
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		if p.start(t) {
			return p
		}
	}
	t.Fatal("prometheus does not start")
	return nil
}

// load turns the samples into blocks of the server's.
func (p *Prometheus) load(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, Tool(t, "promtool"), "tsdb", "create-blocks-from", "openmetrics", "samples", "data")
	cmd.Dir = p.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("promtool: %v\n%s", err, out)
	}
}

// Kill is kill -9: nothing of the server is left when it returns.
func (p *Prometheus) Kill(t testing.TB) {
	t.Helper()
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.gone
}

// Restart starts a server that was killed again, at its address and with its data.
func (p *Prometheus) Restart(t testing.TB) {
	t.Helper()
	if !p.start(t) {
		t.Fatal("prometheus does not start again")
	}
}

// start runs the server and waits until it serves; false where it ended before.
func (p *Prometheus) start(t testing.TB) bool {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(p.server, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address="+p.address,
		"--web.config.file=web.yml", "--storage.tsdb.retention.time=10y", "--log.level=warn")
	cmd.Dir = p.dir
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { defer close(gone); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // also one that a test has stopped, or killed before
		<-gone
	})
	p.Process, p.gone = cmd.Process, gone
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		select {
		case <-gone:
			t.Logf("prometheus ended: %s", said.Bytes())
			return false
		default:
		}
		if err := ready(p.URL + "/-/ready"); err == nil {
			return true
		} else if time.Now().After(deadline) {
			t.Fatalf("prometheus is not ready: %v", err)
		}
	}
}

// ready asks whether the server serves; one that wants a password does.
func ready(url string) error {
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer tr.CloseIdleConnections()
	c := http.Client{Timeout: 5 * time.Second, Transport: tr}
	resp, err := c.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
