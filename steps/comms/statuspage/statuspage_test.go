package statuspage

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/comms/commstest"
)

const token = "89a229ce1a8dbcf9ff30430fbe35eb4c"

// fake is one page.
type fake struct {
	*commstest.Server
	mu        sync.Mutex
	incidents []incident
	log       []string
}

func serve(t testing.TB) *fake {
	f := &fake{}
	schema := commstest.Schema(t, "testdata/incident.schema.json")
	f.Server = commstest.Serve(t, 1<<20, func(_ *commstest.Server, w http.ResponseWriter, r *http.Request, body []byte) {
		f.mu.Lock()
		defer f.mu.Unlock()
		say := func(code int, v any) { w.WriteHeader(code); _ = json.NewEncoder(w).Encode(v) }
		path, ok := strings.CutPrefix(r.URL.Path, "/v1/pages/kctbh9vrtdwd")
		switch {
		case r.Header.Get("Authorization") != "OAuth "+token:
			say(http.StatusUnauthorized, map[string]string{"error": "Could not authenticate"})
		case !ok:
			say(http.StatusNotFound, map[string]string{"error": "Not found"})
		case r.Method == http.MethodGet && path == "":
			say(http.StatusOK, map[string]string{"id": "kctbh9vrtdwd", "name": "Shop \x1b[2J"})
		case r.Method == http.MethodGet && path == "/incidents/unresolved":
			list := []map[string]any{{"id": "other", "metadata": map[string]any{}, "components": []any{}}}
			for _, x := range f.incidents {
				if x.Status != "resolved" {
					list = append(list, map[string]any{"id": x.ID, "metadata": x.Metadata, "components": []any{}})
				}
			}
			say(http.StatusOK, list)
		default:
			f.write(t, r, path, body, schema, say)
		}
	})
	return f
}

func (f *fake) write(t testing.TB, r *http.Request, path string, body []byte, schema func([]byte) error, say func(int, any)) {
	at := -1
	for i := range f.incidents {
		if path == "/incidents/"+f.incidents[i].ID {
			at = i
		}
	}
	known := func(x incident) map[string]any {
		return map[string]any{"id": x.ID, "metadata": x.Metadata, "components": []any{}}
	}
	if r.Method == http.MethodGet && at >= 0 {
		say(http.StatusOK, known(f.incidents[at]))
		return
	}
	err := schema(body)
	if err == nil && r.Header.Get("Content-Type") != "application/json" {
		err = errors.New("the body's type is not said")
	}
	if err != nil {
		t.Error(err)
		say(http.StatusUnprocessableEntity, map[string]any{"error": []string{"invalid"}})
		return
	}
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		t.Error(err)
	}
	switch {
	case r.Method == http.MethodPost && path == "/incidents":
		e.Incident.ID = fmt.Sprintf("p31zjtct2jer%d", len(f.incidents))
		f.incidents = append(f.incidents, e.Incident)
		at = len(f.incidents) - 1
	case r.Method == http.MethodPatch && at >= 0:
		e.Incident.ID = f.incidents[at].ID
		f.incidents[at] = e.Incident
	default:
		say(http.StatusNotFound, map[string]string{"error": "Not found"})
		return
	}
	f.log = append(f.log, r.Method+" "+e.Incident.Status+" "+e.Incident.Components["c1"])
	f.Note(commstest.Got{Key: e.Incident.Metadata.Mayday.Key, Text: e.Incident.Name + "\n" + e.Incident.Body})
	say(http.StatusCreated, known(f.incidents[at]))
}

func rig(t *testing.T) (*fake, commstest.Rig) {
	f := serve(t)
	deny, unset := commstest.Secret(t, token, "wrong-wrong-wrong")
	c, err := New(runbook.Channel{Name: "ops", Kind: Kind, URL: f.URL, TokenEnv: commstest.SecretEnv, Page: "kctbh9vrtdwd", Components: []string{"c1"}})
	if err != nil {
		t.Fatal(err)
	}
	return f, commstest.Rig{Channel: c, Secret: token, Set: f.Set, Deny: deny, Unset: unset, Got: f.Got}
}

func TestConformance(t *testing.T) {
	commstest.Run(t, func(t *testing.T) commstest.Rig { _, r := rig(t); return r })
}

func TestFromInvestigatingToResolved(t *testing.T) {
	f, r := rig(t)
	l := commstest.Letter("m1-0", "We are looking into it.")
	in := l.Incident
	in.Messages = nil
	for i, s := range []state.Status{state.Investigating, state.Identified, state.Fixing, state.Monitoring, state.Resolved} {
		in.Status = s
		m := state.Message{ID: fmt.Sprintf("m%d-0", i), Channel: "ops", Purpose: "update", Text: "It is " + string(s)}
		l.Message, l.Key = m, in.ID+"/"+m.ID
		for range 2 { // the second is a repetition: nothing more is posted
			ref, err := r.Channel.Send(t.Context(), l)
			if err != nil || ref != "p31zjtct2jer0" {
				t.Fatalf("%q %v", ref, err)
			}
			m.Ref = ref
		}
		in.Messages = append(in.Messages, m)
	}
	want := []string{"POST investigating partial_outage", "PATCH identified partial_outage", "PATCH identified partial_outage", "PATCH monitoring operational", "PATCH resolved operational"}
	if strings.Join(f.log, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s", strings.Join(f.log, "\n"))
	}
}

func TestFoundAgainAfterACrash(t *testing.T) {
	f, r := rig(t)
	l := commstest.Letter("m1-0", "first")
	l.Incident.Messages = nil
	if _, err := r.Channel.Send(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	l.Key, l.Message.Text = l.Incident.ID+"/m2-0", "second" // nobody wrote the first one's ref down
	if _, err := r.Channel.Send(t.Context(), l); err != nil || len(f.incidents) != 1 {
		t.Errorf("%v: %d incidents on the page", err, len(f.incidents))
	}
}

func TestADrillSaysSo(t *testing.T) {
	f, r := rig(t)
	l := commstest.Letter("m1-0", "x")
	l.Incident.Drill = "good"
	if _, err := r.Channel.Send(t.Context(), l); err != nil || !strings.HasPrefix(f.incidents[0].Name, "DRILL ") {
		t.Errorf("%v: %+v", err, f.incidents)
	}
}

// When the team meets is nothing for the page.
func TestTheReviewIsNotPosted(t *testing.T) {
	f, r := rig(t)
	l := commstest.Letter("m9-0", "REVIEW of INC-20261122-01")
	l.Message.Purpose = "meeting"
	if ref, err := r.Channel.Send(t.Context(), l); ref != "" || err != nil || len(f.log) != 0 {
		t.Errorf("%q %v %v", ref, err, f.log)
	}
}
