package webhook

import (
	"encoding/json"
	"net/http"
	"testing"

	"mayday/state/runbook"
	"mayday/steps/comms/commstest"
)

const secret = "/services/T0000000000000000SECRET"

func rig(t *testing.T) commstest.Rig {
	s := commstest.Serve(t, 8<<20, func(s *commstest.Server, w http.ResponseWriter, r *http.Request, body []byte) {
		switch {
		case r.URL.Path != secret:
			w.Header().Set("Location", "http://elsewhere.example.com/")
			w.WriteHeader(http.StatusFound) // taken for a refusal: the message goes nowhere else
		case r.Method != http.MethodPost:
			w.WriteHeader(http.StatusMethodNotAllowed)
		default:
			var m map[string]string
			if err := json.Unmarshal(body, &m); err != nil || m["incident"] == "" || m["purpose"] == "" || m["id"] == "" {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			s.Note(commstest.Got{Key: r.Header.Get("Idempotency-Key"), Text: m["text"]})
		}
	})
	deny, unset := commstest.Secret(t, s.URL+secret, s.URL+"/gone")
	c, err := New(runbook.Channel{Name: "ops", URLEnv: commstest.SecretEnv})
	if err != nil {
		t.Fatal(err)
	}
	return commstest.Rig{Channel: c, Secret: s.URL + secret, Set: s.Set, Deny: deny, Unset: unset, Got: s.Got, Cannot: map[string]bool{"ask": true}}
}

func TestConformance(t *testing.T) { commstest.Run(t, rig) }

func TestNobodyListens(t *testing.T) {
	c, err := New(runbook.Channel{Name: "ops", URL: "http://127.0.0.1:1/T0000000000000000SECRET"})
	if err != nil {
		t.Fatal(err)
	}
	commstest.Unreached(t, c)
}
