package web

import (
	"net/http"
	"testing"
	"time"

	"mayday/steps/comms"
)

func TestAnswersAreSorted(t *testing.T) {
	now := time.Date(2026, 11, 22, 3, 14, 0, 0, time.UTC)
	for code, permanent := range map[int]bool{302: true, 400: true, 401: true, 403: true, 404: true, 408: false, 410: true, 413: true, 420: false,
		425: false, 429: false, 500: false, 502: false, 503: false, 504: false} {
		f := Answered("ops", code, nil, "\x1b[2Jno")
		if f.Permanent != permanent || f.Do == "" || f.Why != "no" {
			t.Errorf("%d: %+v", code, f)
		}
	}
	for h, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, " 8 ": 8 * time.Second, "-5": 0, "soon": 0, "99999999999": 24 * time.Hour,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second, now.Add(-time.Hour).Format(http.TimeFormat): 0} {
		if got := retryAfter(h, now); want != got {
			t.Errorf("%q: %s, want %s", h, got, want)
		}
	}
	if got := comms.RetryAfter(Answered("ops", 429, http.Header{"Retry-After": {"99999"}}, "")); got != 5*time.Minute {
		t.Errorf("a service may ask for %s", got)
	}
}
