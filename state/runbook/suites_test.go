package runbook

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

const shopWithSuites = `
service: shop
environments:
  production: {image: "shop:{version}", url: "https://shop", checks: [{name: login, path: /login}]}
  staging: {image: "shop:{version}", url: "https://staging", checks: [{name: login, path: /login}], fixed: {path: /fixed}}
  bare: {image: "shop:{version}", url: "https://bare"}
commands: {smoke: [./smoke], scan: [./scan]}
suites:
`

func TestSuites(t *testing.T) {
	rb := parseOK(t, shopWithSuites+`
  quick: {commands: [smoke]}
  critical-path: {checks: [paths, fixed, login], commands: [smoke, scan], environments: [staging]}
  after: {checks: [performance], environments: [production, ]}
`)
	if got := rb.Suites["quick"].Environments; !reflect.DeepEqual(got, []string{"bare", "staging"}) {
		t.Errorf("by default everywhere but in production: %v", got)
	}
	for env, want := range map[string][]string{"staging": {"critical-path", "quick"}, "production": {"after"}, "bare": {"quick"}, "moon": nil} {
		if got := rb.SuitesIn(env); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", env, got)
		}
	}
}

func TestSuitesAreStrict(t *testing.T) {
	for suite, want := range map[string]string{
		`x: {}`:                         "suites.x names nothing",
		`x: {commands: [smok]}`:         `unknown command "smok"; did you mean "smoke"?`,
		`x: {commands: [smoke, smoke]}`: `names "smoke" twice`,
		`x: {checks: [logn]}`:           `unknown check of bare "logn"`,
		`x: {checks: [login]}`:          `unknown check of bare "login"`,
		`x: {checks: [paths]}`:          "environments.bare has no checks",
		`x: {checks: [fixed], environments: [production]}`:    "environments.production has no fixed",
		`x: {checks: [performance], environments: [staging]}`: "performance is compared in production",
		`x: {commands: [smoke], environments: [stagin]}`:      `unknown environment "stagin"; did you mean "staging"?`,
		`x: {commands: [smoke], environments: []}`:            "suites.x runs nowhere",
		`x: {comands: [smoke]}`:                               `unknown key "comands" in suites.x; did you mean "commands"?`,
	} {
		_, err := Parse("mayday.yaml", []byte(shopWithSuites+"  "+suite))
		var mistakes *Error
		if !errors.As(err, &mistakes) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", suite, err, want)
		} else if mistakes.Issues[0].Line != 9 {
			t.Errorf("%s: line %d", suite, mistakes.Issues[0].Line)
		}
	}
}
