package kube_test

import (
	"os/exec"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/kube"
	"mayday/steps/kube/kubetest"
)

// TestConfigByHand types the commands that the plan shows for a rollback of the data,
// after everything else failed, with a real kubectl.
func TestConfigByHand(t *testing.T) {
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("jq, which the commands by hand use, is not installed")
	}
	c := kubetest.Shared(t)
	s := shopOn(t, c, configured(deploy("app", "registry.local/shop:v1.2.3", 1, stableLabels())))
	s.withConfig(t)
	s.settled(t, "app")
	_, p := begun(t, s, runbook.Environment{Rolling: rollingEnv("app"), Config: deployFiles(t)}, 1)
	if m := s.configMap(t, "app"); m.Data["MODE"] != "fixed" {
		t.Fatalf("the rollout wrote %v", m.Data)
	}
	typed := 0
	for _, op := range p.Inverse {
		if !strings.HasPrefix(op.ID, "config.") {
			continue
		}
		typed++
		cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(op.Command, "kubectl ", c.Kubectl+" "))
		cmd.Env = append(cmd.Environ(), "KUBECONFIG="+c.Kubeconfig)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", op.Command, err, out)
		}
	}
	if m, x := s.configMap(t, "app"), s.secret(t, "keys"); typed != 3 || len(m.Data) != 2 || m.Data["LIMIT"] != "10" || string(x.Data["password"]) != oldPassword || len(x.Data) != 2 {
		t.Errorf("%d commands by hand left %v and %d keys", typed, m.Data, len(x.Data))
	}
}

// TestConfigRights: these rights on ConfigMaps and Secrets are enough.
func TestConfigRights(t *testing.T) {
	c := kubetest.Shared(t)
	s := shopOn(t, c, configured(deploy("app", "registry.local/shop:v1.2.3", 1, stableLabels())))
	s.withConfig(t)
	s.settled(t, "app")
	rule := func(group string, verbs []string, resources ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}
	}
	user := c.User(t, s.ns, rule("apps", []string{"get", "list", "watch", "patch"}, "deployments"), rule("apps", []string{"get", "list"}, "replicasets"),
		rule("", []string{"get", "list", "watch"}, "pods"), rule("", []string{"get", "create", "patch"}, "configmaps", "secrets"))
	st := kube.Strategies(kube.Connect, nil, s.preview, testKeys)["rolling"]
	order := s.order(runbook.Environment{Rolling: rollingEnv("app"), Config: deployFiles(t), Kubeconfig: user})
	p, err := st.Plan(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Warnings) > 0 {
		t.Errorf("warned %q", p.Warnings)
	}
	if proof, err := st.Prove(t.Context(), p, false); err != nil || proof.Ready != state.Ready {
		t.Errorf("Prove: %+v, %v", proof, err)
	}
	if at, err := rolled(t, st, p); err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	if err := s.client.CoreV1().Secrets(s.ns).Delete(t.Context(), "keys", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Rollback(t.Context(), p, steps.Fence{Incident: "INC-20261122-01", Epoch: 1}, func(state.RollbackOp) {}); err != nil {
		t.Error(err)
	}
	if x := s.secret(t, "keys"); string(x.Data["password"]) != oldPassword {
		t.Error("the Secret is not back")
	}
}
