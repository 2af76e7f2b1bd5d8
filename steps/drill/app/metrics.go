package app

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"mayday/state"
)

// metrics is one pod's registry. Requests and latencies are what the pod really
// did. CPU and memory are a model: pods of the range share one process, so each
// claims an idle part and a part for every request, in incident time so that a
// faster clock shows the same load.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	logins   *prometheus.CounterVec
	registry *prometheus.Registry
	load     *load
}

var buckets = []float64{.005, .01, .025, .05, .075, .1, .125, .15, .175, .2, .25, .3, .4, .5, .6, .7, .8, .9, 1, 1.25, 1.5, 2, 3, 5}

func newMetrics(version string, clock state.Clock) *metrics {
	labels := prometheus.Labels{"version": version}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_requests_total",
			Help: "Requests answered.", ConstLabels: labels}, []string{"method", "path", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "http_request_duration_seconds",
			Help: "Time to answer.", ConstLabels: labels, Buckets: buckets}, []string{"path"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "login_attempts_total",
			Help: "Logins with the right password, by result.", ConstLabels: labels}, []string{"result"}),
		registry: prometheus.NewRegistry(),
		load:     newLoad(clock, time.Now()),
	}
	// Series that exist from the start make rates of rare events right.
	m.logins.WithLabelValues("ok")
	m.logins.WithLabelValues("error")
	m.requests.WithLabelValues("POST", "/api/login", "200")
	m.requests.WithLabelValues("POST", "/api/login", "500")
	m.registry.MustRegister(m.requests, m.duration, m.logins, m.load)
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{DisableCompression: true})
}

func (m *metrics) observe(method, path string, code int, took time.Duration) {
	m.requests.WithLabelValues(method, path, strconv.Itoa(code)).Inc()
	m.duration.WithLabelValues(path).Observe(took.Seconds())
}

func (m *metrics) login(result string) { m.logins.WithLabelValues(result).Inc() }

func (m *metrics) busy(n int) { m.load.busy(n) }

func (m *metrics) starved(now time.Time) { m.load.starve(now) }

// The model of a pod's CPU and memory.
const (
	idleCPU    = 0.06      // of a core
	requestCPU = 0.012     // core-seconds a request
	idleMemory = 96 << 20  // bytes
	requestMem = 768 << 10 // bytes a request in flight
	poolSize   = 8         // database connections; more requests than that wait
	starvation = 12        // and so many more while the pool is exhausted
)

// load is the collector of the model.
type load struct {
	clock state.Clock
	cpu   *prometheus.Desc
	mem   *prometheus.Desc
	pool  *prometheus.Desc

	mu     sync.Mutex
	flying int
	count  int       // requests since last
	last   time.Time // real
	used   float64   // CPU seconds
	hungry time.Time // real; when a request last found no connection
}

func newLoad(clock state.Clock, now time.Time) *load {
	return &load{clock: clock, last: now,
		cpu:  prometheus.NewDesc("process_cpu_seconds_total", "CPU time used (modelled, incident time).", nil, nil),
		mem:  prometheus.NewDesc("process_resident_memory_bytes", "Memory in use (modelled).", nil, nil),
		pool: prometheus.NewDesc("app_db_pool_waiting", "Requests that wait for a database connection.", nil, nil)}
}

func (l *load) busy(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flying += n
	if n > 0 {
		l.count++
	}
}

func (l *load) starve(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hungry = now
}

// Describe implements prometheus.Collector.
func (l *load) Describe(ch chan<- *prometheus.Desc) { ch <- l.cpu; ch <- l.mem; ch <- l.pool }

// Collect implements prometheus.Collector.
func (l *load) Collect(ch chan<- prometheus.Metric) {
	cpu, flying, waiting := l.read(time.Now())
	ch <- prometheus.MustNewConstMetric(l.cpu, prometheus.CounterValue, cpu)
	ch <- prometheus.MustNewConstMetric(l.mem, prometheus.GaugeValue, float64(idleMemory+flying*requestMem))
	ch <- prometheus.MustNewConstMetric(l.pool, prometheus.GaugeValue, float64(waiting))
}

// read moves the model on to now.
func (l *load) read(now time.Time) (cpu float64, flying, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting = max(l.flying-poolSize, 0)
	if now.Sub(l.hungry) < 2*time.Second {
		waiting += starvation
	}
	if past := now.Sub(l.last).Seconds(); past > 0 {
		use := min(idleCPU+requestCPU*float64(l.count)/past, 1)
		l.used += use * l.clock.Incident(now.Sub(l.last)).Seconds()
		l.count, l.last = 0, now
	}
	return l.used, l.flying, waiting
}
