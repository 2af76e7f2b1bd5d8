package shout

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"mayday/state/runbook"
	"mayday/steps/comms"
	"mayday/steps/comms/commstest"
)

// ntfy is one of the services behind shoutrrr: topics that take text, 4096 bytes.
func ntfy(t *testing.T) commstest.Rig {
	const topic = "/mayday-secret-topic-01"
	s := commstest.Serve(t, 4096, func(s *commstest.Server, w http.ResponseWriter, r *http.Request, body []byte) {
		if r.Method != http.MethodPost || r.URL.Path != topic {
			w.WriteHeader(http.StatusForbidden)
			_ = json.NewEncoder(w).Encode(map[string]any{"code": 40301, "http": 403, "error": "forbidden"})
			return
		}
		var text string
		if json.Unmarshal(body, &text) != nil { // shoutrrr's client quotes it
			text = string(body)
		}
		s.Note(commstest.Got{Text: text})
		_ = json.NewEncoder(w).Encode(map[string]any{"id": "x", "event": "message"})
	})
	address := "ntfy://" + strings.TrimPrefix(s.URL, "http://") + topic + "?scheme=http&disabletls=yes"
	deny, unset := commstest.Secret(t, address, strings.Replace(address, topic, "/other", 1))
	c, err := New(runbook.Channel{Name: "ops", Kind: Kind, URLEnv: commstest.SecretEnv})
	if err != nil {
		t.Fatal(err)
	}
	return commstest.Rig{Channel: c, Secret: address, Set: s.Set, Deny: deny, Unset: unset, Got: s.Got,
		Cannot: map[string]bool{"key": true, "rest": true, "deny": true, "ask": true}}
}

func TestConformance(t *testing.T) { commstest.Run(t, ntfy) }

func TestWrongAddresses(t *testing.T) {
	for _, address := range []string{"pigeon://x", "no address", "ntfy://", "://"} {
		t.Setenv(commstest.SecretEnv, address)
		c, err := New(runbook.Channel{Name: "ops", Kind: Kind, URLEnv: commstest.SecretEnv})
		if err != nil {
			t.Fatal(err)
		}
		if seen, err := c.Reach(t.Context()); !comms.Permanent(err) {
			t.Errorf("%s: %q %v", address, seen, err)
		}
		if _, err := c.Send(t.Context(), commstest.Letter("m1-0", "x")); !comms.Permanent(err) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
