package comms

import (
	"fmt"
	"io"
	"maps"
	"strings"
	"text/template"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// builtIn are the messages where the runbook has none of its own. They hold no
// secrets, and what customers read holds no names and no causes.
var builtIn = map[string]string{
	"declared": `INCIDENT DECLARED: {{.Severity}}

Title: {{.Title}}
{{with .Service}}Service: {{.}}
{{end}}{{with .Impact}}Impact: {{.}}
{{end}}Started: {{.Started}}
Status: {{.Status}}
{{with .ETA}}ETA: {{.}}
{{end}}
We are aware of an issue affecting {{or .Service .Title}}.
Our team is on it{{with .Every}} and will provide updates every {{.}}{{end}}.

{{with .Commander}}Incident Commander: {{.}}
{{end}}{{with .WarRoom}}War Room: {{.}}
{{end}}{{with .Ticket}}Ticket: {{.}}
{{end}}Incident: {{.ID}}
{{with .PublicKey}}Journal key: {{.}}
{{end}}
#incident #{{lower .Severity}}`,

	"update": `INCIDENT UPDATE: {{.Severity}} ({{.Duration}})

{{.ID}}: {{.Title}}
Status: {{.Status}}
{{with .RootCause}}Root Cause: {{.}}
{{end}}{{with .Action}}Action: {{.}}
{{end}}{{with .ETA}}ETA: {{.}}
{{end}}{{with .Every}}
Next update in {{.}}{{with $.NextUpdate}} ({{.}}){{end}}.
{{end}}`,

	"customers": `{{or .Service .Title}}: {{.Public}}

Since {{.Started}} you may have trouble using {{or .Service "our service"}}.{{with .Impact}}
{{.}}{{end}}
{{with .ETA}}We expect it to be fixed: {{.}}.
{{end}}{{with .NextUpdate}}We will write again by {{.}}.
{{end}}We are sorry for the inconvenience.`,

	"resolved": `INCIDENT RESOLVED: {{.Severity}}

Title: {{.Title}}
Duration: {{.Duration}}
{{with .Resolution}}Resolution: {{.}}
{{end}}
Service is fully restored.{{with .Monitor}} It was watched for {{.}} after the fix.{{end}}
A detailed post-mortem will be shared within 48 hours.

Thank you for your patience.`,

	"page": `PAGE {{.Severity}}: {{with .Extra.who}}{{.}}, {{end}}you are needed{{with .Extra.role}} as {{.}}{{end}}

{{.ID}}: {{.Title}}
{{with .Impact}}Impact: {{.}}
{{end}}Running for {{.Duration}}, status {{.Status}}.
{{with .Extra.step}}Now at {{.}}
{{end}}{{with .Extra.metric}}Failing: {{.}}
{{end}}{{with .Extra.rollback}}Rollback: {{.}}
{{end}}{{with .Commander}}Incident Commander: {{.}}
{{end}}{{with .WarRoom}}War Room: {{.}}
{{end}}{{with .Extra.join}}Join: {{.}}
{{end}}Take it: mayday ack --incident {{.ID}}`,

	"review": `REVIEW NEEDED NOW: {{.Severity}} hotfix for {{or .Service .Title}}

{{.ID}}: {{.Title}}
{{with .Branch}}Branch: {{.}}
{{end}}{{with .Commit}}Commit: {{.}}
{{end}}{{with .Change}}Change: {{.}} lines
{{end}}Look for security and correctness, not style. Somebody other than the author signs:
{{if .Statement}}these lines in a file, with ssh-keygen -Y sign -n mayday -f YOUR-KEY FILE

{{.Statement}}
mayday approve --incident {{.ID}} --import FILE.sig{{else}}mayday approve --incident {{.ID}}{{end}}`,

	"rollback": `ROLLED BACK: {{.Severity}} {{or .Service .Title}}

{{.ID}}: {{.Title}}
{{with .Extra.target}}Production runs {{.}} again.
{{end}}{{with .Extra.reason}}Reason: {{.}}
{{end}}{{with .Extra.verified}}Verified: {{.}}
{{end}}The incident goes on; status {{.Status}}.`,

	"deployed": `HOTFIX DEPLOYED: {{.Severity}} {{or .Service .Title}}{{with .Version}} {{.}}{{end}}

{{.ID}}: {{.Title}}
{{with .Environment}}Environment: {{.}}
{{end}}{{with .Baseline}}Before: {{.}}
{{end}}Status: {{.Status}}
{{with .Monitor}}We watch it for {{.}}.{{end}}`,

	"executives": `{{.Severity}}: {{.Title}}

{{with .Service}}Service: {{.}}
{{end}}{{with .Impact}}Impact: {{.}}
{{end}}Since: {{.Started}} ({{.Duration}})
Status: {{.Status}}
{{with .ETA}}Expected end: {{.}}
{{end}}{{with .Commander}}In command: {{.}}
{{end}}{{with .NextUpdate}}Next word by {{.}}.{{end}}`,

	"resolved.executives": `{{.Severity}} is over: {{.Title}}

{{with .Impact}}Impact: {{.}}
{{end}}Lasted: {{.Duration}}, from {{.Started}}
{{with .RootCause}}Cause: {{.}}
{{end}}{{with .Resolution}}Resolution: {{.}}
{{end}}{{range .ActionItems}}To do: {{.}}
{{end}}A post-mortem follows within 48 hours.`,

	"resolved.customers": `{{or .Service .Title}}: it works again

Between {{.Started}} and now you may have had trouble using {{or .Service "our service"}}. It lasted {{.Duration}}.

Thank you for your patience.`,

	"rollback.customers": `{{or .Service .Title}}: {{.Public}}

We took a change back. {{with .NextUpdate}}We will write again by {{.}}.{{end}}`,

	"deployed.customers": `{{or .Service .Title}}: it works again, and we are watching it

Our fix is in place. {{with .NextUpdate}}We will write again by {{.}}.{{end}}`,

	"meeting": `REVIEW of {{.ID}}{{with .Extra.when}}: {{.}}{{end}}

{{.Severity}} {{.Title}}
{{with .Extra.note}}That is {{.}}.
{{end}}{{with .WarRoom}}Where: {{.}}
{{end}}{{with .Extra.invited}}Invited: {{.}}
{{end}}{{with .Extra.absent}}Tell them, they have no e-mail address: {{.}}
{{end}}
What happened, what helped, what hindered, what we change. Without blame.
Read it before: mayday report --incident {{.ID}}`,

	"acked": `{{with .Extra.who}}{{.}} has it{{else}}Somebody has it{{end}}{{with .Extra.role}}: {{.}}{{end}}

{{.ID}}: {{.Title}}`,

	"change": `{{with .Extra.what}}{{.}}{{else}}Production changed{{end}}{{with .Service}}: {{.}}{{end}}

{{.ID}}: {{.Title}}
{{with .Environment}}Environment: {{.}}
{{end}}`,
}

// parse reads the built-in templates and the runbook's over them, and tries each
// on an incident without anything in it.
func parse(rb *runbook.Runbook) (map[string]*template.Template, error) {
	texts := maps.Clone(builtIn)
	for name, text := range rb.Templates {
		if _, _, ok := runbook.SplitLetter(name); !ok {
			return nil, &state.Problem{Code: "template", What: "There is no message template " + name,
				Do: "Use one of " + strings.Join(runbook.LetterNames(), ", ") + ", or one of these with an audience: update.executives."}
		}
		texts[name] = text
		// A runbook's own words come before the built-in ones for an audience.
		for _, audience := range []string{"customers", "executives"} {
			if built := name + "." + audience; builtIn[built] != "" && rb.Templates[built] == "" {
				delete(texts, built)
			}
		}
	}
	out := map[string]*template.Template{}
	for name, text := range texts {
		t, err := runbook.ParseLetter(name, text)
		if err == nil {
			err = t.Execute(io.Discard, runbook.Letter{})
		}
		if err != nil {
			return nil, &state.Problem{Code: "template", What: "The message template " + name + " cannot be used", Why: state.Clean(err.Error()),
				Do: "Correct templates." + name + " in the runbook."}
		}
		out[name] = t
	}
	return out, nil
}

// template finds the words of an occasion for an audience: those made for both, then
// what that audience reads of an incident that goes on, then the occasion's.
func (p *Post) template(occasion, audience string) *template.Template {
	names := []string{occasion + "." + audience, occasion}
	if occasion == "declared" || occasion == "update" {
		names = []string{occasion + "." + audience, audience, occasion}
	}
	for _, name := range names {
		if t, ok := p.templates[name]; ok {
			return t
		}
	}
	return nil
}

// Render gives the text of a message for an occasion (declared, update, resolved,
// page, acked, review, rollback, deployed, change, meeting) and an audience. It ends with the
// journal's head. extra holds what the incident does not know: "head" (the journal's
// short head hash), "role", "who", "step", "metric", "rollback" and "join" of a page,
// "what" of a change, "when", "note", "invited" and "absent" of a meeting,
// "target", "reason" and "verified" of a rollback, "action" and "cause" of an
// update, "key" (the journal's public key). A drill's messages say that they are.
func (p *Post) Render(occasion, audience string, in *state.Incident, now time.Time, extra map[string]string) (string, error) {
	t := p.template(occasion, audience)
	if t == nil {
		return "", fmt.Errorf("there is no message template %q", occasion)
	}
	var b strings.Builder
	if in.Drill != "" {
		b.WriteString("DRILL, no real incident\n\n")
	}
	d := p.data(in, now, extra)
	if err := t.Execute(&b, d); err != nil {
		return "", fmt.Errorf("render the message %s: %w", occasion, err)
	}
	text := strings.TrimSpace(p.redact.Text(state.CleanLines(b.String())))
	if d.Head != "" {
		text += "\n\nJournal head: " + d.Head
	}
	return text, nil
}

func (p *Post) data(in *state.Incident, now time.Time, extra map[string]string) runbook.Letter {
	d := runbook.Letter{ID: in.ID, Title: state.Clean(in.Title), Severity: in.Severity.String(), Service: in.Service, Environment: in.Environment,
		Issue: in.Issue, Impact: state.Clean(in.Impact), Status: sentence(string(in.Status)), Public: public(in), ETA: in.ETA,
		RootCause: in.RootCause, Action: extra["action"], Resolution: resolution(in),
		Started: stamp(in.Declared), Duration: span(in.Elapsed(now)), Monitor: span(in.Policy.Monitor.D()),
		Commander: in.Roles[state.Commander], WarRoom: p.room(in), Ticket: p.ticket(in, ""), Head: extra["head"], PublicKey: extra["key"],
		Version: in.Facts["version"], Baseline: in.Facts["baseline"], Branch: in.Facts["branch"], Commit: in.Facts["commit"], Change: in.Facts["change.lines"],
		Roles: in.Roles, Facts: in.Facts, Extra: extra, ActionItems: in.ActionItems}
	if s, ok := in.ForReview(); ok && p.rb.Signers != "" {
		d.Statement = s.Text()
	}
	if d.RootCause == "" {
		d.RootCause = extra["cause"]
	}
	if in.Issue == "" {
		d.Ticket = in.Facts["ticket"]
		if told := in.Facts["2.ticket"]; d.Ticket == "" && told != "none" { // a person's answer
			d.Ticket = p.ticket(in, told)
		}
	}
	if every := in.Policy.Update.D(); every > 0 {
		d.Every, d.NextUpdate = span(every), now.Add(every).UTC().Format("15:04 UTC")
	}
	return d
}

// public is a status in words for customers.
func public(in *state.Incident) string {
	switch in.Status {
	case state.Identified, state.Fixing:
		return "we found the problem and are fixing it"
	case state.Monitoring:
		return "it works again, and we are watching it"
	case state.Resolved, state.Closed:
		return "it works again"
	}
	return "we are looking into a problem"
}

func resolution(in *state.Incident) string {
	switch {
	case in.Rollback.Status == state.RollbackDone && len(in.Closed) >= in.Attempt:
		return "Rolled back to the version before"
	case in.Facts["version"] != "":
		return "Hotfix deployed (" + in.Facts["version"] + ")"
	}
	return ""
}

func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "just now"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// span says a duration in words, to the minute; empty for none.
func span(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	count := func(n int, what string) string {
		if n == 1 {
			return "1 " + what
		}
		return fmt.Sprintf("%d %ss", n, what)
	}
	m := int(d.Round(time.Minute) / time.Minute)
	switch {
	case m < 1:
		return "less than a minute"
	case m < 60:
		return count(m, "minute")
	case m%60 == 0:
		return count(m/60, "hour")
	}
	return count(m/60, "hour") + " " + count(m%60, "minute")
}
