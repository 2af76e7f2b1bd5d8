package kube

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"mayday/state"
)

// sent gives what a connection knows of its credentials once it has sent a request.
func sent(t *testing.T, cfg *rest.Config) *credentials {
	t.Helper()
	c := watchCredentials(cfg)
	rt, err := rest.HTTPWrappersForConfig(cfg, roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://cluster", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return c
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func token(exp int64) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"none"}`) + "." + part(fmt.Sprintf(`{"sub":"alice","exp":%d}`, exp)) + "." + part("signature")
}

func certificate(t *testing.T, end time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.Add(-time.Hour), NotAfter: end}
	raw, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}

// TestCredentials: what mayday is logged in with must outlast the incident, or
// somebody must know.
func TestCredentials(t *testing.T) {
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	in := func(d time.Duration) string { return token(now.Add(d).Unix()) }
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(in(time.Minute)), 0o600); err != nil {
		t.Fatal(err)
	}
	cert := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(cert, certificate(t, now.Add(20*time.Minute)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		cfg  rest.Config
		ok   bool
		says string
	}{
		{"opaque token", rest.Config{BearerToken: "abc"}, true, "do not say"},
		{"three parts that are no token", rest.Config{BearerToken: "a.b.c"}, true, "do not say"},
		{"a token of hours", rest.Config{BearerToken: in(3 * time.Hour)}, true, "the token expires at 06:00:00 UTC on 22 Nov, in 3h"},
		{"a token of minutes", rest.Config{BearerToken: in(29 * time.Minute)}, false, "in 29m: log in again"},
		{"a token that is over", rest.Config{BearerToken: in(-time.Minute)}, false, "expired at 02:59:00"},
		{"a token that somebody renews", rest.Config{BearerTokenFile: file}, true, "in 1m; whoever writes " + file + " renews it"},
		{"a plugin that has not run", rest.Config{ExecProvider: &clientcmdapi.ExecConfig{Command: "aws"}}, true, "renewed by the plugin aws"},
		{"a certificate of hours", rest.Config{TLSClientConfig: rest.TLSClientConfig{CertData: certificate(t, now.Add(2*time.Hour))}}, true, "the client certificate expires at 05:00:00"},
		{"a certificate of minutes", rest.Config{TLSClientConfig: rest.TLSClientConfig{CertFile: cert}}, false, "in 20m"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f finding
			if c.cfg.ExecProvider != nil {
				f = watchCredentials(&c.cfg).finding(now)
			} else {
				f = sent(t, &c.cfg).finding(now)
			}
			if f.OK != c.ok || !c.ok && f.level != state.Doubtful || !strings.Contains(f.Text, c.says) || strings.Contains(f.Text, c.cfg.BearerToken) && c.cfg.BearerToken != "" {
				t.Errorf("%+v, want %t saying %q", f, c.ok, c.says)
			}
		})
	}
}

// TestHistory: the controller keeps the newest revisionHistoryLimit of the old
// ReplicaSets; the target may be none of them.
func TestHistory(t *testing.T) {
	set := func(name, image, revision string) *appsv1.ReplicaSet {
		rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"deployment.kubernetes.io/revision": revision}}}
		rs.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Image: image}}
		return rs
	}
	sets := []*appsv1.ReplicaSet{set("one", "shop:v1", "1"), set("two", "shop:v2", "2"), set("three", "shop:v3", "3")}
	for _, c := range []struct {
		target, next string
		newer        int // the target goes where revisionHistoryLimit is that or less
	}{
		{"three", "shop:v4", 0}, {"two", "shop:v4", 1}, {"one", "shop:v4", 2},
		{"two", "shop:v3", 0}, {"one", "shop:v2", 1}, // the version rolled out has a revision already
		{"two", "shop:v2", -1}, {"gone", "shop:v4", -1},
	} {
		d := &appsv1.Deployment{}
		d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Image: c.next}}
		if got := newerThan(c.target, sets, d); got != c.newer {
			t.Errorf("back to %s after %s: %d newer, want %d", c.target, c.next, got, c.newer)
		}
	}
}

func TestDigests(t *testing.T) {
	hash := map[string]string{"pod-template-hash": "abc"}
	rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "app-abc", Labels: hash}}
	pod := func(id string, labels map[string]string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
			{Name: "side", ImageID: "x@sha256:ffff"}, {Name: "app", ImageID: id}}}}
	}
	v := view{sets: []*appsv1.ReplicaSet{rs}, pods: []*corev1.Pod{pod("docker-pullable://r/shop@sha256:aaaaaaaaaaaaaaaa", hash), pod("r/shop@sha256:bbbb", hash), pod("sha256:bbbb", hash),
		pod("", hash), pod("r/shop@sha256:cccc", map[string]string{"pod-template-hash": "other"})}}
	got := v.digests("app-abc", "app")
	if len(got) != 2 || got["sha256:aaaaaaaaaaaaaaaa"] != 1 || got["sha256:bbbb"] != 2 {
		t.Errorf("digests %v", got)
	}
	if text := moved(nil, got); text != "the tag was moved, it is sha256:aaaaaaaaaaaa (1 pod) and sha256:bbbb (2 pods)" {
		t.Errorf("two at once: %s", text)
	}
	if text := moved([]string{"sha256:bbbb"}, map[string]int{"sha256:cccc": 2}); text != "the tag was moved, it is sha256:bbbb (before) and sha256:cccc (2 pods)" {
		t.Errorf("another one than before: %s", text)
	}
	if text := moved([]string{"sha256:bbbb"}, map[string]int{"sha256:bbbb": 2}); text != "" {
		t.Errorf("one image: %s", text)
	}
}

func TestUnlike(t *testing.T) {
	s := snapshot{Stable: workload{Deployment: "app-blue", Container: "app"}, Canary: &workload{Deployment: "app-green", Container: "app"}, Colours: &colours{Label: "version", Live: "blue", Idle: "green"}}
	pair := func(labels, image, more string) string {
		return `{kind: Deployment, spec: {template: {metadata: {labels: {` + labels + `}}, spec: {containers: [{name: app, image: ` + image + more + `}]}}}}`
	}
	live := pair("version: blue", "shop:v1", `, env: [{name: A, value: x}, {name: KEY, value: secret1}, {name: COLOUR, value: blue}]`)
	for name, c := range map[string]struct{ idle, want string }{
		"the same":           {pair("version: green", "shop:v0", `, env: [{name: KEY, value: secret1}, {name: COLOUR, value: green}, {name: A, value: x}]`), ""},
		"a forgotten change": {pair("version: green", "shop:v0", `, env: [{name: A, value: x}, {name: KEY, value: secret2}, {name: COLOUR, value: green}]`), "differ in more than the version: spec.containers[app].env[KEY].value."},
		"one has it alone":   {pair("version: green", "shop:v0", `, env: [{name: A, value: x}, {name: COLOUR, value: green}], tty: true`), "env[KEY].value (only app-blue has it), spec.containers[app].tty (only app-green has it)."},
		"many": {pair("version: green", "shop:v0", `, env: [{name: B1, value: x}, {name: B2, value: x}, {name: B3, value: x}, {name: B4, value: x}, {name: B5, value: x}, {name: B6, value: x}, {name: B7, value: x}]`),
			", 2 more."},
	} {
		got := s.unlike(route2(t, live), route2(t, c.idle))
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) || strings.Contains(got, "secret") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
