package state

func init() {
	register[SuiteStarted]()
	register[SuiteFinished]()
}

// SuiteStarted is written before a validation suite runs.
type SuiteStarted struct {
	Run         string `json:"run"`
	Suite       string `json:"suite"`
	Environment string `json:"environment"`
}

// Kind implements Fact.
func (SuiteStarted) Kind() string { return "suite.started" }

func (SuiteStarted) apply(*Incident, Event) {}

// SuiteFinished is what a validation suite came to, with evidence of each check. A suite
// that was stopped has a Problem and the evidence so far.
type SuiteFinished struct {
	Run         string     `json:"run"`
	Suite       string     `json:"suite"`
	Environment string     `json:"environment"`
	Summary     string     `json:"summary,omitempty"`
	Evidence    []Evidence `json:"evidence,omitempty"`
	Problem     *Problem   `json:"problem,omitempty"`
}

// Kind implements Fact.
func (SuiteFinished) Kind() string { return "suite.finished" }

func (SuiteFinished) apply(*Incident, Event) {}
