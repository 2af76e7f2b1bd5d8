// Package runbook reads mayday.yaml: the service, its environments and
// strategies, its probes, people and channels. Defaults make a ten-line file
// enough; what is written is checked strictly, and an error names file, line and
// column and points at the spot.
package runbook

import (
	"slices"

	"mayday/state"
)

// Runbook is one mayday.yaml with the defaults filled in.
type Runbook struct {
	Path string `yaml:"-"` // the file it came from, absolute
	Dir  string `yaml:"-"` // its folder: relative paths start here

	Service      string                          `yaml:"service"`
	Repo         Repo                            `yaml:"repo"`
	Environments map[string]Environment          `yaml:"environments"`
	Commands     map[string]Command              `yaml:"commands"`
	Suites       map[string]Suite                `yaml:"suites"` // validation suites, by name
	Prometheus   Prometheus                      `yaml:"prometheus"`
	Alertmanager Alertmanager                    `yaml:"alertmanager"`
	Presets      []string                        `yaml:"presets"` // probe sets by one word: "golden-signals"
	Probes       []Probe                         `yaml:"probes"`
	Gate         Gate                            `yaml:"gate"`
	Rollback     Rollback                        `yaml:"rollback"`
	People       []Person                        `yaml:"people"`
	Signers      string                          `yaml:"allowed_signers"` // a file of OpenSSH's: an approval then needs an SSH signature by a key in it, of a person in People
	Revoked      string                          `yaml:"revoked_signers"` // keys, or a KRL, that count no more
	Channels     []Channel                       `yaml:"channels"`
	Templates    map[string]string               `yaml:"templates"` // LetterNames to text/template over a Letter
	Severities   map[state.Severity]state.Policy `yaml:"severities"`
	WarRoom      string                          `yaml:"war_room"` // a link, {incident} is replaced; or "slack:CHANNEL", whose bot makes a room
	Tracker      string                          `yaml:"tracker"`  // a link; {issue} is replaced
	Tickets      *Tickets                        `yaml:"tickets"`  // where tickets are made and commented on
	Review       ReviewHours                     `yaml:"review"`   // when the review meeting may be
	Drill        *Drill                          `yaml:"drill"`
}

// Repo says how the service's git repository is worked with.
type Repo struct {
	Dir        string    `yaml:"dir"`        // default: the runbook's folder
	Remote     string    `yaml:"remote"`     // default origin
	Model      string    `yaml:"model"`      // git-flow (default), trunk, main
	Production string    `yaml:"production"` // default "production"
	Develop    string    `yaml:"develop"`    // default "develop"
	Main       string    `yaml:"main"`       // default "main"
	From       string    `yaml:"from"`       // model main only: "tag" (default) or "main"
	TagPrefix  string    `yaml:"tag_prefix"` // default "v"
	Branch     string    `yaml:"branch"`     // "issue" (default): hotfix/<issue>-<slug>; "version": hotfix/<version>
	Version    Version   `yaml:"version"`
	MaxChange  MaxChange `yaml:"max_change"`
}

// Version says how the next version is made and written down.
type Version struct {
	Scheme  string   `yaml:"scheme"`  // patch (default): 1.2.3 → 1.2.4; hotfix: 1.2.3 → 1.2.3-hotfix.1
	Files   []string `yaml:"files"`   // the only files the version commit may touch
	Command *Command `yaml:"command"` // writes them; VERSION and PREVIOUS_VERSION in its environment
}

// MaxChange is the budget of a hotfix, in changed lines and files. Amber from
// Warn on, red (needs an override) beyond Lines or Files. 0 means the default.
type MaxChange struct {
	Warn  int `yaml:"warn"`  // default 50 lines
	Lines int `yaml:"lines"` // default 200
	Files int `yaml:"files"` // default 10
}

// Environment is one place the service runs.
type Environment struct {
	Name       string     `yaml:"-"`          // its key
	Production bool       `yaml:"production"` // default: true for the one named production
	Kubeconfig string     `yaml:"kubeconfig"` // default: KUBECONFIG, then ~/.kube/config
	Context    string     `yaml:"context"`    // default: the current context
	Namespace  string     `yaml:"namespace"`  // default "default"
	Image      string     `yaml:"image"`      // "registry/shop:{version}"; {version} is the tag, such as v1.2.4
	Container  string     `yaml:"container"`  // default: the pod's first
	Strategy   string     `yaml:"strategy"`   // the one proposed: canary, blue-green, rolling, immediate, script; default by what is set below
	Canary     *Canary    `yaml:"canary"`
	BlueGreen  *BlueGreen `yaml:"blue_green"`
	Rolling    *Rolling   `yaml:"rolling"`
	Immediate  *Immediate `yaml:"immediate"`
	Script     *Script    `yaml:"script"` // deploys by commands of the team's own
	URL        string     `yaml:"url"`    // where the service answers, for checks
	Checks     []Check    `yaml:"checks"` // the critical paths
	Fixed      *Check     `yaml:"fixed"`  // passes only when the original issue is gone
	// Config lists ConfigMaps and Secrets that a rollout changes or guards.
	Config []ConfigObject `yaml:"config"`
	// Workloads get the new version after what the strategy names, one after the other
	// in the order written; a rollback takes them back in the reverse order.
	Workloads []Workload `yaml:"workloads"`
}

// Strategies lists what this environment can do, the proposed one first.
func (e Environment) Strategies() []string {
	var out []string
	add := func(ok bool, name string) {
		if ok && name != e.Strategy {
			out = append(out, name)
		}
	}
	if e.Strategy != "" {
		out = append(out, e.Strategy)
	}
	add(e.Canary != nil, "canary")
	add(e.BlueGreen != nil, "blue-green")
	add(e.Rolling != nil, "rolling")
	add(e.Immediate != nil, "immediate")
	add(e.Script != nil, "script")
	return out
}

// Canary is a rollout by traffic weight between two Deployments: each behind its own
// Service, by an Istio VirtualService or a Gateway API HTTPRoute (Route), or without a
// mesh both behind one Service, by their numbers of pods (Service).
type Canary struct {
	Stable        string         `yaml:"stable"`         // Deployment
	Canary        string         `yaml:"canary"`         // Deployment
	StableService string         `yaml:"stable_service"` // default: the Deployment's name
	CanaryService string         `yaml:"canary_service"`
	Route         string         `yaml:"route"`    // "VirtualService/app" or "HTTPRoute/app"
	Host          string         `yaml:"host"`     // VirtualService with several hosts: which one; optional
	Service       string         `yaml:"service"`  // instead of Route: selects the pods of both Deployments
	Replicas      int            `yaml:"replicas"` // of the canary while it runs, with Service of both together; default: as stable
	Weights       []int          `yaml:"weights"`  // default 10, 25, 50, 75, 100
	Hold          state.Duration `yaml:"hold"`     // default 5m
	Subsets       *Subsets       `yaml:"subsets"`  // one host with subsets instead of two Services
}

// Subsets routes between subsets of one host; its DestinationRule must define both.
type Subsets struct {
	Host            string `yaml:"host"`
	Stable          string `yaml:"stable"`
	Canary          string `yaml:"canary"`
	DestinationRule string `yaml:"destination_rule"`
}

// BlueGreen is a rollout by one Service that leads to one of two Deployments, the
// colours: the idle one gets the new version, then the Service's selector is switched.
// Which of the two is live, the selector says; each rollout changes the other one.
type BlueGreen struct {
	Service string `yaml:"service"`
	Blue    string `yaml:"blue"`  // Deployment
	Green   string `yaml:"green"` // Deployment
	// Label is the key of the selector that is switched, default "version"; its values
	// are those of the Deployments' pod templates.
	Label string `yaml:"label"`
	// PreviewURL is where the idle colour answers before any user sees it: the
	// environment's checks are made there too. Empty: through the API server, at
	// PreviewService or else at a pod of the idle colour.
	PreviewURL     string         `yaml:"preview_url"`
	PreviewService string         `yaml:"preview_service"` // a Service that leads to the idle colour
	Hold           state.Duration `yaml:"hold"`            // after the switch; default 5m
	Drain          state.Duration `yaml:"drain"`           // how long the old colour should be kept for open connections; default 5m
}

// Rolling replaces the pods of one Deployment or one StatefulSet batch by batch.
// Exactly one of the two is named.
type Rolling struct {
	Deployment  string         `yaml:"deployment"`
	StatefulSet string         `yaml:"statefulset"`
	Batch       int            `yaml:"batch"` // default 1
	Hold        state.Duration `yaml:"hold"`  // default 30s
}

// Immediate gives one Deployment the new version in one write, with one gate behind it.
type Immediate struct {
	Deployment string         `yaml:"deployment"`
	Hold       state.Duration `yaml:"hold"` // default 1m
}

// Check is one HTTP request with what must come back.
type Check struct {
	Name     string            `yaml:"name"`
	Method   string            `yaml:"method"` // default GET
	Path     string            `yaml:"path"`   // joined to the environment's URL, or a whole URL
	Headers  map[string]string `yaml:"headers"`
	Body     string            `yaml:"body"`
	Status   int               `yaml:"status"`   // default: any 2xx
	Contains string            `yaml:"contains"` // the answer's body must hold this
	JSON     map[string]string `yaml:"json"`     // paths into the answer, and what is there: "checks[0].up": "true"
	Times    int               `yaml:"times"`    // asked so often, all must pass; default 1
	Timeout  state.Duration    `yaml:"timeout"`  // real time; default 5s
}

// Prometheus says where metrics come from. In the file it is a URL, the word
// "local", or this mapping.
type Prometheus struct {
	URL      string         `yaml:"url"`      // empty and not Local: no Prometheus
	HTTP     *Web           `yaml:"http"`     // how the server at URL is reached; nil: nothing special
	Local    bool           `yaml:"local"`    // scrape Targets in process and answer PromQL without a server
	Targets  []string       `yaml:"targets"`  // metrics URLs, or "file:targets.json" (file_sd) for a list that changes
	Interval state.Duration `yaml:"interval"` // of the local scrape, default 5s; or how often the server scrapes, default not known (0)
	Timeout  state.Duration `yaml:"timeout"`  // real; default 5s
}

// Alertmanager says where alerts are gathered. In the file it is a URL or this mapping.
type Alertmanager struct {
	URL  string `yaml:"url"`
	HTTP *Web   `yaml:"http"`
}

// Probe is one thing to look at. Exactly one of the fields from Query to Rules is set;
// {new}, {old} and {service} in them are replaced.
type Probe struct {
	Name     string         `yaml:"name"`
	Query    string         `yaml:"query"`    // PromQL
	HTTP     *Check         `yaml:"http"`     // the value is the latency in seconds
	Rollout  string         `yaml:"rollout"`  // "deployment/app" in the production environment; the value is the ready share
	Pods     string         `yaml:"pods"`     // a label selector: "app=shop,version={new}"; the value is the share of them that is ready
	Restarts string         `yaml:"restarts"` // a label selector; the value is how often containers restarted in ten minutes
	Events   string         `yaml:"events"`   // a regular expression for Kind/name; the value is the number of Kubernetes' warnings since the last look
	Weight   *Weight        `yaml:"weight"`   // the value is how far the canary's share of the traffic lies from its weight in the route
	TCP      string         `yaml:"tcp"`      // "host:port"; the value is the time to connect in seconds
	TLS      string         `yaml:"tls"`      // "host:port"; the value is the days until its certificates expire
	GRPC     *GRPC          `yaml:"grpc"`     // the standard health service; the value is the latency in seconds
	DNS      *DNS           `yaml:"dns"`      // the value is the share of resolvers that answer what is wanted
	Command  *Command       `yaml:"command"`  // the value is the number it prints; an exit code that is not 0 is crit
	Log      *Log           `yaml:"log"`      // the value is the number of lines that matched since the last look
	Alerts   *Alerts        `yaml:"alerts"`   // the value is the number of alerts that fire
	Rules    *Rules         `yaml:"rules"`    // the same, of a file of rules that mayday evaluates itself
	Series   Series         `yaml:"series"`   // of a query that gives several: any, all, max, min or "by LABEL"
	Unit     string         `yaml:"unit"`
	Warn     *Limit         `yaml:"warn"` // a number, or what is wanted: "< 5", "< 1.2 x baseline"
	Crit     *Limit         `yaml:"crit"`
	Below    bool           `yaml:"below"`   // low is bad; with > in warn or crit it goes without saying
	For      state.Duration `yaml:"for"`     // how long it must be bad before gates count it
	Every    state.Duration `yaml:"every"`   // default 5s
	Timeout  state.Duration `yaml:"timeout"` // default 5s, real
	Stale    state.Duration `yaml:"stale"`   // default 3 x every
	Role     state.Role     `yaml:"role"`    // default all
	Critical bool           `yaml:"critical"`
	// Covers says which sign of health it watches, one of state.Covered; of an endpoint of
	// the environment's own url by default "health".
	Covers  string  `yaml:"covers"`
	Compare Compare `yaml:"compare"`
	Gate    *Gate   `yaml:"gate"` // what of the runbook's gate is otherwise for this probe; after loading, all of it

	route []string // of Weight: production's route, and the canary's destination in it
}

// Weight compares the weight in production's canary route with the traffic that is seen.
type Weight struct {
	Seen string `yaml:"seen"` // PromQL of the canary's share, from 0 to 1
}

// Compare names the probe that gates compare one with: the old version's. In the file
// it is that name or this mapping.
type Compare struct {
	With   string  `yaml:"with"`   // default with by: the part of the old version, or the window before the rollout
	By     string  `yaml:"by"`     // rank: gates test by Mann-Whitney's U too, see state.Rank
	Alpha  float64 `yaml:"alpha"`  // default 0.01
	Effect float64 `yaml:"effect"` // default 0.71
}

// GRPC is a server that offers grpc.health.v1.Health.
type GRPC struct {
	Address string `yaml:"address"` // "host:port"
	Service string `yaml:"service"` // default: the server as a whole
	TLS     bool   `yaml:"tls"`
}

// DNS is a name that several resolvers are asked for: a change has propagated when
// all of them answer it.
type DNS struct {
	Name      string   `yaml:"name"`
	Type      string   `yaml:"type"`      // default A
	Resolvers []string `yaml:"resolvers"` // "9.9.9.9" or "10.0.0.1:5353"; default: this host's
	Want      []string `yaml:"want"`      // the records, all of them; default: what most resolvers answer
}

// Log is a file on this host, or the logs of all pods that a selector finds in the
// production environment's namespace.
type Log struct {
	File      string `yaml:"file"`
	Pods      string `yaml:"pods"`      // a label selector: "app=shop,version={new}"
	Container string `yaml:"container"` // of the pods; default: all
	Pattern   string `yaml:"pattern"`   // a regular expression (RE2)
}

// Alerts are those that a server raises.
type Alerts struct {
	From  string            `yaml:"from"`  // prometheus or alertmanager; default: the latter where the runbook has one
	Match map[string]string `yaml:"match"` // labels, and the regular expressions that must match all of their values
}

// Rules is a file of Prometheus' alerting and recording rules.
type Rules struct {
	File  string            `yaml:"file"`
	Match map[string]string `yaml:"match"` // as in Alerts
}

// Gate says what a verdict does to a stage: pass, wait, ask or rollback.
type Gate struct {
	Warn        string         `yaml:"warn"`        // default wait
	Crit        string         `yaml:"crit"`        // default rollback
	NoData      string         `yaml:"no_data"`     // default ask
	Stale       string         `yaml:"stale"`       // default ask
	Error       string         `yaml:"error"`       // default ask
	Consecutive int            `yaml:"consecutive"` // crit readings in a row before the rollback; default 3
	Patience    state.Duration `yaml:"patience"`    // how long ignorance may last before the gate asks; default 15s
}

// Person is a responder. OS accounts decide who may do what.
type Person struct {
	Name    string   `yaml:"name"`
	User    string   `yaml:"user"`  // operating-system account
	Roles   []string `yaml:"roles"` // on-call, senior engineer, engineering manager, incident commander, reviewer…
	Contact string   `yaml:"contact"`
	Email   string   `yaml:"email"` // for the invitation to the review; default: contact, where that is an address
}

// Channel is where messages go. The URL may come from the environment or a file
// and is never journaled or shown.
type Channel struct {
	Name      string   `yaml:"name"`
	Kind      string   `yaml:"kind"` // webhook (default), slack, teams, mail, pagerduty, statuspage, shoutrrr, command
	URL       string   `yaml:"url"`  // a webhook's; of slack with a token, pagerduty and statuspage: another server than the service's
	URLEnv    string   `yaml:"url_env"`
	URLFile   string   `yaml:"url_file"`
	Audiences []string `yaml:"audiences"` // team, stakeholders, customers, executives, reviewers, pages; default team, stakeholders, reviewers, pages

	TokenEnv   string   `yaml:"token_env"` // slack: a bot's; pagerduty: the routing key; statuspage: the API key
	TokenFile  string   `yaml:"token_file"`
	Room       string   `yaml:"room"`       // slack with a token: the channel's id, or its name
	Page       string   `yaml:"page"`       // statuspage: the page's id
	Components []string `yaml:"components"` // statuspage: ids of what the incident breaks
	Mail       *Mail    `yaml:"mail"`
	Command    *Command `yaml:"command"`
}

// Mail says by which server messages are mailed, and to whom.
type Mail struct {
	Host         string   `yaml:"host"`
	Port         int      `yaml:"port"`    // default 587, with implicit TLS 465
	TLS          string   `yaml:"tls"`     // starttls (default) or implicit: never without
	CAFile       string   `yaml:"ca_file"` // default: the system's
	User         string   `yaml:"user"`
	PasswordEnv  string   `yaml:"password_env"`
	PasswordFile string   `yaml:"password_file"`
	From         string   `yaml:"from"`
	To           []string `yaml:"to"`
}

// Tickets says where the incident's ticket is kept.
type Tickets struct {
	Kind      string   `yaml:"kind"`    // github, jira or command
	URL       string   `yaml:"url"`     // jira: where it is; github: an Enterprise server's https://HOST/api/v3
	Repo      string   `yaml:"repo"`    // github: owner/name
	Project   string   `yaml:"project"` // jira: the key
	Type      string   `yaml:"type"`    // jira: the issue type, default Bug
	User      string   `yaml:"user"`    // jira Cloud: the account that the token is of
	TokenEnv  string   `yaml:"token_env"`
	TokenFile string   `yaml:"token_file"`
	Command   *Command `yaml:"command"`
}

// Drill marks a runbook that a practice range wrote.
type Drill struct {
	Scenario string      `yaml:"scenario"`
	Clock    state.Clock `yaml:"clock"`
	Sink     string      `yaml:"sink"` // where the range's messages can be read
}

// GateOf gives the policy of the gates for a probe, the runbook's where the probe has
// none of its own.
func (r *Runbook) GateOf(probe string) Gate {
	for i := range r.Probes {
		if p := &r.Probes[i]; p.Name == probe && p.Gate != nil {
			return *p.Gate
		}
	}
	return r.Gate
}

// Production gives the production environment.
func (r *Runbook) Production() (Environment, bool) {
	for _, e := range r.Environments {
		if e.Production {
			return e, true
		}
	}
	return Environment{}, false
}

// Policy gives the policy of a severity, the built-in one where the file sets none.
func (r *Runbook) Policy(s state.Severity) state.Policy {
	if p, ok := r.Severities[s]; ok {
		return p
	}
	return state.DefaultPolicy(s)
}

// Person gives the responder with that operating-system account.
func (r *Runbook) Person(user string) (Person, bool) {
	for _, p := range r.People {
		if p.User == user {
			return p, true
		}
	}
	return Person{}, false
}

// Holder names the first person with a role, "" where nobody has it.
func (r *Runbook) Holder(role string) string {
	for _, p := range r.People {
		if slices.Contains(p.Roles, role) {
			return p.Name
		}
	}
	return ""
}

// Rota gives each role's people, in the order of the file.
func (r *Runbook) Rota() map[string][]string {
	out := map[string][]string{}
	for _, p := range r.People {
		for _, role := range p.Roles {
			out[role] = append(out[role], p.Name)
		}
	}
	return out
}

// Policies gives every severity's policy.
func (r *Runbook) Policies() map[state.Severity]state.Policy {
	out := map[state.Severity]state.Policy{}
	for s := range state.Severity(4) {
		out[s] = r.Policy(s)
	}
	return out
}
