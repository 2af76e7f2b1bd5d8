package kube

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// What nothing but its age vouches for is forgotten after a second; what the server
// tests itself serves longer; each once.
func TestReadAhead(t *testing.T) {
	a, now := newAhead(), time.Now()
	o := deployment("shop", "app")
	for age, want := range map[time.Duration]bool{0: true, youngEnough / 2: true, 2 * youngEnough: false} {
		a.keepStood(o, stood{at: now.Add(-age), want: 3, ready: 2})
		if s, ok := a.young(o); ok != want || s.ready != 2 {
			t.Errorf("an answer %s old: %+v, %t", age, s, ok)
		}
	}
	if _, ok := a.young(deployment("shop", "other")); ok {
		t.Error("an answer about another Deployment counts")
	}
	a.keep(o, new(unstructured.Unstructured))
	if !a.has(o) || a.take(o) == nil || a.has(o) || a.take(o) != nil {
		t.Error("an object does not serve just once")
	}
	w := workload{SetUID: "u1"}
	a.keepTemplate(w, map[string]any{"spec": 1})
	if !a.hasTemplate(w) || a.takeTemplate(w) == nil || a.hasTemplate(w) || a.takeTemplate(workload{SetUID: "u2"}) != nil {
		t.Error("a template does not serve just once")
	}
	a.objects[o] = seen{now.Add(-2 * stillGood), new(unstructured.Unstructured)}
	if a.has(o) {
		t.Error("an old object is not read again")
	}
}
