package kube_test

import (
	"os"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/kube"
	"mayday/steps/kube/kubetest"
)

// readmeRules are the rights that the README says mayday needs.
func readmeRules(t *testing.T) []rbacv1.PolicyRule {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```yaml\napiVersion: rbac.authorization.k8s.io/v1\n")
	text, _, ok := strings.Cut(rest, "```")
	var role rbacv1.Role
	if err := yaml.UnmarshalStrict([]byte(text), &role); err != nil || !ok || len(role.Rules) < 10 {
		t.Fatalf("the README has no Role: %v", err)
	}
	return role.Rules
}

// TestReadmeRights: with the README's Role, and not one right more, every strategy
// plans, proves, rolls out and rolls back on the control plane.
func TestReadmeRights(t *testing.T) {
	t.Parallel()
	rules := readmeRules(t)
	c := kubetest.Shared(t)
	app := func(replicas int32) runtime.Object {
		return deploy("app", "registry.local/shop:v1.2.3", replicas, map[string]string{"app": "app"})
	}
	for _, k := range []struct {
		name, strategy string
		env            runbook.Environment
		objects        []runtime.Object
	}{
		{"rolling", "rolling", runbook.Environment{Rolling: &runbook.Rolling{Deployment: "app"}}, []runtime.Object{app(2)}},
		{"StatefulSet", "rolling", runbook.Environment{Rolling: &runbook.Rolling{StatefulSet: "db"}}, []runtime.Object{stateful("db", "registry.local/shop:v1.2.3", 2)}},
		{"immediate", "immediate", runbook.Environment{Immediate: &runbook.Immediate{Deployment: "app"}}, []runtime.Object{app(2)}},
		{"VirtualService", "canary", canaryEnv("VirtualService/app"), canaryObjects(t, virtualService)},
		{"HTTPRoute", "canary", canaryEnv("HTTPRoute/app"), canaryObjects(t, httpRoute)},
		{"blue-green", "blue-green", blueGreenEnv(), []runtime.Object{deploy("app-blue", "registry.local/shop:v1.2.3", 2, colour["blue"]),
			deploy("app-green", "registry.local/shop:v1.2.3", 0, colour["green"]), service("app-service", colour["blue"])}},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			r := real{c: c, ns: c.Namespace(t)}
			for _, o := range k.objects {
				m, ok := o.(metav1.Object)
				if !ok {
					t.Fatalf("%T", o)
				}
				m.SetNamespace(r.ns)
				if kinds, _, err := scheme.Scheme.ObjectKinds(o); err == nil {
					o.GetObjectKind().SetGroupVersionKind(kinds[0])
				}
				c.ApplyObject(t, r.ns, o)
			}
			env := k.env
			env.Name, env.Production, env.Namespace, env.Image = "production", true, r.ns, "registry.local/shop:{version}"
			env.Kubeconfig = c.User(t, r.ns, rules...)
			r.through(t, kube.Strategies(kube.Connect, nil, kube.Preview{}, nil)[k.strategy],
				steps.Order{ID: "r1", Environment: env, Version: "v1.2.4", Previous: "v1.2.3", Incident: "INC-20261122-01"})
		})
	}
}

// through rolls out and back, and wants the proof to find every right.
func (r real) through(t *testing.T, s steps.Strategy, order steps.Order) {
	t.Helper()
	var p state.Plan
	for give := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) { // the controllers make the first pods
		var err error
		if p, err = s.Plan(t.Context(), order); err == nil {
			if proof, err := s.Prove(t.Context(), p, false); err == nil && proof.Ready == state.Ready {
				break
			} else if time.Now().After(give) {
				t.Fatalf("proof %s %q, %v", proof.Ready, proof.Why, err)
			}
		} else if time.Now().After(give) {
			t.Fatal(err)
		}
	}
	proof, err := s.Prove(t.Context(), p, false)
	for _, f := range proof.Checks {
		if strings.HasPrefix(f.Name, "right") && (!f.OK || f.Warn || strings.Contains(f.Text, "does not say")) {
			t.Errorf("%s: %s", f.Name, f.Text)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Stages {
		if _, err := s.Stage(t.Context(), p, i, fence(0), t.Output()); err != nil {
			t.Fatalf("stage %q: %v", p.Stages[i].Name, err)
		}
	}
	if v, err := s.Rollback(t.Context(), p, fence(1), quietly); err != nil {
		t.Errorf("rollback: %v, %+v", err, v)
	}
}
