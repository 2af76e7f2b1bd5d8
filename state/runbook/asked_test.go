package runbook

import (
	"cmp"
	"reflect"
	"strings"
	"testing"
	"time"

	"mayday/state"
)

// TestAsked compares what the file says of a probe with what is asked.
func TestAsked(t *testing.T) {
	rb := parseOK(t, `
service: shop
environments: {production: {image: "shop:{version}", url: "https://shop.example.com", canary: {stable: app-stable, canary: app-canary, route: VirtualService/app}}}
prometheus: http://prometheus
probes:
  - {name: query, query: 'up{v="{new}"}'}
  - {name: http, http: {path: /version, method: post, status: 201, contains: "{new}", json: {"v[0]": "{new}"}}}
  - {name: pods, rollout: deployment/app}
  - {name: ready, pods: "app=shop,version={new}", below: true, crit: 0.5}
  - {name: restarts, restarts: "app=shop"}
  - {name: warnings, events: "Pod/{service}-", crit: 2}
  - {name: weight, weight: {seen: 'share{v="{new}"}'}}
  - {name: tcp, tcp: "db:5432", warn: 0.1}
  - {name: tls, tls: "shop.example.com:443"}
  - {name: tls limits, tls: "[::1]:443", crit: 3, unit: d}
  - {name: grpc, grpc: {address: "pay:9000", service: "shop.Pay", tls: true}}
  - {name: grpc server, grpc: {address: "pay:9000"}}
  - {name: dns, dns: {name: "{service}.example.com", resolvers: [9.9.9.9, "10.0.0.1:5353"], want: [203.0.113.7]}, below: true, crit: 0.5}
  - {name: command, command: [./check, "{new}"], warn: 1}
  - {name: log, log: {file: log/app.log, pattern: panic}}
  - {name: pods log, log: {pods: "app=shop,version={new}", container: app, pattern: ERROR}}
  - {name: alerts, alerts: {from: prometheus, match: {version: "{new}", severity: "critical|page"}}}
  - {name: manager, alerts: {from: alertmanager}, crit: 2}
  - {name: rules, rules: {file: rules/shop.yml, match: {severity: critical}}}
  - {name: relative, query: errors, warn: "< 0.01", crit: "<1.2 x baseline + 0.01", for: 30s, compare: {with: query, by: rank, alpha: 0.05}}
  - {name: share, query: up, crit: "> .8 x baseline"}
  - {name: worst, query: errors, series: any}
  - {name: zones, query: errors, series: by zone}
  - {name: versions, query: errors, series: by version, role: new}
alertmanager: https://alertmanager.example.com
`)
	every, stale := 5*second, state.Duration(15*time.Second)
	fifth, warn, crit, three, half, one, none, two, hundredth := 0.1, 21.0, 7.0, 3.0, 0.5, 1.0, 0.0, 2.0, 0.01
	want := []state.Probe{
		{Name: "query", Kind: "prometheus", Query: `up{v="v2"}`},
		{Name: "http", Kind: "http", Query: "https://shop.example.com/version", Method: "POST", Status: 201, Covers: "health", Contains: "v2", Unit: "s", JSON: map[string]string{"v[0]": "v2"}},
		{Name: "pods", Kind: "rollout", Query: "deployment/app"},
		{Name: "ready", Kind: "pods", Query: "app=shop,version=v2", Unit: "ratio", Below: true, Crit: &half},
		{Name: "restarts", Kind: "restarts", Query: "app=shop", Unit: "restarts", Warn: &none},
		{Name: "warnings", Kind: "events", Query: "Pod/shop-", Unit: "warnings", Crit: &two},
		{Name: "weight", Kind: "weight", Query: `share{v="v2"}`, Want: []string{"VirtualService/app", "app-canary"}, Unit: "ratio", Warn: &fifth},
		{Name: "tcp", Kind: "tcp", Query: "db:5432", Unit: "s", Warn: &fifth},
		{Name: "tls", Kind: "tls", Query: "shop.example.com:443", Unit: "days", Below: true, Warn: &warn, Crit: &crit},
		{Name: "tls limits", Kind: "tls", Query: "[::1]:443", Unit: "d", Below: true, Crit: &three},
		{Name: "grpc", Kind: "grpc", Query: "grpcs://pay:9000/shop.Pay", Unit: "s"},
		{Name: "grpc server", Kind: "grpc", Query: "grpc://pay:9000", Unit: "s"},
		{Name: "dns", Kind: "dns", Query: "A shop.example.com @9.9.9.9 @10.0.0.1:5353", Want: []string{"203.0.113.7"}, Unit: "ratio", Below: true, Crit: &half},
		{Name: "command", Kind: "command", Query: "./check v2", Args: []string{"./check", "v2"}, Env: []string{"ENVIRONMENT=production", "VERSION=v2", "PREVIOUS_VERSION=v1"}, Warn: &one},
		{Name: "log", Kind: "log", Query: "/srv/shop/log/app.log", Pattern: "panic", Unit: "lines"},
		{Name: "pods log", Kind: "pod-log", Query: "app=shop,version=v2", Container: "app", Pattern: "ERROR", Unit: "lines"},
		{Name: "alerts", Kind: "alerts", Query: `{severity=~"critical|page",version=~"v2"}`, Unit: "alerts", Warn: &none},
		{Name: "manager", Kind: "alertmanager", Query: "{}", Unit: "alerts", Crit: &two},
		{Name: "rules", Kind: "rules", Query: "/srv/shop/rules/shop.yml", Pattern: `{severity=~"critical"}`, Unit: "alerts", Warn: &none},
		{Name: "relative", Kind: "prometheus", Query: "errors", Warn: &hundredth, CritTo: &state.Relative{Times: 1.2, Plus: 0.01}, For: 30 * second,
			Compare: "query", Rank: &state.Rank{Alpha: 0.05, Effect: state.RankEffect}},
		{Name: "share", Kind: "prometheus", Query: "up", Below: true, CritTo: &state.Relative{Times: 0.8}},
		{Name: "worst", Kind: "prometheus", Query: "errors", Series: state.SeveralAny},
		{Name: "zones", Kind: "prometheus", Query: "errors", By: "zone"},
		{Name: "versions", Kind: "prometheus", Query: "errors", By: "version", New: "v2", Old: "v1", Role: state.RoleNew},
	}
	fill := strings.NewReplacer("{new}", "v2", "{old}", "v1", "{service}", "shop").Replace
	for i, p := range rb.Probes {
		want[i].Every, want[i].Timeout, want[i].StaleAt, want[i].Role = every, every, stale, cmp.Or(want[i].Role, state.RoleAll)
		if got := p.Asked(fill, "https://shop.example.com/"); !reflect.DeepEqual(got, want[i]) {
			t.Errorf("%s:\n%+v\n%+v", p.Name, got, want[i])
		}
	}
}

// How often a server scrapes is known only where the runbook says so.
func TestScrapeInterval(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"prometheus: http://p":                       0,
		"prometheus: {url: http://p, interval: 15s}": 15 * time.Second,
		"prometheus: local":                          5 * time.Second,
	} {
		if got := parseOK(t, "service: shop\n"+text).Prometheus.Interval.D(); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	for _, bad := range []string{"{url: http://p, interval: 0s}", "{local: true, interval: 0s}"} {
		if _, err := Parse("mayday.yaml", []byte("service: shop\nprometheus: "+bad)); err == nil || !strings.Contains(err.Error(), "longer than nothing") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// What a probe covers is a word of a few; an endpoint of the service itself is health,
// and the presets say it of theirs.
func TestCovers(t *testing.T) {
	rb := parseOK(t, `
service: shop
environments: {production: {image: "shop:{version}", url: "https://shop.example.com"}}
prometheus: http://p
presets: [golden-signals, postgres-pool]
probes:
  - {name: own, http: {path: /health}}
  - {name: partner, http: {path: "https://bank.example.com/up"}, covers: dependencies}
  - {name: other, http: {path: "https://other.example.com/up"}}
`)
	got := map[string]string{}
	for _, p := range rb.Probes {
		got[p.Name] = p.Asked(strings.Clone, "").Covers
	}
	for name, want := range map[string]string{"own": "health", "partner": "dependencies", "other": "", "error rate new": "errors", "p95 latency": "latency",
		"traffic": "", "connection pool": "connections"} {
		if got[name] != want {
			t.Errorf("%s covers %q, want %q", name, got[name], want)
		}
	}
	_, err := Parse("mayday.yaml", []byte("service: x\nprobes: [{name: a, tcp: \"b:1\", covers: sesions}]"))
	if err == nil || !strings.Contains(err.Error(), "did you mean") && !strings.Contains(err.Error(), "sessions") {
		t.Errorf("%v", err)
	}
}

func TestProbesOfTheClusterThatCannotBe(t *testing.T) {
	for probe, want := range map[string]string{
		`events: "("`: "probes[0].events cannot be read", `weight: {}`: "probes[0].weight needs seen",
		`weight: {seen: up}`: "production has no canary with one",
	} {
		_, err := Parse("mayday.yaml", []byte("service: shop\nprometheus: http://p\nenvironments: {production: {image: \"shop:{version}\"}}\nprobes: [{name: a, "+probe+"}]\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", probe, err)
		}
	}
}
