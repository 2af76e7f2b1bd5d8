package slack

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"mayday/state/runbook"
	"mayday/steps/comms"
	"mayday/steps/comms/commstest"
)

const (
	token = "xoxb-000000000000-mayday"
	hook  = "/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"
)

// fake is Slack: its API below /api/, and one webhook.
type fake struct {
	*commstest.Server
	t        testing.TB
	schema   func([]byte) error
	mu       sync.Mutex
	channels map[string]string // name to id
	texts    map[string]string // ts to text
}

func serve(t testing.TB) *fake {
	f := &fake{t: t, schema: commstest.Schema(t, "testdata/message.schema.json"), channels: map[string]string{}, texts: map[string]string{}}
	f.Server = commstest.Serve(t, 1<<20, func(_ *commstest.Server, w http.ResponseWriter, r *http.Request, body []byte) {
		if method, ok := strings.CutPrefix(r.URL.Path, "/api/"); ok {
			f.api(w, r, method, body)
			return
		}
		f.webhook(w, r, body)
	})
	return f
}

func (f *fake) webhook(w http.ResponseWriter, r *http.Request, body []byte) {
	refuse := func(code int, why string) { w.WriteHeader(code); _, _ = io.WriteString(w, why) }
	var m struct {
		Text     string            `json:"text"`
		Blocks   []json.RawMessage `json:"blocks"`
		Metadata meta              `json:"metadata"`
	}
	switch err := json.Unmarshal(body, &m); {
	case r.URL.Path != hook:
		refuse(http.StatusNotFound, "no_service")
	case err != nil || r.Header.Get("Content-Type") != "application/json":
		refuse(http.StatusBadRequest, "invalid_payload")
	case m.Text == "" && len(m.Blocks) == 0:
		refuse(http.StatusBadRequest, "no_text")
	default:
		err := f.schema(body)
		if err != nil {
			f.t.Error(err)
		}
		if err != nil || tooLong(m.Blocks) {
			refuse(http.StatusBadRequest, "invalid_blocks")
			return
		}
		f.Note(commstest.Got{Key: m.Metadata.Payload.Key, Text: words(m.Blocks)})
		_, _ = io.WriteString(w, "ok")
	}
}

type meta struct {
	Payload struct{ Key string } `json:"event_payload"`
}

// tooLong is what Slack answers msg_blocks_too_long to: 12,000 characters of text in
// all blocks, and about 100 for each block. Its measure is not documented, so the
// larger one, bytes, counts here.
func tooLong(blocks []json.RawMessage) bool {
	n := 100 * len(blocks)
	for _, raw := range blocks {
		var x struct {
			Text struct{ Text string }
		}
		_ = json.Unmarshal(raw, &x) // the schema held
		n += len(x.Text.Text)
	}
	return n > 12_000
}

// words gives the text of blocks as it is shown.
func words(blocks []json.RawMessage) string {
	var b strings.Builder
	for _, raw := range blocks {
		var x struct {
			Text struct{ Text string }
		}
		_ = json.Unmarshal(raw, &x) // the schema held
		b.WriteString(x.Text.Text + "\n")
	}
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(b.String())
}

func (f *fake) api(w http.ResponseWriter, r *http.Request, method string, body []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	say := func(v map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	no := func(why string) { say(map[string]any{"ok": false, "error": why}) }
	form, err := url.ParseQuery(string(body))
	if err != nil {
		no("invalid_form_data")
		return
	}
	if form.Get("token") != token && r.Header.Get("Authorization") != "Bearer "+token {
		no("invalid_auth")
		return
	}
	switch method {
	case "auth.test":
		say(map[string]any{"ok": true, "user": "mayday", "team": "Shop\x1b[2J", "team_id": "T1"})
	case "chat.postMessage", "chat.update":
		why, got := f.message(form)
		if why != "" {
			no(why)
			return
		}
		ts := form.Get("ts")
		if method == "chat.update" && len(form.Get("text")) > 4000 {
			no("msg_too_long") // chat.postMessage would cut it at 40,000 characters
			return
		}
		if method == "chat.postMessage" {
			ts = fmt.Sprintf("1700000000.%06d", len(f.texts))
			f.Note(got)
		} else if _, ok := f.texts[ts]; !ok {
			no("message_not_found")
			return
		}
		f.texts[ts] = got.Text
		say(map[string]any{"ok": true, "channel": "C024BE91L", "ts": ts})
	case "conversations.create":
		f.create(form.Get("name"), say, no)
	case "conversations.list":
		var list []map[string]any
		for name, id := range f.channels {
			list = append(list, map[string]any{"id": id, "name": name})
		}
		say(map[string]any{"ok": true, "channels": list})
	default:
		no("unknown_method")
	}
}

func (f *fake) create(name string, say func(map[string]any), no func(string)) {
	switch {
	case len(name) > 80 || name == "" || strings.ToLower(name) != name || strings.ContainsAny(name, " ./"):
		no("invalid_name_specials")
	case f.channels[name] != "":
		no("name_taken")
	default:
		f.channels[name] = fmt.Sprintf("C%d", len(f.channels)+1)
		say(map[string]any{"ok": true, "channel": map[string]any{"id": f.channels[name], "name": name}})
	}
}

// message checks a message's form against the schema.
func (f *fake) message(form url.Values) (why string, got commstest.Got) {
	m := map[string]any{"text": form.Get("text")}
	for _, k := range []string{"channel", "ts"} {
		if form.Has(k) {
			m[k] = form.Get(k)
		}
	}
	var blocks []json.RawMessage
	for k, into := range map[string]any{"blocks": &blocks, "metadata": new(json.RawMessage)} {
		if err := json.Unmarshal([]byte(form.Get(k)), into); err != nil {
			return "invalid_arguments", got
		}
		m[k] = into
	}
	whole, err := json.Marshal(m)
	if err == nil {
		err = f.schema(whole)
	}
	if err != nil {
		f.t.Error(err)
		return "invalid_blocks", got
	}
	if tooLong(blocks) {
		return "msg_blocks_too_long", got
	}
	var about meta
	if err := json.Unmarshal([]byte(form.Get("metadata")), &about); err != nil {
		return "invalid_metadata_format", got
	}
	return "", commstest.Got{Key: about.Payload.Key, Text: words(blocks)}
}

func bot(t *testing.T) (*fake, *channel) {
	f := serve(t)
	t.Setenv(commstest.SecretEnv, token)
	c, err := New(runbook.Channel{Name: "ops", Kind: Kind, URL: f.URL + "/api", TokenEnv: commstest.SecretEnv, Room: "#incidents"})
	if err != nil {
		t.Fatal(err)
	}
	return f, c.(*channel)
}

func TestBot(t *testing.T) {
	commstest.Run(t, func(t *testing.T) commstest.Rig {
		f, c := bot(t)
		deny, unset := commstest.Secret(t, token, "xoxb-wrong")
		return commstest.Rig{Channel: c, Secret: token, Set: f.Set, Deny: deny, Unset: unset, Got: f.Got}
	})
}

func TestWebhook(t *testing.T) {
	commstest.Run(t, func(t *testing.T) commstest.Rig {
		f := serve(t)
		deny, unset := commstest.Secret(t, f.URL+hook, f.URL+"/services/T00000000/B00000000/YYYYYYYYYYYYYYYYYYYYYYYY")
		c, err := New(runbook.Channel{Name: "ops", Kind: Kind, URLEnv: commstest.SecretEnv})
		if err != nil {
			t.Fatal(err)
		}
		if c.(comms.Corrector).Corrects() {
			t.Error("a webhook says that it corrects")
		}
		return commstest.Rig{Channel: c, Secret: f.URL + hook, Set: f.Set, Deny: deny, Unset: unset, Got: f.Got}
	})
}

func TestCorrection(t *testing.T) {
	f, c := bot(t)
	l := commstest.Letter("m1-0", "first\n\nETA 10 minutes")
	ref, err := c.Send(t.Context(), l)
	if err != nil || ref != "C024BE91L:1700000000.000000" || !c.Corrects() {
		t.Fatalf("%q %v", ref, err)
	}
	l.Message.Ref, l.Message.Text = ref, "first\n\nETA 20 minutes"
	if again, err := c.Send(t.Context(), l); err != nil || again != ref {
		t.Errorf("%q %v", again, err)
	}
	if len(f.Got()) != 1 || !strings.Contains(f.texts["1700000000.000000"], "20 minutes") {
		t.Errorf("%+v, %q", f.Got(), f.texts)
	}
	l.Message.Ref = "C024BE91L:1700000000.999999"
	if _, err := c.Send(t.Context(), l); !comms.Permanent(err) || !strings.Contains(err.Error(), "message_not_found") {
		t.Errorf("%v", err)
	}
}

// A correction has less room for its text than a post, and Slack counts bytes.
func TestTheLongestCorrection(t *testing.T) {
	f, c := bot(t)
	l := commstest.Letter("m1-0", "short")
	ref, err := c.Send(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	l.Message.Ref, l.Message.Text = ref, "Störung\n"+strings.Repeat("ü & <so> weiter\n", 2000)
	if _, err := c.Send(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if shown := f.texts["1700000000.000000"]; !strings.Contains(shown, "ü & <so> weiter") || !strings.Contains(shown, "[cut:") {
		t.Errorf("%d bytes, ending %q", len(shown), shown[max(len(shown)-80, 0):])
	}
}

// What Slack gives for many blocks of nearly nothing: it takes 50 of them.
func TestFewWordsInManyLines(t *testing.T) {
	f, c := bot(t)
	if _, err := c.Send(t.Context(), commstest.Letter("m1-0", "title\n"+strings.Repeat("x"+strings.Repeat("\n", 2000), 60))); err != nil || len(f.Got()) != 1 {
		t.Errorf("%v: %d messages", err, len(f.Got()))
	}
}

func TestCuts(t *testing.T) {
	long := "Orders & Payments: " + strings.Repeat("ü", 200)
	if got := runes(long, maxHeader); len([]rune(got)) != maxHeader || !strings.HasPrefix(got, "Orders & Payments: üüü") {
		t.Errorf("header %q", got)
	}
	for _, s := range []string{strings.Repeat("ü", 3000), strings.Repeat("a&amp;", 1000), "a" + strings.Repeat("&lt;ü", 1000), strings.Repeat("🚨", 1500)} {
		got := octets(s, maxText)
		body, ok := strings.CutSuffix(got, "…")
		if !ok || len(got) > maxText || len(got) < maxText-10 || !strings.HasPrefix(s, body) || strings.Count(body, "&") != strings.Count(body, ";") || !utf8.ValidString(got) {
			t.Errorf("%d bytes of %q", len(got), s[:10])
		}
	}
}

func TestWhatWebhooksAnswer(t *testing.T) {
	for why, want := range map[string]struct {
		code      int
		permanent bool
	}{"invalid_payload": {400, true}, "user_not_found": {400, true}, "action_prohibited": {403, true}, "channel_not_found": {404, true},
		"channel_is_archived": {410, true}, "rollup_error": {500, false}} {
		s := commstest.Serve(t, 1<<20, func(_ *commstest.Server, w http.ResponseWriter, _ *http.Request, _ []byte) {
			w.WriteHeader(want.code)
			_, _ = io.WriteString(w, why)
		})
		t.Setenv(commstest.SecretEnv, s.URL)
		c, err := New(runbook.Channel{Name: "ops", Kind: Kind, URLEnv: commstest.SecretEnv})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Send(t.Context(), commstest.Letter("m1-0", "x")); comms.Permanent(err) != want.permanent || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func TestWhatSlackCallsItsOwnIsTriedAgain(t *testing.T) {
	for why, permanent := range map[string]bool{"internal_error": false, "ratelimited": false, "service_unavailable": false,
		"not_in_channel": true, "channel_not_found": true, "is_archived": true, "token_revoked": true} {
		s := commstest.Serve(t, 1<<20, func(_ *commstest.Server, w http.ResponseWriter, _ *http.Request, _ []byte) {
			_, _ = fmt.Fprintf(w, `{"ok":false,"error":%q}`, why)
		})
		t.Setenv(commstest.SecretEnv, token)
		c, err := New(runbook.Channel{Name: "ops", Kind: Kind, URL: s.URL, TokenEnv: commstest.SecretEnv, Room: "C1"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Send(t.Context(), commstest.Letter("m1-0", "x")); comms.Permanent(err) != permanent || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func TestRoom(t *testing.T) {
	f, c := bot(t)
	for range 2 { // again after a crash: the same
		link, err := c.OpenRoom(t.Context(), "INC-20261122-01 Payment Gateway Down!")
		if err != nil || link != "https://slack.com/app_redirect?channel=C1&team=T1" {
			t.Errorf("%q %v", link, err)
		}
	}
	if f.channels["inc-20261122-01-payment-gateway-down"] != "C1" || len(f.channels) != 1 {
		t.Errorf("%v", f.channels)
	}
}

func TestSections(t *testing.T) {
	for _, text := range []string{"", "\n\n", "a", strings.Repeat("a\n", 5000), strings.Repeat("&", 10_000), strings.Repeat("ü", 6001), strings.Repeat("<b> & c\n", 900)} {
		var all strings.Builder
		for part := range sections(text) {
			if n := len([]rune(part)); n == 0 || n > maxSection {
				t.Errorf("a section of %d characters", n)
			}
			all.WriteString(part)
		}
		want := strings.ReplaceAll(escape(text), "\n", "")
		if got := strings.ReplaceAll(all.String(), "\n", ""); got != want {
			t.Errorf("%d characters came out of %d", len(got), len(want))
		}
	}
}
