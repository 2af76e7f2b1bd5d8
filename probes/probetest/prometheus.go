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
}

// Setup is what a server of a test begins with.
type Setup struct {
	Samples string // text in the format of OpenMetrics, with a timestamp at every sample
	Rules   string // a file of rules, evaluated every second
	Web     string // a web configuration file: certificates and passwords
}

// StartPrometheus runs a real server until the test ends.
func StartPrometheus(t testing.TB, s Setup) *Prometheus {
	t.Helper()
	server, tool := Tool(t, "prometheus"), Tool(t, "promtool")
	dir := t.TempDir()
	in, data := filepath.Join(dir, "samples"), filepath.Join(dir, "data")
	const settings = "global: {scrape_interval: 1h, evaluation_interval: 1s}\nrule_files: [rules.yml]\n"
	for name, text := range map[string]string{in: s.Samples + "# EOF\n", filepath.Join(dir, "prometheus.yml"): settings,
		filepath.Join(dir, "rules.yml"): s.Rules, filepath.Join(dir, "web.yml"): s.Web} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, tool, "tsdb", "create-blocks-from", "openmetrics", in, data).CombinedOutput(); err != nil {
		t.Fatalf("promtool: %v\n%s", err, out)
	}
	for range 3 { // another process may take the port first
		if p := startPrometheus(t, server, dir, s.Web != ""); p != nil {
			return p
		}
	}
	t.Fatal("prometheus does not start")
	return nil
}

func startPrometheus(t testing.TB, server, dir string, web bool) *Prometheus {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(server, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address="+address,
		"--web.config.file=web.yml", "--storage.tsdb.retention.time=10y", "--log.level=warn")
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { defer close(gone); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // also one that a test has stopped
		<-gone
	})
	p := &Prometheus{URL: "http://" + address, Process: cmd.Process}
	if web {
		p.URL = "https://" + address
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		select {
		case <-gone:
			t.Logf("prometheus ended: %s", said.Bytes())
			return nil
		default:
		}
		if err := ready(p.URL + "/-/ready"); err == nil {
			return p
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
