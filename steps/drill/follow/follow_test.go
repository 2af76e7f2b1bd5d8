package follow_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"mayday/steps/drill/follow"
)

// server answers lists and watches of pods from a script: each list names the pods
// of one generation, each watch sends its events and ends.
type server struct {
	lists   []string // names, of one list each
	watches []string // raw events, of one watch each
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Query().Get("watch") != "" {
		if len(s.watches) == 0 {
			<-r.Context().Done()
			return
		}
		fmt.Fprint(w, s.watches[0])
		s.watches = s.watches[1:]
		return
	}
	switch name := s.lists[0]; name {
	case "500", "404":
		w.WriteHeader(map[string]int{"500": 500, "404": 404}[name])
		fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%s}`, map[string]string{"500": "InternalError", "404": "NotFound"}[name], name)
	default:
		fmt.Fprintf(w, `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[%s]}`, pod(name))
	}
	if len(s.lists) > 1 {
		s.lists = s.lists[1:]
	}
}

func pod(name string) string {
	return fmt.Sprintf(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":%q,"namespace":"shop","resourceVersion":"2"}}`, name)
}

func event(kind, object string) string {
	return fmt.Sprintf(`{"type":%q,"object":%s}`+"\n", kind, object)
}

// TestObjects follows through changes, an error, an expired watch and a relist.
func TestObjects(t *testing.T) {
	gone := `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}`
	ts := httptest.NewServer(&server{
		lists: []string{"500", "a", "d"},
		watches: []string{event("ADDED", pod("b")) + event("BOOKMARK", pod("")) + event("MODIFIED", pod("b")) +
			event("DELETED", pod("a")) + event("ERROR", gone)},
	})
	defer ts.Close()
	client, err := follow.Client(&rest.Config{Host: ts.URL})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var sets [][]string
	follow.Objects(ctx, client, follow.Pods, "shop", func(set map[string]*corev1.Pod) {
		var names []string
		for n := range set {
			names = append(names, n)
		}
		slices.Sort(names)
		sets = append(sets, names)
		if slices.Equal(names, []string{"d"}) {
			cancel()
		}
	})
	if got, want := fmt.Sprint(sets), "[[a] [a b] [a b] [b] [d]]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestMissingKind treats a kind that the server does not have as empty.
func TestMissingKind(t *testing.T) {
	ts := httptest.NewServer(&server{lists: []string{"404"}})
	defer ts.Close()
	client, err := follow.Client(&rest.Config{Host: ts.URL})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	calls := 0
	follow.Objects(ctx, client, follow.Pods, "shop", func(set map[string]*corev1.Pod) {
		calls++
		if len(set) != 0 {
			t.Errorf("got %v", set)
		}
		cancel()
	})
	if calls == 0 {
		t.Error("nobody was told")
	}
}
