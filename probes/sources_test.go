package probes_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mayday/probes"
	"mayday/probes/health"
	"mayday/probes/local"
	"mayday/probes/probetest"
	"mayday/probes/prom"
	"mayday/state"
)

// Manners in which the ward answers.
const (
	well  = "well"
	hangs = "hangs" // takes the question and says nothing
	half  = "half"  // begins to answer, and then says nothing
	drips = "drips" // answers without end, a little at a time
	flood = "flood" // answers a gigabyte
	lines = "lines" // answers a page that is just short enough, and nothing but lines
)

// ward serves on loopback all that is asked by HTTP: a page, Prometheus' API and pages of
// metrics. The question says how it is answered: "hangs", or "hangs/patient" where
// whoever asks has much patience.
type ward struct {
	mu    sync.Mutex
	asked map[string]int   // by kind and manner: questions that came
	over  map[string][]int // by kind and manner: of those that are over, the bytes that were sent
	news  chan struct{}

	samples []state.Sample
	last    map[string]state.Sample // by probe: what is not of the past
}

// ServeHTTP implements http.Handler.
func (s *ward) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, manner := "http", strings.TrimPrefix(r.URL.Path, "/")
	if strings.HasPrefix(r.URL.Path, "/api/v1/query") {
		kind, manner = "prometheus", r.FormValue("query")
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/metrics/"); ok {
		kind, manner = "scrape", name
	}
	key := kind + " " + manner
	s.tell(func() { s.asked[key]++ })
	sent := 0
	if manner == well {
		sent, _ = fmt.Fprint(w, map[string]string{"http": "fine", "scrape": "a 1\n",
			"prometheus": `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}`}[kind])
	} else {
		manner, _, _ = strings.Cut(manner, "/")
		sent = trouble(w, r, manner)
	}
	s.tell(func() { s.over[key] = append(s.over[key], sent) })
}

func (s *ward) tell(what func()) {
	s.mu.Lock()
	what()
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// until waits for what questions bring about.
func (s *ward) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.After(2 * time.Minute); ; {
		s.mu.Lock()
		done := ok()
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-s.news:
		case <-deadline:
			s.mu.Lock()
			asked := maps.Clone(s.asked)
			s.mu.Unlock() // who still asks must be answered, or the cleanup never ends
			t.Fatalf("not so: %s; asked %v", what, asked)
		}
	}
}

// trouble answers in one of the bad manners, until the client has gone, and says how
// many bytes it got rid of.
func trouble(w http.ResponseWriter, r *http.Request, manner string) (sent int) {
	switch manner {
	case half:
		sent, _ = fmt.Fprint(w, "a 1\n")
		w.(http.Flusher).Flush()
	case drips:
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for r.Context().Err() == nil {
			n, _ := fmt.Fprint(w, "\n")
			sent += n
			w.(http.Flusher).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
			}
		}
	case flood, lines:
		most := map[string]int{flood: 1 << 30, lines: 15 << 20}[manner]
		block := []byte(strings.Repeat("a_metric_that_goes_on 1\n", 4096))
		for sent < most {
			n, err := w.Write(block)
			if sent += n; err != nil {
				return sent
			}
		}
		return sent
	}
	<-r.Context().Done()
	return sent
}

// all combines kinds and manners.
func all(manners ...string) (out []string) {
	for _, kind := range []string{"http", "prometheus", "scrape"} {
		for _, m := range manners {
			out = append(out, kind+" "+m)
		}
	}
	return out
}

// Through one hub: what hangs, what drips and what answers a gigabyte delays nobody else,
// not even a question to the same server. It is over in bounded time and after a bounded
// part of the answer, and then asked again.
func TestBadSourcesDelayNobody(t *testing.T) {
	s := &ward{asked: map[string]int{}, over: map[string][]int{}, news: make(chan struct{}, 1), last: map[string]state.Sample{}}
	stop := visit(t, s)
	// While the patient wait for what does not come, all others are asked and answered:
	// those that have only to be late for that are never answered in this test's time.
	waiting := all(hangs+"/patient", half+"/patient", drips+"/patient")
	s.until(t, "all the bad are asked", func() bool {
		return !slices.ContainsFunc(waiting, func(key string) bool { return s.asked[key] == 0 })
	})
	s.mu.Lock()
	before := maps.Clone(s.asked)
	s.mu.Unlock()
	s.until(t, "the good are asked again and again", func() bool {
		return !slices.ContainsFunc(all(well), func(key string) bool { return s.asked[key] < before[key]+5 }) &&
			!slices.ContainsFunc(waiting, func(key string) bool { return len(s.over[key]) > 0 })
	})
	s.until(t, "the bad are given up, and asked again", func() bool {
		for _, key := range append(all(hangs, half, drips, flood), "scrape "+lines) {
			if len(s.over[key]) < 2 {
				return false
			}
		}
		return true
	})
	s.until(t, "all targets are down but the one that is well", func() bool { return s.last["second down"].Value == 5 })
	stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range waiting {
		if s.asked[key] != 1 {
			t.Errorf("%s was asked %d times: that proves nothing", key, s.asked[key])
		}
	}
	for key, sent := range s.over {
		// Little more than somebody reads, and the system holds between two sockets.
		if n := slices.Max(sent); n > 100<<20 {
			t.Errorf("%s: %d bytes were sent", key, n)
		}
	}
	judge(t, s.samples)
}

// visit lets a hub and two stores ask the ward in every manner, until they are stopped.
func visit(t *testing.T, s *ward) (stop func()) {
	const (
		quick, patient = time.Second, 10 * time.Minute
		often, seldom  = 100 * time.Millisecond, time.Second
	)
	url := probetest.Serve(t, s)
	web := health.New(health.Options{})
	t.Cleanup(web.Close)
	server, err := prom.New(prom.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	first := store(t, s, patient, often, well, hangs+"/patient", half+"/patient", drips+"/patient")
	second := store(t, s, quick, seldom, well, hangs, half, drips, flood, lines)
	var list []state.Probe
	add := func(kind, name, query string, every, timeout time.Duration) {
		list = append(list, state.Probe{Name: kind + " " + name, Kind: kind, Query: query, Every: state.Duration(every), Timeout: state.Duration(timeout), StaleAt: state.Duration(patient)})
	}
	add("local", well, "a", often, patient)
	add("second", "down", "sum(up == bool 0)", often, patient)
	add(health.Kind, well, url+"/"+well, often, patient)
	add(prom.Kind, well, well, often, patient)
	for _, m := range []string{hangs, half, drips, flood} {
		timeout := quick
		if m == flood {
			timeout = patient
		} else {
			add(health.Kind, m+"/patient", url+"/"+m+"/patient", often, patient)
			add(prom.Kind, m+"/patient", m+"/patient", often, patient)
		}
		add(health.Kind, m, url+"/"+m, seldom, timeout)
		add(prom.Kind, m, m, seldom, timeout)
	}
	h := probes.New(probes.Options{Askers: map[string]probes.Asker{health.Kind: web, prom.Kind: server, "local": first, "second": second}})
	h.Set(list)

	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	running.Go(func() {
		_ = h.Run(ctx, func(xs []state.Sample) {
			s.tell(func() {
				s.samples = append(s.samples, xs...)
				for _, x := range xs {
					if !x.Past {
						s.last[x.Probe] = x
					}
				}
			})
		})
	})
	running.Go(func() { _ = first.Run(ctx) })
	running.Go(func() { _ = second.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

// store scrapes the ward in some manners, each at an address of its own, which is its
// label.
func store(t *testing.T, s *ward, timeout, every time.Duration, manners ...string) *local.Local {
	t.Helper()
	var targets []string
	for _, m := range manners {
		targets = append(targets, probetest.Serve(t, s)+"/metrics/"+m)
	}
	l, err := local.New(local.Options{Targets: targets, Interval: state.Duration(every), Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func judge(t *testing.T, samples []state.Sample) {
	t.Helper()
	type word struct {
		verdict state.Verdict
		text    string
	}
	good, late := word{state.OK, ""}, word{state.Error, "no answer within 1s"}
	want := map[string]word{
		"http well": good, "prometheus well": good, "local well": good, "second down": good,
		"http hangs": late, "http half": late, "http drips": late, "prometheus hangs": late, "prometheus half": late, "prometheus drips": late,
		"http flood":       good, // its first MiB is answer enough
		"prometheus flood": {state.Error, "is larger than 4 MiB"},
	}
	seen := map[string]int{}
	for _, x := range samples {
		w := want[x.Probe]
		if seen[x.Probe]++; x.Verdict != w.verdict || !strings.Contains(x.Text, w.text) {
			t.Errorf("%+v, want %s %q", x, w.verdict, w.text)
		}
	}
	for name := range want {
		if seen[name] == 0 {
			t.Errorf("%s: %d samples", name, seen[name])
		}
	}
}
