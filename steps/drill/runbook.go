package drill

import (
	"bytes"
	_ "embed"
	"os/user"
	"strconv"
	"strings"
	"text/template"
	"time"

	"mayday/state"
	"mayday/steps/drill/app"
)

//go:embed files/mayday.yaml
var runbookYAML string

// cadence is how often the range is looked at, and what follows from it, in
// incident time. A faster clock looks less often, so that the real interval never
// falls below a quarter of a second.
type cadence struct {
	interval, window, stale, hold, patience time.Duration
	often                                   time.Duration // of the probe by version, whose lines on the chart are the finer
}

// stall is how long (real time) a busy machine may keep the range from being looked
// at before that counts as metrics that vanished.
const stall = 4 * time.Second

func cadenceOf(c state.Clock) cadence {
	const every = 2 * time.Second
	i := time.Duration(float64(every) * max(1, c.Speed/8)).Round(time.Second)
	// A rate needs two scrapes in its window, four to be calm. A gate must hold longer
	// than it takes for vanished metrics to leave the window.
	return cadence{interval: i, window: 4 * i, stale: 4 * i, hold: max(8*i, 30*time.Second),
		patience: max(6*i, c.Incident(stall)), often: i / 2}
}

// person is a responder of the range's runbook.
type person struct {
	Name, User, Roles, Contact string
}

// Email is their address, in a domain that no mail leaves for (RFC 2606).
func (p person) Email() string {
	name, _, _ := strings.Cut(p.User, "@")
	return name + "@shop.example"
}

// Reviewer is the account that signs off in a drill that plays itself.
const Reviewer = "carol"

// people gives the team: whoever runs the drill, and three colleagues. A colleague
// whose account is the operator's own gets another one.
func people(operator string) []person {
	team := []person{
		{operator, operator, "on-call, driver", "pager 1001"},
		{"alice", "alice", "senior engineer, incident commander", "pager 1002"},
		{"bob", "bob", "engineering manager, communications lead, executives", "pager 1003"},
		{"carol", Reviewer, "reviewer, scribe", "pager 1004"},
	}
	for i := range team[1:] {
		if p := &team[i+1]; p.User == operator {
			p.Name, p.User = p.Name+"-colleague", p.User+"-colleague"
		}
	}
	return team
}

// operator is the account that runs this process.
func operator() string {
	if u, err := user.Current(); err == nil {
		name := u.Username
		return name[strings.LastIndexByte(name, '\\')+1:] // a Windows domain
	}
	return "operator"
}

// versionOf is which of the app's versions a set of probes looks at.
type versionOf struct {
	Suffix, And, Role, Compare string
}

// severity is a built-in policy as the template writes it.
type severity struct {
	Name, AtOnce string
	state.Policy
}

func severities() []severity {
	var out []severity
	for s := range state.Severity(4) {
		p := state.DefaultPolicy(s)
		p.Monitor = minutes(20)
		out = append(out, severity{s.String(), strings.Join(p.AtOnce, ", "), p})
	}
	return out
}

// runbook writes the range's mayday.yaml.
func (r *Range) runbook(operator string) ([]byte, error) {
	t, err := template.New("mayday.yaml").Funcs(template.FuncMap{
		"q":     strconv.Quote,
		"stamp": func(t time.Time) string { return strconv.Quote(t.UTC().Format(time.RFC3339Nano)) },
	}).Parse(runbookYAML)
	if err != nil {
		return nil, err
	}
	c := cadenceOf(r.clock)
	d := func(d time.Duration) string { return state.Duration(d).String() }
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{
		"Scenario": r.Scenario, "Kubeconfig": r.Kubeconfig, "StagingURL": r.StagingURL, "AppURL": r.AppURL,
		"SinkURL": r.SinkURL, "Targets": r.MetricsTargets, "Fix": r.path("fix.patch"),
		"Database": r.path("accounts.tsv"), "Backups": r.path("backups"), "Bare": app.Bare,
		"Interval": d(c.interval), "Window": d(c.window), "Stale": d(c.stale), "Hold": d(c.hold), "Patience": d(c.patience), "Often": d(c.often),
		"Versions": []versionOf{
			{Suffix: " new", And: `,version="{new}"`, Role: "new", Compare: "old"},
			{Suffix: " old", And: `,version="{old}"`, Role: "old"},
			{Role: "all"}},
		"People": people(operator), "Severities": severities(), "Clock": r.clock,
	})
	return b.Bytes(), err
}
