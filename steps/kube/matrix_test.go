package kube_test

import (
	"os"
	"testing"

	"mayday/steps/steptest"
)

// TestCrashMatrix lets a process die at every write of every strategy. On the control
// plane that takes minutes, so it does so with CI=true only.
func TestCrashMatrix(t *testing.T) {
	for name, fixture := range map[string]func(*testing.T, world) steptest.Fixture{
		"canary VirtualService": func(t *testing.T, open world) steptest.Fixture {
			return canaryFixture(t, open, virtualService, "VirtualService/app", virtualServices, "http", "route", 1)
		},
		"canary HTTPRoute": func(t *testing.T, open world) steptest.Fixture {
			return canaryFixture(t, open, httpRoute, "HTTPRoute/app", httpRoutes, "rules", "backendRefs", 0)
		},
		"rolling":        func(t *testing.T, open world) steptest.Fixture { return rollingFixture(t, open, 1) },
		"rolling whole":  func(t *testing.T, open world) steptest.Fixture { return rollingFixture(t, open, 9) },
		"StatefulSet":    func(t *testing.T, open world) steptest.Fixture { return orderedFixture(t, open, 1) },
		"canary by pods": func(t *testing.T, open world) steptest.Fixture { return podsFixture(t, open, 0) },
		"blue-green":     blueGreenFixture,
		"immediate":      immediateFixture,
		"config": func(t *testing.T, open world) steptest.Fixture {
			s, env := configShop(t, open)
			env.Rolling.Batch = 9
			return configFixture(t, "rolling", s, env, &share{s: s, paths: []string{"app"}}, planned{deployments, "app"})
		},
		"several": func(t *testing.T, open world) steptest.Fixture {
			s, env := severalShop(t, open, "")
			return configFixture(t, "rolling", s, env, &share{s: s, paths: []string{"app"}}, planned{deployments, "app"}, planned{deployments, "worker"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crash := func(t *testing.T, open world) {
				steptest.Crash(t, func(t *testing.T) steptest.Fixture {
					t.Parallel()
					return fixture(t, open)
				})
			}
			t.Run("drill", func(t *testing.T) { crash(t, newShop) })
			t.Run("control plane", func(t *testing.T) {
				if os.Getenv("CI") != "true" {
					t.Skip("the crash matrix takes minutes on a control plane: it runs there with CI=true")
				}
				crash(t, realShop)
			})
		})
	}
}
