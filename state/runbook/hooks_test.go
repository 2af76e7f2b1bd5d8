package runbook

import (
	"reflect"
	"testing"
	"time"
)

// TestScriptForms: hooks by name, or one command that deploys any version.
func TestScriptForms(t *testing.T) {
	rb := parseOK(t, `
service: shop
repo: {dir: code}
environments:
  production:
    url: http://shop
    script:
      deploy: [./deploy-rolling.sh, "{version}", --batch-size, "1"]
      monitor: {run: [./monitor-batch.sh], dir: ops}
      next_batch: [./deploy-next-batch.sh]
      rollback: [./rollback.sh]
  staging:
    script: [./deploy-staging.sh, "{version}"]
  other:
    script: {run: [./deploy.sh], timeout: 1h, env: {A: b}}
rollback:
  cache: [./purge.sh]
  cdn: {run: [./cdn.sh], timeout: 5m}
  required: [cdn]
  database: {version: [./migration], compatible: true}
`)
	p, staging, other := rb.Environments["production"].Script, rb.Environments["staging"].Script, rb.Environments["other"].Script
	for what, ok := range map[string]bool{
		"strategy":     rb.Environments["production"].Strategy == "script",
		"arguments":    reflect.DeepEqual(p.Deploy.Run, []string{"./deploy-rolling.sh", "{version}", "--batch-size", "1"}),
		"batches":      p.Batches == 1 && p.Hold.D() == time.Minute && !p.Redeploys,
		"folders":      p.Deploy.Dir == "/srv/shop/code" && p.Monitor.Dir == "/srv/shop/ops" && rb.Rollback.CDN.Dir == "/srv/shop/code",
		"hooks":        len(p.Hooks()) == 4,
		"list":         staging.Redeploys && staging.Rollback == staging.Deploy && staging.Deploy.Run[1] == "{version}" && staging.Hold.D() == time.Minute,
		"one command":  other.Redeploys && other.Deploy.Timeout.D() == time.Hour && other.Rollback.Env["A"] == "b",
		"short hooks":  rb.Rollback.Cache.Timeout.D() == time.Minute && rb.Rollback.CDN.Timeout.D() == 5*time.Minute,
		"watched only": rb.Rollback.Database.Compatible && !rb.Rollback.Database.Undoes() && rb.Rollback.Database.Version.Timeout.D() == 10*time.Minute,
		"grace":        rb.Rollback.Grace.D() == 3*time.Second,
	} {
		if !ok {
			t.Errorf("%s is wrong", what)
		}
	}
}

func TestPlaceholders(t *testing.T) {
	for arg, want := range map[string][]string{
		"{version}":             {"version"},
		"--tag={version}-{x}":   {"version", "x"},
		"awk {print $1} {{a}}":  {"a"},
		"{":                     nil,
		"{}":                    nil,
		`{"json": "{incident}"`: {"incident"},
	} {
		if got := placeholders(arg); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", arg, got, want)
		}
	}
}
