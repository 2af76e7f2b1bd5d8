package kube_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"mayday/state"
	"mayday/steps/kube"
)

// TestReach: a cluster is named with its version, and a login that ends soon is minded.
func TestReach(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method != http.MethodGet:
			t.Errorf("it writes: %s %s", r.Method, r.URL)
		case r.Header.Get("Authorization") == "":
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401}`)
		case r.URL.Path == "/version":
			fmt.Fprint(w, `{"major":"1","minor":"36","gitVersion":"v1.36.3"}`)
		default:
			fmt.Fprint(w, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":"u-1"}}`)
		}
	}))
	defer srv.Close()
	now := time.Now()
	for left, ok := range map[time.Duration]bool{10 * time.Hour: true, 5 * time.Minute: false, -time.Minute: false} {
		claims := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, now.Add(left).Unix()))
		c, err := kube.New(&rest.Config{Host: srv.URL, BearerToken: "h." + claims + ".s"})
		if err != nil {
			t.Fatal(err)
		}
		seen, err := c.Reach(t.Context(), now)
		if err != nil || seen.Identity != "u-1" || seen.Version != "v1.36.3" || seen.Login.OK != ok || !strings.Contains(seen.Login.Text, "expire") {
			t.Errorf("%s left: %+v, %v", left, seen, err)
		}
	}
	for host, code := range map[string]string{srv.URL: "unauthorized", "http://127.0.0.1:1": "unreachable"} {
		c, err := kube.New(&rest.Config{Host: host})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Reach(t.Context(), now); !state.HasCode(err, code) {
			t.Errorf("want %s: %v", code, err)
		}
	}
}
