package app

import (
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// Accounts are the users that exist; the password of each is Password. The last
// two have no profile: with one load generator that logs all of them in equally
// often, the bug shows in 8 % of the logins.
var Accounts = accounts()

// Password opens every account of the range.
const Password = "correct-horse"

// Bare is an account without a profile: its login is what v1.2.3 fails.
const Bare = "dora@example.com"

func accounts() []string {
	names := strings.Fields("ada ben cleo dan eva finn gil hana ivo jun kai lea max nia otto pia " +
		"quin rosa sam tess uma vera will dora emil")
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = n + "@example.com"
	}
	return out
}

// profile is what an account may have; nil for those created by the old import.
type profile struct{ Name, Language string }

func profileOf(email string) (*profile, bool) {
	for i, a := range Accounts {
		if a != email {
			continue
		}
		if i >= len(Accounts)-2 {
			return nil, true
		}
		name, _, _ := strings.Cut(a, "@")
		return &profile{Name: strings.ToUpper(name[:1]) + name[1:], Language: "en"}, true
	}
	return nil, false
}

// server is the app in one pod.
type server struct {
	pod, version string
	behaviour    Behaviour
	of           func(version string) Behaviour
	traffic      *traffic
	metrics      *metrics
	expose       http.Handler
}

// handler routes the app's four paths.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", s.measured("/health", s.health))
	mux.HandleFunc("GET /api/catalog", s.measured("/api/catalog", s.catalog))
	mux.HandleFunc("POST /api/login", s.measured("/api/login", s.login))
	mux.HandleFunc("GET /metrics", s.scrape)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Version", s.version)
		w.Header().Set("X-Pod", s.pod)
		mux.ServeHTTP(w, r)
	})
}

// measured wraps a path with its latency and the metrics of what really happened.
func (s *server) measured(path string, answer func(*http.Request) (int, any)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		s.traffic.served(s.version)
		s.metrics.busy(+1)
		code, body := answer(r)
		if path != "/health" && !wait(r, s.pace(start)) {
			code = 499 // the client went away
		}
		s.metrics.busy(-1)
		s.metrics.observe(r.Method, path, code, time.Since(start))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		// An error here is the client's going away; the access is already counted.
		_ = json.NewEncoder(w).Encode(body)
	}
}

// pace draws a request's latency.
func (s *server) pace(now time.Time) time.Duration {
	var extra time.Duration
	if c := s.behaviour.Climb; c != nil {
		extra = c.extra(s.traffic.servedAlone(s.version, now))
	}
	return latency(rand.Float64(), rand.Float64(), extra)
}

// wait is a timer that the client's leaving ends early.
func wait(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

type fault struct {
	Error string `json:"error"`
}

func (s *server) overloaded() bool {
	failing := s.traffic.failing(s.version, s.behaviour.Overload)
	if failing {
		s.metrics.starved(time.Now())
	}
	return failing
}

func (s *server) health(*http.Request) (int, any) {
	return http.StatusOK, map[string]string{"status": "ok", "version": s.version}
}

func (s *server) catalog(*http.Request) (int, any) {
	if s.overloaded() {
		return http.StatusInternalServerError, fault{"no database connection within 50 ms"}
	}
	return http.StatusOK, map[string]any{"items": []string{"tea", "coffee", "cups"}}
}

func (s *server) login(r *http.Request) (int, any) {
	var in struct{ Email, Password string }
	if err := json.NewDecoder(io.LimitReader(r.Body, 4096)).Decode(&in); err != nil {
		return http.StatusBadRequest, fault{"the body is not JSON with email and password"}
	}
	p, known := profileOf(in.Email)
	if !known || in.Password != Password {
		return http.StatusUnauthorized, fault{"wrong e-mail address or password"}
	}
	if s.overloaded() {
		s.metrics.login("error")
		return http.StatusInternalServerError, fault{"no database connection within 50 ms"}
	}
	name, err := s.greet(p)
	if err != nil {
		s.metrics.login("error")
		return http.StatusInternalServerError, fault{err.Error()}
	}
	s.metrics.login("ok")
	return http.StatusOK, map[string]string{"status": "ok", "user": in.Email, "name": name}
}

// greet is where v1.2.3 crashes: it reads the profile of an account that has none.
func (s *server) greet(p *profile) (name string, err error) {
	defer func() {
		if crash := recover(); crash != nil {
			err = errors.New("internal error: nil profile")
		}
	}()
	if p == nil && !s.behaviour.NilProfile {
		p = &profile{Name: "Guest", Language: "en"}
	}
	return p.Name, nil
}

// scrape answers /metrics, or breaks the connection where the scenario has taken
// the metrics away, as a dead exporter would.
func (s *server) scrape(w http.ResponseWriter, r *http.Request) {
	if s.traffic.muted(s.of) {
		panic(http.ErrAbortHandler)
	}
	s.expose.ServeHTTP(w, r)
}
