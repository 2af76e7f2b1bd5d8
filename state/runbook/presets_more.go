package runbook

import (
	"strings"

	"mayday/state"
)

// The presets below show the usual exporters' metrics. What a team surely has when it
// asks for the preset counts for gates; what depends on how it is set up is shown.
// Where a metric exists only while something is wrong, its absence counts as 0 only
// beside another that is always there: nothing at all is no data, never health.

// query fills a preset's query in: WINDOW, NAMESPACE.
func (s scope) query(q string) string {
	return strings.NewReplacer("WINDOW", s.window.String(), "NAMESPACE", s.namespace).Replace(q)
}

// kubernetesWorkload watches the service's pods by kube-state-metrics and the kubelet:
// those whose names begin with the service's.
func kubernetesWorkload(s scope) []Probe {
	const pods = `namespace="NAMESPACE",pod=~"{service}.*"`
	return []Probe{
		probeOf("pods unavailable", s.query(`sum(kube_deployment_status_replicas_unavailable{namespace="NAMESPACE",deployment=~"{service}.*"})`), "", state.RoleDisplay, 0),
		probeOf("pods that cannot start", s.query(`sum(kube_pod_container_status_waiting_reason{reason=~"CrashLoopBackOff|ImagePullBackOff|ErrImagePull|CreateContainerConfigError|CreateContainerError|RunContainerError",`+pods+`})`+
			` or 0 * count(kube_pod_info{`+pods+`})`), "", state.RoleAll, 0, 0.5),
		probeOf("restarts in 10m", s.query(`sum(increase(kube_pod_container_status_restarts_total{`+pods+`}[10m]))`), "", state.RoleAll, 0.5, 3),
		probeOf("out of memory in 10m", s.query(`count((kube_pod_container_status_last_terminated_reason{reason="OOMKilled",`+pods+`} == 1) and on (namespace, pod, container) increase(kube_pod_container_status_restarts_total{`+pods+`}[10m]) > 0)`+
			` or 0 * count(kube_pod_info{`+pods+`})`), "", state.RoleDisplay, 0, 1),
		probeOf("cpu of limit", s.query(`sum(rate(container_cpu_usage_seconds_total{container!="",`+pods+`}[WINDOW])) / sum(kube_pod_container_resource_limits{resource="cpu",`+pods+`})`), "ratio", state.RoleDisplay, 0.8, 0.95),
		probeOf("memory of limit", s.query(`max(sum by (pod) (container_memory_working_set_bytes{container!="",`+pods+`}) / sum by (pod) (kube_pod_container_resource_limits{resource="memory",`+pods+`}))`), "ratio", state.RoleDisplay, 0.8, 0.95),
	}
}

// jvm watches Java processes by the names of Micrometer and of Prometheus' own client,
// those whose job holds the service's name.
func jvm(s scope) []Probe {
	const job = `job=~".*{service}.*"`
	return []Probe{
		probeOf("heap", `max(sum by (instance) (jvm_memory_used_bytes{area="heap",`+job+`}) / sum by (instance) (jvm_memory_max_bytes{area="heap",`+job+`} > 0))`, "ratio", state.RoleAll, 0.85, 0.95),
		probeOf("garbage collection", s.query(`max(sum by (instance) (rate({__name__=~"jvm_gc_pause_seconds_sum|jvm_gc_collection_seconds_sum",`+job+`}[WINDOW])))`), "ratio", state.RoleAll, 0.1, 0.3),
		probeOf("threads", `sum({__name__=~"jvm_threads_live_threads|jvm_threads_current",`+job+`})`, "", state.RoleDisplay),
		probeOf("threads blocked", `sum({__name__=~"jvm_threads_states_threads|jvm_threads_state",state=~"(?i)blocked",`+job+`})`, "", state.RoleDisplay, 10, 50),
	}
}

// node watches the machines that node_exporter runs on, the worst of them.
func node(s scope) []Probe {
	return []Probe{
		probeOf("node cpu", s.query(`max(1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[WINDOW])))`), "ratio", state.RoleDisplay, 0.85, 0.95),
		probeOf("node memory", `max(1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)`, "ratio", state.RoleDisplay, 0.85, 0.95),
		probeOf("node disk", `max(1 - node_filesystem_avail_bytes{fstype!~"tmpfs|overlay|squashfs|ramfs|iso9660"} / node_filesystem_size_bytes)`, "ratio", state.RoleDisplay, 0.85, 0.95),
		probeOf("node load per cpu", `max(sum by (instance) (node_load5) / count by (instance) (node_cpu_seconds_total{mode="idle"}))`, "", state.RoleDisplay, 1.5, 4),
	}
}

// postgresPool watches connections: of the service's pool (HikariCP, or Go's
// database/sql), else of the server (postgres_exporter); and who waits for one.
func postgresPool(scope) []Probe {
	const (
		job    = `job=~".*{service}.*"`
		server = `max(sum by (instance) (pg_stat_activity_count) / max by (instance) (pg_settings_max_connections))`
	)
	out := []Probe{
		probeOf("connection pool", `max(hikaricp_connections_active{`+job+`} / hikaricp_connections_max{`+job+`})`+
			` or max(go_sql_in_use_connections{`+job+`} / (go_sql_max_open_connections{`+job+`} > 0)) or `+server, "ratio", state.RoleAll, 0.8, 0.95),
		probeOf("waiting for a connection", `sum(hikaricp_connections_pending{`+job+`}) or sum(pgbouncer_pools_client_waiting_connections)`, "", state.RoleDisplay, 0, 10),
		probeOf("postgres connections", server, "ratio", state.RoleDisplay, 0.8, 0.95),
		probeOf("postgres deadlocks in 10m", `sum(increase(pg_stat_database_deadlocks[10m]))`, "", state.RoleDisplay, 0, 5),
	}
	for i := range 3 {
		out[i].Covers = "connections"
	}
	return out
}
