package drill

import (
	"slices"

	"mayday/state"
)

// words is what the operator of a drill says to the checks that ask for words: what
// somebody who had done it would write.
var words = map[string]string{
	"1.affected":    "sign-in of the shop; the catalog and the checkout of signed-in customers work",
	"1.impact":      "about 8 % of sign-ins answer 500: customers without a profile cannot get in",
	"1.time":        "now: every failed sign-in is a customer lost",
	"1.business":    "one order in twelve, and the support desk",
	"2.ticket":      "none",
	"2.room":        "the team's bridge",
	"2.timeline":    "fixed within the hour",
	"2.protocol":    "updates in the stakeholders' channel by the clock, questions in the war room",
	"4.critical":    "one nil check and its test",
	"4.patterns":    "the same guard as elsewhere in the package",
	"4.logging":     "the error rate by version shows it, nothing to add",
	"5.core":        "signed in and looked at the catalog",
	"5.resolves":    "the failing sign-in of an account without a profile passes now",
	"5.nothing":     "the other tests of the package pass",
	"5.flows":       "sign in, catalog, sign out",
	"6.security":    "no new input is trusted, nothing is logged",
	"6.correct":     "the guard covers every use of the profile",
	"6.signoff":     "read it line by line; the guard and the test are right",
	"9.strategy":    "canary",
	"10.team":       "alice and bob are here and know it",
	"11.logs":       "no new errors",
	"11.alerts":     "nothing fires that did not before",
	"13.tracker":    "the ticket says that the fix is in production",
	"15.feedback":   "no new complaints",
	"15.tickets":    "back to the usual",
	"16.lessons":    "accounts without a profile exist in production and in no test",
	"16.improve":    "test data gets such accounts",
	"16.shared":     "posted in the team's channel",
	"18.actions":    "alice: test data with bare accounts, by Friday; bob: alert on sign-in by account kind, in two weeks",
	"18.runbook":    "nothing was missing",
	"18.procedures": "up to date",
	"18.alerts":     "sign-in success pages at 97 %",
	"18.prevent":    "the linter that finds nil dereferences is on",
}

const rootCause = "Login read the profile of accounts that have none (since v1.2.3); a nil check fixes it."

// answer is what the operator hands in for a check.
func answer(in *state.Incident, it *state.Item) state.Intent {
	switch it.ID {
	case "1.severity":
		return state.Tick{Item: it.ID, Value: in.Severity.String()}
	case "1.decision":
		return state.Decide{Choice: "hotfix", Rationale: "customers are locked out, the cause is known and the fix is small"}
	case "18.cause":
		return state.Resolve{RootCause: rootCause, ActionItems: []string{"test data with bare accounts", "alert on sign-in by account kind"}}
	}
	value := words[it.ID]
	if len(it.Options) > 0 && !slices.Contains(it.Options, value) {
		value = it.Options[0]
	}
	if it.Ask != "" && value == "" {
		value = "looked at it, all well"
	}
	return state.Tick{Item: it.ID, Value: value}
}
