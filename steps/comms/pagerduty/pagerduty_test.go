package pagerduty

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/comms/commstest"
)

const (
	key   = "e0123456789012345678901234567890"
	wrong = "e9999999999999999999999999999999"
)

// event is what the service took.
type event struct {
	Path    string
	Action  string `json:"event_action"`
	Key     string `json:"routing_key"`
	Dedup   string `json:"dedup_key"`
	Payload struct {
		Summary, Severity, Source string
		Details                   struct{ Text, Key string } `json:"custom_details"`
	}
}

type fake struct {
	*commstest.Server
	mu     sync.Mutex
	events []event
}

func serve(t testing.TB) *fake {
	f := &fake{}
	schemas := map[string]func([]byte) error{"/v2/enqueue": commstest.Schema(t, "testdata/event.schema.json"), "/v2/change/enqueue": commstest.Schema(t, "testdata/change.schema.json")}
	f.Server = commstest.Serve(t, 512<<10, func(s *commstest.Server, w http.ResponseWriter, r *http.Request, body []byte) {
		say := func(code int, text string) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_, _ = fmt.Fprint(w, text)
		}
		var e event
		schema, ok := schemas[r.URL.Path]
		switch err := json.Unmarshal(body, &e); {
		case !ok:
			say(http.StatusNotFound, `{}`)
		case r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json":
			say(http.StatusMethodNotAllowed, `{}`)
		case err != nil:
			say(http.StatusBadRequest, `{"status":"invalid event","message":"Event object is invalid","errors":["JSON"]}`)
		case e.Key != key:
			say(http.StatusBadRequest, `{"status":"invalid event","message":"Event object is invalid","errors":["Invalid routing key"]}`)
		default:
			if err := schema(body); err != nil {
				t.Error(err)
				say(http.StatusBadRequest, `{"status":"invalid event","message":"Event object is invalid","errors":["schema"]}`)
				return
			}
			e.Path = r.URL.Path
			f.mu.Lock()
			f.events = append(f.events, e)
			f.mu.Unlock()
			s.Note(commstest.Got{Key: e.Payload.Details.Key, Text: e.Payload.Summary + "\n" + e.Payload.Details.Text})
			say(http.StatusAccepted, `{"status":"success","message":"Event processed","dedup_key":"`+e.Dedup+`"}`)
		}
	})
	return f
}

func rig(t *testing.T) (*fake, commstest.Rig) {
	f := serve(t)
	deny, unset := commstest.Secret(t, key, wrong)
	c, err := New(runbook.Channel{Name: "ops", Kind: Kind, URL: f.URL + "/", TokenEnv: commstest.SecretEnv})
	if err != nil {
		t.Fatal(err)
	}
	return f, commstest.Rig{Channel: c, Secret: key, Set: f.Set, Deny: deny, Unset: unset, Got: f.Got, Cannot: map[string]bool{"ask": true}}
}

func TestConformance(t *testing.T) {
	commstest.Run(t, func(t *testing.T) commstest.Rig { _, r := rig(t); return r })
}

func TestAnAlertFromPageToEnd(t *testing.T) {
	f, r := rig(t)
	l := commstest.Letter("m1-0", "PAGE SEV1: Carol, you are needed\n\nmore")
	in := l.Incident
	post := func(purpose, role string) {
		t.Helper()
		l.Message = state.Message{ID: "m2-0", Channel: "ops", Purpose: purpose, Role: role, Text: l.Message.Text, Queued: l.Message.Queued, Tries: 1}
		in.Messages = append(in.Messages, l.Message)
		if _, err := r.Channel.Send(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	in.Messages = nil
	post("page", "senior engineer")
	post("acked", "senior engineer")
	post("page", "engineering manager")
	post("update", "")
	post("change", "")
	post("resolved", "")
	post("meeting", "") // a calendar's matter
	var got []string
	for _, e := range f.events {
		got = append(got, strings.TrimSpace(e.Path+" "+e.Action+" "+e.Dedup+" "+e.Payload.Severity))
	}
	want := []string{
		"/v2/enqueue trigger INC-20261122-01/senior-engineer critical",
		"/v2/enqueue acknowledge INC-20261122-01/senior-engineer",
		"/v2/enqueue trigger INC-20261122-01/engineering-manager critical",
		"/v2/enqueue trigger INC-20261122-01 info",
		"/v2/change/enqueue",
		"/v2/enqueue resolve INC-20261122-01/senior-engineer",
		"/v2/enqueue resolve INC-20261122-01/engineering-manager",
		"/v2/enqueue resolve INC-20261122-01",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("events\n%s", strings.Join(got, "\n"))
	}
	if s := f.events[0].Payload.Summary; s != "PAGE SEV1: Carol, you are needed" || f.events[0].Payload.Source != "shop" {
		t.Errorf("summary %q", s)
	}
}

func TestSeverities(t *testing.T) {
	for s, want := range map[state.Severity]string{0: "critical", 1: "critical", 2: "error", 3: "warning"} {
		if got := severityOf(s); got != want {
			t.Errorf("%s: %s", s, got)
		}
	}
}
