package state

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Verdict is what the thresholds say of a reading. Only OK passes a gate by
// default: not knowing is not health.
type Verdict string

// The six verdicts.
const (
	OK     Verdict = "ok"
	Warn   Verdict = "warn"
	Crit   Verdict = "crit"
	NoData Verdict = "no-data" // the source answered, and had nothing (or NaN)
	Stale  Verdict = "stale"   // the last reading is older than it may be
	Error  Verdict = "error"   // the source could not be asked, or answered nonsense
)

// Known reports whether the verdict says something of the world (ok, warn, crit)
// and not of our ignorance.
func (v Verdict) Known() bool { return v == OK || v == Warn || v == Crit }

// Worse orders verdicts for "worst first": crit, warn, error, no-data, stale, ok.
func (v Verdict) Worse() int {
	switch v {
	case Crit:
		return 5
	case Warn:
		return 4
	case Error:
		return 3
	case NoData:
		return 2
	case Stale:
		return 1
	}
	return 0
}

// Probe is one thing that is looked at again and again, as the checklist, the
// metrics pane and the replay know it. How it is asked is in Query and Target.
type Probe struct {
	Name  string   `json:"name"`  // unique in an incident: "error rate new"
	Kind  string   `json:"kind"`  // prometheus, http, rollout, pods, restarts, events, weight, tcp, tls, grpc, dns, command, log, pod-log, alerts, alertmanager, rules
	Query string   `json:"query"` // PromQL, "GET http://…", "deployment/app", "host:port", "grpc://host:port/service", "A name @resolver", a command, a path, a label selector
	Unit  string   `json:"unit,omitempty"`
	Warn  *float64 `json:"warn,omitempty"`
	Crit  *float64 `json:"crit,omitempty"`
	Below bool     `json:"below,omitempty"` // low is bad: thresholds are lower bounds
	// WarnTo and CritTo stand in the place of Warn and Crit: thresholds that follow the
	// baseline, which is the old version now (Compare, Old) or else the probe's own
	// window before the rollout. The Hub knows none: gates and Observe judge by them.
	WarnTo *Relative `json:"warn_to,omitempty"`
	CritTo *Relative `json:"crit_to,omitempty"`
	// For is how long a reading must be bad before gates count it.
	For Duration `json:"for,omitempty"`
	// Rank compares by a rank test too, with the probe that Compare names, the part Old,
	// or the window before the rollout.
	Rank    *Rank    `json:"rank,omitempty"`
	Every   Duration `json:"every"`
	Timeout Duration `json:"timeout"` // real time
	StaleAt Duration `json:"stale"`   // a reading older than this is stale
	// Reach is how long after a bad event its readings may still look good: the window
	// of a query, the interval of the scrape behind it. Reaction is the worst case from a
	// bad event to the rollback that its readings pull; 0: they pull none.
	// RankReaction is the same for its rank test, which notices what no threshold does,
	// and later.
	Reach        Duration `json:"reach,omitempty"`
	Reaction     Duration `json:"reaction,omitempty"`
	RankReaction Duration `json:"rank_reaction,omitempty"`
	Role         Role     `json:"role,omitempty"`
	Critical     bool     `json:"critical,omitempty"` // one of the critical endpoints
	Covers       string   `json:"covers,omitempty"`   // which of Covered it watches
	// Compare names the probe this one is shown beside ("error rate old"), and that
	// gates compare it with.
	Compare string `json:"compare,omitempty"`
	// Series says what becomes of an answer of several series. By keeps them apart by
	// the values of that label instead (Sample.Parts); New and Old are then its values
	// for the versions, where the probe compares those in one answer.
	Series Several `json:"series,omitempty"`
	By     string  `json:"by,omitempty"`
	New    string  `json:"new,omitempty"`
	Old    string  `json:"old,omitempty"`
	// HTTP probes only.
	Method  string            `json:"method,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
	Status  int               `json:"status,omitempty"` // expected; 0 means any 2xx
	// Contains and JSON are what the answer's body must hold: a text, and by path
	// what is found there.
	Contains string            `json:"contains,omitempty"`
	JSON     map[string]string `json:"holds,omitempty"`
	// Want is what a DNS probe's resolvers should answer, all of it and nothing else; of a
	// weight the route that says it, and the destination in it.
	Want []string `json:"want,omitempty"`
	// Args are a command with its arguments, Env what it gets to know of the incident.
	Args []string `json:"args,omitempty"`
	Env  []string `json:"env,omitempty"`
	// Pattern is what a log's lines must match to be counted (of a file of rules, which
	// alerts count), Container whose log of a pod.
	Pattern   string `json:"pattern,omitempty"`
	Container string `json:"container,omitempty"`
}

// Covered are the signs of a deployment's health that a probe may watch: endpoints,
// the error rate, response times, the connection pool, what others run that it depends
// on, that sessions begin and last, that transactions succeed.
var Covered = []string{"health", "errors", "latency", "connections", "dependencies", "sessions", "transactions"}

// Endpoint reports whether the probe asks an endpoint itself, and not what metrics,
// logs or the cluster say of the service.
func (p Probe) Endpoint() bool {
	switch p.Kind {
	case "http", "tcp", "tls", "grpc", "dns":
		return true
	}
	return false
}

// Role says what a probe means to gates: which version's traffic it sees.
type Role string

// Roles of a probe.
const (
	RoleNew     Role = "new"     // the new version only: gates of the rollout use it
	RoleOld     Role = "old"     // the old version only: what new is compared with
	RoleAll     Role = "all"     // the whole service: gates of monitoring use it
	RoleFix     Role = "fix"     // the original issue is gone
	RoleDisplay Role = "display" // shown, gates nothing
)

// Text says the thresholds as a person reads them: "< 1 %", "> 99 %".
func (p Probe) Text() string {
	t := p.Warn
	if t == nil {
		t = p.Crit
	}
	sign := "<"
	if p.Below {
		sign = ">"
	}
	if to := cmp.Or(p.WarnTo, p.CritTo); to != nil && (p.WarnTo != nil || p.Warn == nil) {
		return sign + " " + to.Text()
	}
	if t == nil {
		return ""
	}
	return sign + " " + Quantity(*t, p.Unit)
}

// Quantity writes a value with its unit: percent values are fractions of 1 in
// samples ("ratio") and shown as percent; "s" below 10 is shown in milliseconds.
func Quantity(v float64, unit string) string {
	num := func(f float64) string {
		switch a := math.Abs(f); {
		case a == 0:
			return "0"
		case a < 10:
			return strconv.FormatFloat(math.Round(f*100)/100, 'f', -1, 64)
		case a < 100:
			return strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64)
		case a < 1e6:
			return strconv.FormatFloat(math.Round(f), 'f', -1, 64)
		}
		return strconv.FormatFloat(f, 'g', 3, 64)
	}
	switch {
	case math.IsNaN(v):
		return "–"
	case unit == "ratio":
		return num(v*100) + " %"
	case unit == "s" && math.Abs(v) < 10:
		return num(v*1000) + " ms"
	case unit == "":
		return num(v)
	}
	return num(v) + " " + unit
}

// Sample is one reading of one probe. At is when the value was true (incident
// clock), Got when the keeper took it in, which is what screens and replays go by.
// Err says why the verdict is error.
type Sample struct {
	Probe   string    `json:"probe"`
	At      time.Time `json:"at"`
	Got     time.Time `json:"got"`
	Value   float64   `json:"value"` // meaningless unless the verdict is known
	Verdict Verdict   `json:"verdict"`
	Told    Verdict   `json:"told,omitempty"` // warn or crit by the source's own word, whatever the value
	Text    string    `json:"text,omitempty"` // "200 12ms", "3/3 ready", an error
	// Past: it was asked for afterwards, of a source that remembers, and fills what the
	// rings lack. It is no news.
	Past bool `json:"past,omitempty"`
	// Lines are the last lines that a log's probe counted, oldest first, at most
	// MaxLines: cleaned, redacted and cut. The value says how many there were.
	Lines []string `json:"lines,omitempty"`
	// Parts are the values by label of a probe with By, in the labels' order, at most
	// MaxParts. Of a probe with New the sample's value is that part's; of others, the
	// worst one's.
	Parts []Part `json:"parts,omitempty"`
}

// MaxLines bounds a sample's lines.
const MaxLines = 5

// Judge gives the verdict for a value that was read. NaN is no-data, as PromQL's
// 0/0 is; infinite values are judged like any other.
func (p Probe) Judge(v float64) Verdict {
	switch {
	case math.IsNaN(v):
		return NoData
	case p.Crit != nil && p.bad(v, *p.Crit):
		return Crit
	case p.Warn != nil && p.bad(v, *p.Warn):
		return Warn
	}
	return OK
}

func (p Probe) bad(v, limit float64) bool {
	if p.Below {
		return v < limit
	}
	return v > limit
}

// Worsened reports whether now is worse than before by more than a tenth of
// before: the margin that what was already red may wobble in (gates compare, as
// production is broken when mayday opens).
func (p Probe) Worsened(before, now float64) bool {
	margin := math.Abs(before) / 10
	if p.Below {
		return now < before-margin
	}
	return now > before+margin
}

// Aged gives the sample as it stands at now: a reading older than the probe
// allows is stale, whatever it said.
func (p Probe) Aged(s Sample, now time.Time) Sample {
	if p.StaleAt > 0 && s.Verdict != Error && now.Sub(s.At) > p.StaleAt.D() {
		s.Verdict = Stale
	}
	return s
}

// Check reports what is wrong with a probe's definition, in words.
func (p Probe) Check() error {
	if p.Name == "" {
		return fmt.Errorf("a probe needs a name")
	}
	if p.Warn != nil && p.Crit != nil && p.bad(*p.Warn, *p.Crit) {
		return fmt.Errorf("probe %q: warn %v is beyond crit %v", p.Name, *p.Warn, *p.Crit)
	}
	if a, b := p.WarnTo, p.CritTo; a != nil && b != nil && a.Plus == b.Plus && p.bad(a.Times, b.Times) {
		return fmt.Errorf("probe %q: warn %s is beyond crit %s", p.Name, a.Text(), b.Text())
	}
	return nil
}
