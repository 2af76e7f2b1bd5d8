package drill

import (
	"fmt"
	"strings"
	"time"

	"mayday/state"
	"mayday/steps/drill/app"
)

// The versions of the range: the one in production, with the bug, and the fix.
const (
	Broken = "v1.2.3"
	Fixed  = "v1.2.4"
)

// Ending is how a drill should end.
type Ending string

// Endings.
const (
	Done       Ending = "done"
	RolledBack Ending = "rolled back"
	Asking     Ending = "needs a person"
)

// Scenario is one drill as data. Scenarios are values: they can be copied.
type Scenario struct {
	Name    string // what one types: "bad-canary"
	Title   string // one line
	Story   string // what happens, told without giving the end away
	Teaches string // what it is good for
	Issue   string // the ticket
	Ending  Ending
	ByHand  bool   // the rollback must come from a person, not from a gate
	Watch   string // ByHand: the probe whose warning calls for it
	// Versions says how each version of the app behaves.
	Versions map[string]app.Behaviour
}

// ExitCode is what a drill of this scenario exits with when it ends as it should.
func (s Scenario) ExitCode() int {
	switch s.Ending {
	case RolledBack:
		return 3
	case Asking:
		return 5
	}
	return 0
}

// The probe that slow-burn is about; mayday.yaml of the range has it.
const latencyProbe = "p95 latency"

// Scenarios lists what there is to rehearse, the easiest first.
func Scenarios() []Scenario {
	broken := app.Behaviour{NilProfile: true}
	return []Scenario{
		{
			Name: "good", Title: "a hotfix that works", Issue: "PROD-2847",
			Story: "Since last night's release some customers cannot sign in: about one login in twelve answers 500. " +
				"The cause is known and a patch is ready.",
			Teaches:  "the 18 steps from the alarm to the review, each at least once with your own hands",
			Ending:   Done,
			Versions: map[string]app.Behaviour{Broken: broken, Fixed: {}},
		},
		{
			Name: "bad-canary", Title: "the fix breaks something else", Issue: "PROD-2848",
			Story: "The same failing logins, the same patch. Staging is green. Under a quarter of the real traffic " +
				"the new version runs out of database connections.",
			Teaches: "that staging proves little, and what an automatic rollback looks like",
			Ending:  RolledBack,
			Versions: map[string]app.Behaviour{Broken: broken,
				Fixed: {Overload: &app.Overload{Share: 0.20, Every: 4}}},
		},
		{
			Name: "slow-burn", Title: "the fix gets slower and slower", Issue: "PROD-2849",
			Story: "The patch goes out and everything is green. The monitoring period is there for a reason: " +
				"latency creeps up, and no threshold pulls the trigger for you.",
			Teaches: "to watch after the deployment, to decide, and to press R",
			Ending:  RolledBack, ByHand: true, Watch: latencyProbe,
			Versions: map[string]app.Behaviour{Broken: broken,
				Fixed: {Climb: &app.Climb{Delay: minutes(2), Over: minutes(12), Peak: 900 * time.Millisecond}}},
		},
		{
			Name: "no-data", Title: "the metrics vanish in mid-rollout", Issue: "PROD-2850",
			Story: "Half of the traffic is on the new version when the metrics stop. The app answers. " +
				"Is it well? Nobody can say.",
			Teaches:  "that not knowing is not health: the gate stops and asks, and you decide",
			Ending:   Asking,
			Versions: map[string]app.Behaviour{Broken: broken, Fixed: {MuteAt: 0.40}},
		},
	}
}

func minutes(n int) state.Duration { return state.Duration(time.Duration(n) * time.Minute) }

// Find gives the scenario of that name; the error is a *state.Problem that lists
// what there is.
func Find(name string) (Scenario, error) {
	var names []string
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Scenario{}, &state.Problem{Code: "usage", What: fmt.Sprintf("there is no scenario %q", name),
		Do: "Choose " + strings.Join(names, ", ") + "; mayday drill --list explains them."}
}
