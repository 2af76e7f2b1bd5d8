package teams

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"mayday/state/runbook"
	"mayday/steps/comms"
	"mayday/steps/comms/commstest"
)

const hook = "/workflows/0123456789abcdef/triggers/manual/paths/invoke"

func TestConformance(t *testing.T) {
	schema := commstest.Schema(t, "testdata/message.schema.json")
	commstest.Run(t, func(t *testing.T) commstest.Rig {
		s := commstest.Serve(t, 28<<10, func(s *commstest.Server, w http.ResponseWriter, r *http.Request, body []byte) {
			switch err := schema(body); {
			case r.URL.Path != hook || r.URL.Query().Get("sig") != "geheim-geheim":
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"error":{"code":"DirectApiAuthorizationRequired","message":"The request must be authenticated only by Shared Access scheme."}}`)
			case r.Method != http.MethodPost:
				w.WriteHeader(http.StatusNotFound)
			case err != nil:
				t.Error(err)
				w.WriteHeader(http.StatusBadRequest)
			case counted(t, body) > 28<<10:
				t.Errorf("the workflow takes it and fails: MessageSizeExceeded, %d bytes", counted(t, body))
				w.WriteHeader(http.StatusAccepted)
			default:
				s.Note(commstest.Got{Key: r.Header.Get("Idempotency-Key"), Text: words(t, body)})
				w.WriteHeader(http.StatusAccepted)
			}
		})
		deny, unset := commstest.Secret(t, s.URL+hook+"?sp=%2Ftriggers%2Fmanual%2Frun&sig=geheim-geheim", s.URL+hook+"?sig=wrong")
		c, err := New(runbook.Channel{Name: "ops", Kind: Kind, URLEnv: commstest.SecretEnv})
		if err != nil {
			t.Fatal(err)
		}
		return commstest.Rig{Channel: c, Secret: "geheim-geheim", Set: s.Set, Deny: deny, Unset: unset, Got: s.Got, Cannot: map[string]bool{"ask": true}}
	})
}

// counted is the size of a message by the time Teams looks at it: its card as a string
// of another message.
func counted(t *testing.T, body []byte) int {
	again, err := json.Marshal(string(body))
	if err != nil {
		t.Error(err)
	}
	return len(again)
}

// What fits is not cut; what does not, fills most of the message.
func TestLengths(t *testing.T) {
	whole := "title\n" + strings.Repeat("x", 20_000)
	if m := render(commstest.Letter("m1-0", whole)); m.Attachments[0].Content.Body[1].Inlines[0].Text != whole[len("title\n"):] {
		t.Error("20,000 characters were cut")
	}
	for _, line := range []string{"a\n", "all & <sundry>\n", `\"\"` + "\n", "Störung 🚨\n", strings.Repeat("0123456789", 30) + "\n"} {
		m := render(commstest.Letter("m1-0", strings.Repeat(line, 30_000)))
		body, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		last := m.Attachments[0].Content.Body
		if n := weight(m); n > maxMessage || n < maxMessage*2/3 || counted(t, body) > maxMessage || !strings.HasPrefix(last[len(last)-1].Inlines[0].Text, "[cut:") {
			t.Errorf("%q: %d bytes, counted as %d", line[:1], len(body), n)
		}
	}
}

func words(t *testing.T, body []byte) string {
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		t.Error(err)
		return ""
	}
	var b strings.Builder
	for _, x := range m.Attachments[0].Content.Body {
		b.WriteString(x.Inlines[0].Text + "\n")
	}
	return b.String()
}

func TestWhatConnectorsSayWith200(t *testing.T) {
	s := commstest.Serve(t, 28<<10, func(_ *commstest.Server, w http.ResponseWriter, _ *http.Request, _ []byte) {
		_, _ = io.WriteString(w, "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId x")
	})
	t.Setenv(commstest.SecretEnv, s.URL)
	c, err := New(runbook.Channel{Name: "ops", Kind: Kind, URLEnv: commstest.SecretEnv})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(t.Context(), commstest.Letter("m1-0", "x")); err == nil || comms.Permanent(err) || !strings.Contains(err.Error(), "429") {
		t.Errorf("%v", err)
	}
}
