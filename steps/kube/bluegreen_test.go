package kube_test

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/kube"
	"mayday/steps/steptest"
)

var (
	services = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	colour   = map[string]map[string]string{"blue": {"app": "myapp", "version": "blue"}, "green": {"app": "myapp", "version": "green"}}
)

const previewURL = "http://127.0.0.1:2"

// colourObjects is the usual shape: blue is live, green asleep.
func colourObjects() []runtime.Object {
	return []runtime.Object{
		deploy("app-blue", "registry.local/shop:v1.2.3", 3, colour["blue"]),
		deploy("app-green", "registry.local/shop:v1.2.2", 0, colour["green"]),
		service("app-service", colour["blue"]),
	}
}

func blueGreenEnv() runbook.Environment {
	return runbook.Environment{BlueGreen: &runbook.BlueGreen{Service: "app-service", Blue: "app-blue", Green: "app-green", Label: "version"}}
}

// colours is what answers: behind the Service, the Deployment it selects; at the
// preview URL, green.
type colours struct{ *share }

func coloursOf(s *shop) colours {
	return colours{&share{s: s, paths: []string{"app-blue", "app-green"}, route: func(ctx context.Context) (int, error) {
		svc, err := s.client.CoreV1().Services(ns).Get(ctx, "app-service", metav1.GetOptions{})
		if err == nil && svc.Spec.Selector["version"] == "green" {
			return 100, nil
		}
		return 0, err
	}}}
}

func (c colours) Versions(ctx context.Context, env runbook.Environment, n int) (map[string]int, error) {
	if env.URL == previewURL {
		out := map[string]int{}
		return out, c.spread(ctx, out, "app-green", n)
	}
	return c.share.Versions(ctx, env, n)
}

// checks answers the runbook's checks and remembers where they were made.
type checks func(url, path string) error

func (c checks) Check(_ context.Context, env runbook.Environment, ch runbook.Check) (string, error) {
	return "200", c(env.URL, ch.Path)
}

func blueGreenFixture(t *testing.T) steptest.Fixture {
	t.Parallel()
	s := newShop(t, colourObjects()...)
	s.settled(t, "app-blue", "app-green")
	s.preview = kube.Preview{Environments: map[string]runbook.Environment{"production": {Checks: []runbook.Check{{Name: "health", Path: "/health"}}}},
		Checker: checks(func(string, string) error { return nil })}
	f, env := coloursOf(s), blueGreenEnv()
	env.BlueGreen.PreviewURL = previewURL
	fx := s.fixture("blue-green", env, f.share, dynamic.NewForConfigOrDie(s.cfg), planned{services, "app-service"}, planned{deployments, "app-blue"}, planned{deployments, "app-green"})
	fx.Strategy = func() steps.Strategy { return s.strategy("blue-green", f) }
	return fx
}
