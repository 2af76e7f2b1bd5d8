package comms

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

var night = time.Date(2026, 11, 22, 3, 14, 0, 0, time.UTC)

func incident() *state.Incident {
	p := state.DefaultPolicy(1)
	return &state.Incident{ID: "INC-20261122-01", Title: "Payment Gateway Down", Severity: 1, Service: "shop", Impact: "All payments unavailable",
		Status: state.Investigating, Declared: night, Policy: p, Attempt: 1, Issue: "PROD-2847",
		Roles: map[string]string{state.Commander: "alice"}, Facts: map[string]string{}}
}

func post(t *testing.T, rb *runbook.Runbook) *Post {
	t.Helper()
	p, err := New(rb, kinds(func(runbook.Channel) *stub { return &stub{reach: func() (string, error) { return "it answers", nil }} }), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBuiltInMessages(t *testing.T) {
	p := post(t, &runbook.Runbook{WarRoom: "https://meet/{incident}", Tracker: "https://tracker/{issue}"})
	in := incident()
	in.Facts["version"], in.Facts["baseline"] = "v1.2.4", "v1.2.3"
	extra := map[string]string{"head": "9f2c01ab", "role": "engineering manager", "who": "Carol", "target": "v1.2.3", "reason": "R", "verified": "50 of 50", "cause": "a secret weakness", "what": "v1.2.4 is in production",
		"when": "Mon 23 Nov 2026, 10:00 to 11:00 Europe/Berlin", "note": "late", "invited": "Alice", "absent": "Dora"}
	in.ActionItems = []string{"add validation"}
	now := night.Add(47 * time.Minute)
	for purpose, says := range map[string][]string{
		"declared": {"INCIDENT DECLARED: SEV1", "Title: Payment Gateway Down", "Impact: All payments", "2026-11-22 03:14 UTC", "Status: Investigating",
			"updates every 15 minutes", "Incident Commander: alice", "War Room: https://meet/INC-20261122-01", "https://tracker/PROD-2847", "#sev1", "9f2c01ab"},
		"update":              {"INCIDENT UPDATE: SEV1 (47 minutes)", "Next update in 15 minutes (04:16 UTC)", "9f2c01ab", "a secret weakness"},
		"customers":           {"shop: we are looking into a problem", "write again by 04:16 UTC"},
		"resolved":            {"INCIDENT RESOLVED: SEV1", "Duration: 47 minutes", "Hotfix deployed (v1.2.4)", "4 hours", "48 hours"},
		"page":                {"PAGE SEV1: Carol, you are needed as engineering manager", "mayday ack --incident INC-20261122-01"},
		"review":              {"REVIEW NEEDED", "mayday approve"},
		"rollback":            {"Production runs v1.2.3 again", "Reason: R", "Verified: 50 of 50"},
		"deployed":            {"HOTFIX DEPLOYED: SEV1 shop v1.2.4", "Before: v1.2.3"},
		"meeting":             {"REVIEW of INC-20261122-01: Mon 23 Nov 2026", "That is late.", "Invited: Alice", "no e-mail address: Dora", "Without blame"},
		"acked":               {"Carol has it: engineering manager"},
		"change":              {"v1.2.4 is in production: shop"},
		"resolved.customers":  {"it works again"},
		"resolved.executives": {"SEV1 is over", "To do: add validation"},
		"declared.executives": {"In command: alice"},
		"update.customers":    {"write again by 04:16 UTC"},
		"rollback.customers":  {"took a change back"},
		"deployed.customers":  {"Our fix is in place"},
		"declared.team":       {"INCIDENT DECLARED"},
	} {
		occasion, audience, _ := strings.Cut(purpose, ".")
		if purpose == "customers" {
			occasion, audience = "update", purpose
		}
		got, err := p.Render(occasion, audience, in, now, extra)
		if err != nil {
			t.Errorf("%s: %v", purpose, err)
		}
		for _, s := range says {
			if !strings.Contains(got, s) {
				t.Errorf("%s does not say %q:\n%s", purpose, s, got)
			}
		}
		if !strings.HasSuffix(got, "\n\nJournal head: 9f2c01ab") {
			t.Errorf("%s does not end with the journal's head:\n%s", purpose, got)
		}
		if (audience == "customers" || purpose == "resolved") && (strings.Contains(got, "alice") || strings.Contains(got, "weakness") || strings.Contains(got, "meet/")) {
			t.Errorf("%s says too much:\n%s", purpose, got)
		}
		if strings.Contains(got, "<no value>") || strings.Contains(got, "\n\n\n") {
			t.Errorf("%s looks broken:\n%s", purpose, got)
		}
	}
	in.Drill = "good"
	if got, _ := p.Render("page", "pages", in, now, nil); !strings.HasPrefix(got, "DRILL") {
		t.Errorf("a drill's page: %s", got)
	}
}

func TestRunbookTemplates(t *testing.T) {
	p := post(t, &runbook.Runbook{Templates: map[string]string{"update": "{{.Severity}} {{.Extra.nothing}}{{lower .Title}}"}})
	in := incident()
	in.Title = "\x1b[31mDown\x1b[0m"
	if got, err := p.Render("update", "team", in, night, nil); err != nil || got != "SEV1 down" {
		t.Errorf("%q %v", got, err)
	}
	p = post(t, &runbook.Runbook{Templates: map[string]string{"update.executives": "for you", "resolved": "all get this"}})
	for audience, want := range map[string]string{"executives": "for you", "customers": "shop: we are looking"} {
		if got, err := p.Render("update", audience, in, night, nil); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%q %v", got, err)
		}
	}
	if got, _ := p.Render("resolved", "customers", in, night, nil); got != "all get this" {
		t.Errorf("the runbook's words come after the built-in ones: %q", got)
	}
	for name, text := range map[string]string{"update": "{{.Nope}}", "page": "{{", "other": "x"} {
		if _, err := New(&runbook.Runbook{Templates: map[string]string{name: text}}, nil, nil); !state.HasCode(err, "template") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// stub is a channel that does what the test says.
type stub struct {
	secrets  []string
	send     func(l Letter) (string, error)
	reach    func() (string, error)
	alerts   bool
	corrects bool
}

func (s *stub) Send(_ context.Context, l Letter) (string, error) { return s.send(l) }
func (s *stub) Reach(context.Context) (string, error)            { return s.reach() }
func (s *stub) Secrets() []string                                { return s.secrets }
func (s *stub) Alerts() bool                                     { return s.alerts }
func (s *stub) Corrects() bool                                   { return s.corrects }

// kinds makes every channel with make.
func kinds(make func(c runbook.Channel) *stub) map[string]Make {
	return map[string]Make{"": func(c runbook.Channel) (Channel, error) { return make(c), nil }}
}

func TestSend(t *testing.T) {
	var got Letter
	p, err := New(&runbook.Runbook{Channels: []runbook.Channel{{Name: "team"}}}, kinds(func(runbook.Channel) *stub {
		return &stub{send: func(l Letter) (string, error) { got = l; return "C1:2", nil }}
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := state.Message{ID: "m42-0", Channel: "team", Text: "we \"know\""}
	if ref, err := p.Send(t.Context(), incident(), m); err != nil || ref != "C1:2" || got.Key != "INC-20261122-01/m42-0" || got.Message.Text != m.Text {
		t.Errorf("%q %v: %+v", ref, err, got)
	}
	m.Edits = 2
	if _, err := p.Send(t.Context(), incident(), m); err != nil || got.Key != "INC-20261122-01/m42-0/2" {
		t.Errorf("%v: key %q", err, got.Key)
	}
	m.Channel = "gone"
	if _, err := p.Send(t.Context(), incident(), m); !Permanent(err) || !state.HasCode(err, "no-channel") {
		t.Errorf("%v", err)
	}
	if _, err := New(&runbook.Runbook{Channels: []runbook.Channel{{Name: "team", Kind: "pigeon"}}}, nil, nil); !state.HasCode(err, "no-channel") {
		t.Errorf("%v", err)
	}
}

// TestKeysOfTwoHosts: two hosts' first incidents of a day have the same ID, and their
// messages are not each other's.
func TestKeysOfTwoHosts(t *testing.T) {
	here, there := incident(), incident()
	here.Mark, there.Mark = here.ID+".5f2c9a01", there.ID+".0badcafe"
	m := state.Message{ID: "m42-0"}
	if a, b := key(here, m), key(there, m); a == b || a != "INC-20261122-01.5f2c9a01/m42-0" {
		t.Errorf("%q and %q", a, b)
	}
}

func TestFailuresHoldNoSecret(t *testing.T) {
	secret := "T0000000000000000SECRET"
	ch := &stub{send: func(Letter) (string, error) {
		f := Refused("team", "no such hook /"+secret+" nor\nLATERSECRET", true)
		f.After = time.Hour
		return "", f
	}, reach: func() (string, error) { return "it is " + secret, errors.New("plain " + secret) }}
	p, err := New(&runbook.Runbook{Channels: []runbook.Channel{{Name: "team"}}}, kinds(func(runbook.Channel) *stub { ch.secrets = []string{secret}; return ch }), nil)
	if err != nil {
		t.Fatal(err)
	}
	ch.secrets = append(ch.secrets, "LATERSECRET") // put right while mayday runs
	_, err = p.Send(t.Context(), incident(), state.Message{Channel: "team"})
	if !Permanent(err) || RetryAfter(err) != longestWait || strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	seen, err := p.Reach(t.Context(), "team")
	if strings.Contains(seen, secret) || err == nil || strings.Contains(err.Error(), secret) || Permanent(err) {
		t.Errorf("%q %v", seen, err)
	}
}

func TestSecretsInAddresses(t *testing.T) {
	for raw, want := range map[string]string{
		"https://hooks.example.com/services/T000000000000001/x":          "T000000000000001",
		"https://u:geheim@example.com/":                                  "geheim",
		"https://example.com/w?sig=abcdefgh&sp=x":                        "abcdefgh",
		"telegram://110201543:AAHdqTcvCH1vGWJxfSeofSAs@telegram?chats=1": "AAHdqTcvCH1vGWJxfSeofSAs",
		"ntfy://averylongsecrettopic01@ntfy.sh/":                         "averylongsecrettopic01",
	} {
		if got := AddressSecrets(runbook.Channel{Name: "a", URL: raw}); !slices.Contains(got, want) || !slices.Contains(got, raw) {
			t.Errorf("%s: %q", raw, got)
		}
	}
}

func TestWhomToCall(t *testing.T) {
	p := post(t, &runbook.Runbook{People: []runbook.Person{{Name: "Alice", Contact: "+49 30 1", Roles: []string{state.OnCall}},
		{Name: "Carol", Contact: "+49 30 2", Roles: []string{state.Senior}}, {Name: "Dan", Contact: "+49 30 3", Roles: []string{state.Executives}}, {Name: "Eve"}}})
	in := incident()
	in.Roles[state.CommsLead] = "Eve"
	for want, m := range map[string]state.Message{
		"Carol +49 30 2":                 {Purpose: "page", Role: state.Senior, Audience: "pages"},
		"Alice +49 30 1, Eve":            {Purpose: "page", Role: state.Senior, Audience: "pages", Who: "Alice, Eve"},
		"Dan +49 30 3":                   {Purpose: "update", Audience: "executives"},
		"Eve":                            {Purpose: "update", Audience: "customers"},
		"Alice +49 30 1, Carol +49 30 2": {Purpose: "declared", Audience: "team"},
		"Alice +49 30 1, Carol +49 30 2, Dan +49 30 3, Eve": {Purpose: "review", Audience: "reviewers"}, // nobody has the role: everybody
	} {
		if got := p.Call(in, m); got != want {
			t.Errorf("%+v: %q, want %q", m, got, want)
		}
	}
}

func TestFit(t *testing.T) {
	long := strings.Repeat("ü", 1000)
	for n := range 200 {
		if got := Fit(long, n); len(got) > n || !utf8.ValidString(got) {
			t.Errorf("%d: %d bytes, %q", n, len(got), got)
		}
	}
	if Fit("short", 5) != "short" {
		t.Error("cut what fits")
	}
}

func TestChannels(t *testing.T) {
	rb := &runbook.Runbook{Channels: []runbook.Channel{{Name: "a"}, {Name: "b", Audiences: []string{"customers", "team"}}, {Name: "pd", Audiences: []string{"pages"}},
		{Name: "pd2", Audiences: []string{"executives"}}}}
	p, err := New(rb, kinds(func(c runbook.Channel) *stub { return &stub{alerts: c.Name[0] == 'p', corrects: c.Name == "b"} }), nil)
	if err != nil {
		t.Fatal(err)
	}
	for audience, want := range map[string]string{"team": "a b", "pages": "a pd", "customers": "b", "executives": "pd2", Alerts: "pd", Changes: "pd pd2"} {
		if got := strings.Join(p.Channels(audience), " "); got != want {
			t.Errorf("%s: %q, want %q", audience, got, want)
		}
	}
	if p.Corrects("a") || !p.Corrects("b") || p.Corrects("gone") {
		t.Error("who corrects is wrong")
	}
}

func run(t *testing.T, p *Post, item string, in *state.Incident, values map[string]string) (steps.Outcome, error) {
	t.Helper()
	return p.Actions()[item].Run(t.Context(), steps.Job{Incident: in, Values: values, Output: io.Discard, Evidence: t.TempDir(),
		Now: func() time.Time { return night }})
}

func TestRoomAndTicket(t *testing.T) {
	p := post(t, &runbook.Runbook{WarRoom: "https://meet/{incident}", Tracker: "https://tracker/{issue}"})
	in := incident()
	o, err := run(t, p, "2.room", in, nil)
	if err != nil || o.Facts["room"] != "https://meet/INC-20261122-01" {
		t.Errorf("%+v %v", o, err)
	}
	if o, err = run(t, p, "2.ticket", in, nil); err != nil || o.Facts["ticket"] != "https://tracker/PROD-2847" {
		t.Errorf("%+v %v", o, err)
	}
	in.Issue = ""
	if _, err = run(t, p, "2.ticket", in, nil); !state.HasCode(err, "no-issue") {
		t.Errorf("%v", err)
	}
	if o, err = run(t, p, "2.ticket", in, map[string]string{"issue": "#12"}); err != nil || o.Facts["ticket"] != "https://tracker/12" {
		t.Errorf("%+v %v", o, err)
	}
}

func TestChannelsReachable(t *testing.T) {
	rb := &runbook.Runbook{}
	in := incident()
	if _, err := run(t, post(t, rb), "10.channels", in, nil); !state.HasCode(err, "no-channel") {
		t.Errorf("%v", err)
	}
	rb.Channels = []runbook.Channel{{Name: "team"}}
	p, err := New(rb, kinds(func(c runbook.Channel) *stub {
		return &stub{reach: func() (string, error) {
			if c.Name == "gone" {
				return "", Unreached("gone", "connection refused")
			}
			return "the token is mayday's", nil
		}}
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := run(t, p, "10.channels", in, nil); err != nil || o.Summary != "1 of 1" || !strings.Contains(o.Evidence[0].Value, "the token is mayday's") {
		t.Errorf("%+v %v", o, err)
	}
	in.Messages = []state.Message{{ID: "m1", Channel: "team", Tries: 2, Err: "503"}}
	if _, err := run(t, p, "10.channels", in, nil); !state.HasCode(err, "unreachable") {
		t.Errorf("%v", err)
	}
	in.Messages = append(in.Messages, state.Message{ID: "m2", Channel: "team", Tries: 1, Sent: night}, state.Message{ID: "m3", Channel: "team"})
	if o, err := run(t, p, "10.channels", in, nil); err != nil || !strings.Contains(o.Evidence[0].Value, "took m2") {
		t.Errorf("%+v %v", o, err)
	}
	rb.Channels = append(rb.Channels, runbook.Channel{Name: "gone"})
	if p, err = New(rb, kinds(func(runbook.Channel) *stub {
		return &stub{reach: func() (string, error) { return "", Unreached("gone", "connection refused") }}
	}), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, p, "10.channels", in, nil); !state.HasCode(err, "unreachable") || !strings.Contains(err.Error(), "gone") {
		t.Errorf("%v", err)
	}
}

func TestDelivered(t *testing.T) {
	p := post(t, &runbook.Runbook{})
	in := incident()
	in.Messages = []state.Message{{ID: "m1", Channel: "team", Purpose: "update", Dead: true, Err: "404"}}
	if _, err := run(t, p, "13.delivered", in, nil); !state.HasCode(err, "undelivered") || !strings.Contains(err.Error(), "404") {
		t.Errorf("%v", err)
	}
	in.Messages = append(in.Messages, state.Message{ID: "m2", Channel: "team", Purpose: "update", Sent: night})
	if o, err := run(t, p, "13.delivered", in, nil); err != nil || o.Summary != "1 delivered" {
		t.Errorf("%+v %v", o, err)
	}
	in.Messages = append(in.Messages, state.Message{ID: "m3", Channel: "team", Purpose: "page"})
	if _, err := run(t, p, "13.delivered", in, nil); !state.HasCode(err, "undelivered") {
		t.Errorf("%v", err)
	}
}
