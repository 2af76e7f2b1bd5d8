package local

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mayday/probes/probetest"
	"mayday/probes/prom"
	"mayday/state"
	"mayday/state/runbook"
)

// exported are the metrics of the usual exporters, a scrape every 15 s: $n is the
// number of the scrape.
const exported = `
http_requests_total{version="v2",code="200"} 90*$n
http_requests_total{version="v2",code="500"} 10*$n
http_requests_total{version="v1",code="200"} 100*$n
http_request_duration_seconds_bucket{version="v2",le="0.1"} 100*$n
http_request_duration_seconds_bucket{version="v2",le="+Inf"} 100*$n
kube_deployment_status_replicas_unavailable{namespace="shop",deployment="shop-canary"} 1
kube_pod_info{namespace="shop",pod="shop-1"} 1
kube_pod_info{namespace="other",pod="shop-1"} 1
kube_pod_container_status_waiting_reason{namespace="shop",pod="shop-1",container="app",reason="CrashLoopBackOff"} 1
kube_pod_container_status_waiting_reason{namespace="other",pod="shop-1",container="app",reason="CrashLoopBackOff"} 1
kube_pod_container_status_restarts_total{namespace="shop",pod="shop-1",container="app"} 1*$n
kube_pod_container_status_last_terminated_reason{namespace="shop",pod="shop-1",container="app",reason="OOMKilled"} 1
container_cpu_usage_seconds_total{namespace="shop",pod="shop-1",container="app"} 7.5*$n
kube_pod_container_resource_limits{namespace="shop",pod="shop-1",container="app",resource="cpu"} 2
container_memory_working_set_bytes{namespace="shop",pod="shop-1",container="app"} 3e8
kube_pod_container_resource_limits{namespace="shop",pod="shop-1",container="app",resource="memory"} 4e8
jvm_memory_used_bytes{job="shop",area="heap",id="eden"} 1e8
jvm_memory_used_bytes{job="shop",area="heap",id="old"} 5e8
jvm_memory_max_bytes{job="shop",area="heap",id="eden"} -1
jvm_memory_max_bytes{job="shop",area="heap",id="old"} 1e9
jvm_gc_pause_seconds_sum{job="shop",action="minor"} 3*$n
jvm_threads_live_threads{job="shop"} 42
jvm_threads_states_threads{job="shop",state="blocked"} 5
node_cpu_seconds_total{cpu="0",mode="idle"} 6*$n
node_cpu_seconds_total{cpu="1",mode="idle"} 6*$n
node_memory_MemAvailable_bytes 25
node_memory_MemTotal_bytes 100
node_filesystem_avail_bytes{fstype="ext4",mountpoint="/"} 10
node_filesystem_size_bytes{fstype="ext4",mountpoint="/"} 100
node_filesystem_avail_bytes{fstype="tmpfs",mountpoint="/run"} 0
node_filesystem_size_bytes{fstype="tmpfs",mountpoint="/run"} 100
node_load5 3
hikaricp_connections_active{job="shop",pool="p"} 9
hikaricp_connections_max{job="shop",pool="p"} 10
hikaricp_connections_pending{job="shop",pool="p"} 4
pg_stat_activity_count{datname="shop",state="active"} 30
pg_stat_activity_count{datname="shop",state="idle"} 20
pg_settings_max_connections 100
pg_stat_database_deadlocks{datname="shop"} 1*$n
`

// Twenty minutes of scrapes.
const (
	exports  = 80
	exportBy = 15 * time.Second
)

var exportsBegin = time.Date(2026, 11, 22, 3, 0, 22, 0, time.UTC)

// exporter gives the series of such a text.
func exporter(t *testing.T, text string) (out []metric) {
	t.Helper()
	for line := range strings.Lines(text) {
		series, value, ok := strings.Cut(strings.TrimSuffix(strings.TrimSpace(line), "*$n"), "} ")
		if !ok {
			if series, value, ok = strings.Cut(strings.TrimSpace(line), " "); !ok {
				continue
			}
		}
		var v float64
		if _, err := fmt.Sscan(value, &v); err != nil {
			t.Fatal(line, err)
		}
		grows := strings.Contains(line, "*$n")
		name, ls, _ := strings.Cut(series, "{")
		out = append(out, metric{name, ls, func(n int) (float64, bool) {
			if grows {
				return v * float64(n), true
			}
			return v, true
		}})
	}
	return out
}

// scraped is a Local that has seen the metrics for twenty minutes, until the time given.
func scraped(t *testing.T, text string) (*Local, time.Time) {
	t.Helper()
	l, err := New(Options{Targets: []string{"http://10.0.0.1/metrics"}, Job: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	all := exporter(t, text)
	for n := range exports {
		l.static[0].body.Reset()
		for _, m := range all {
			v, _ := m.at(n)
			fmt.Fprintf(&l.static[0].body, "%s{%s} %v\n", m.name, m.labels, v)
		}
		at := exportsBegin.Add(time.Duration(n) * exportBy).UnixMilli()
		if err := l.append(t.Context(), l.static[0], at); err != nil {
			t.Fatal(err)
		}
		l.newest.Store(at)
	}
	return l, exportsBegin.Add((exports - 1) * exportBy)
}

// preset is what each probe of a preset reads from the exported metrics.
var preset = map[string]map[string]float64{
	"golden-signals":      {"error rate new": 0.1, "error rate old": 0, "error rate": 0.05, "p95 latency new": 0.095, "p95 latency": 0.095, "traffic": 200.0 / 15},
	"kubernetes-workload": {"pods unavailable": 1, "pods that cannot start": 1, "restarts in 10m": 40, "out of memory in 10m": 1, "cpu of limit": 0.25, "memory of limit": 0.75},
	"jvm":                 {"heap": 0.6, "garbage collection": 0.2, "threads": 42, "threads blocked": 5},
	"node":                {"node cpu": 0.6, "node memory": 0.75, "node disk": 0.9, "node load per cpu": 1.5},
	"postgres-pool":       {"connection pool": 0.9, "waiting for a connection": 4, "postgres connections": 0.5, "postgres deadlocks in 10m": 40},
}

// asked gives the probes of a preset as they are asked.
func asked(t *testing.T, name string) (out []state.Probe) {
	t.Helper()
	rb, err := runbook.Parse("/srv/shop/mayday.yaml", []byte(`
service: shop
environments: {production: {namespace: shop, image: "shop:{version}"}}
prometheus: https://prometheus.example.com
presets: [`+name+`]
`))
	if err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("{new}", "v2", "{old}", "v1", "{service}", "shop").Replace
	for i := range rb.Probes {
		out = append(out, rb.Probes[i].Asked(fill, ""))
	}
	return out
}

func near(a, b float64) bool { return math.Abs(a-b) <= 0.001*math.Abs(b)+1e-9 }

// Every probe of every preset reads one number from the metrics that it is made for,
// and no data where there are none.
func TestPresets(t *testing.T) {
	full, at := scraped(t, exported)
	empty, _ := scraped(t, "other 1\n")
	for name, want := range preset {
		all := asked(t, name)
		if len(all) != len(want) {
			t.Errorf("%s: %d probes, %d are known", name, len(all), len(want))
		}
		for _, p := range all {
			r, err := full.Ask(t.Context(), p, at)
			if v := want[p.Name]; err != nil || r.NoData || !near(r.Value, v) {
				t.Errorf("%s: %+v, %v; want %v\n%s", p.Name, r, err, v, p.Query)
			}
			if r, err := empty.Ask(t.Context(), p, at); err != nil || !r.NoData {
				t.Errorf("%s, without metrics: %+v, %v", p.Name, r, err)
			}
			if err := p.Check(); err != nil {
				t.Error(err)
			}
		}
	}
	// Without a pool of the service's own, the server's connections count.
	var bare []string
	for line := range strings.Lines(exported) {
		if !strings.HasPrefix(line, "hikari") && !strings.HasPrefix(line, "kube_pod_container_status_waiting") {
			bare = append(bare, line)
		}
	}
	less, at := scraped(t, strings.Join(bare, ""))
	for name, v := range map[string]float64{"connection pool": 0.5, "pods that cannot start": 0} {
		all := slices.Concat(asked(t, "kubernetes-workload"), asked(t, "postgres-pool"))
		p := all[slices.IndexFunc(all, func(p state.Probe) bool { return p.Name == name })]
		if r, err := less.Ask(t.Context(), p, at); err != nil || r.NoData || r.Value != v {
			t.Errorf("%s: %+v, %v; want %v", p.Name, r, err, v)
		}
	}
}

// The same numbers from a server of Prometheus 2.
func TestPresetsOnARealServer(t *testing.T) {
	text := openMetrics(exporter(t, exported), exports, exportsBegin, exportBy)
	server, err := prom.New(prom.Options{URL: probetest.StartPrometheus(t, probetest.Setup{Samples: text}).URL})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for name, want := range preset {
		for _, p := range asked(t, name) {
			r, err := server.Ask(t.Context(), p, exportsBegin.Add((exports-1)*exportBy))
			if err != nil || r.NoData || !near(r.Value, want[p.Name]) {
				t.Errorf("%s: %+v, %v; want %v\n%s", p.Name, r, err, want[p.Name], p.Query)
			}
			r, err = server.Ask(t.Context(), p, exportsBegin.Add(-time.Hour))
			if err != nil || !r.NoData {
				t.Errorf("%s, before there are metrics: %+v, %v", p.Name, r, err)
			}
		}
	}
}

// Every probe of every preset passes the suite: over metrics, over none, and over those
// that are no numbers.
func TestPresetsConformance(t *testing.T) {
	number := regexp.MustCompile(` [0-9.e-]+(\*\$n)?\n`)
	of := map[probetest.World]*Local{}
	var at time.Time
	for w, text := range map[probetest.World]string{probetest.Well: exported, probetest.Empty: "other 1\n", probetest.NotANum: number.ReplaceAllString(exported, " NaN\n")} {
		of[w], at = scraped(t, text)
	}
	for name := range preset {
		for _, p := range asked(t, name) {
			t.Run(name+"/"+p.Name, func(t *testing.T) {
				probetest.Run(t, func(_ *testing.T, w probetest.World) (probetest.Subject, bool) {
					l := of[w]
					if w == probetest.NotANum && (p.Name == "out of memory in 10m" || strings.HasPrefix(p.Name, "p95")) {
						l = nil // it counts containers, not their values; a bucket's count is a number
					}
					return probetest.Subject{Asker: l, Probe: p, At: at}, l != nil
				})
			})
		}
	}
}
