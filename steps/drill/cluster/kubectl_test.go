package cluster

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// kubectl runs the machine's own kubectl against a cluster.
type kubectl struct {
	*testing.T
	env []string
}

func newKubectl(t *testing.T, c *Cluster) *kubectl {
	t.Helper()
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("no kubectl on PATH")
	}
	home := t.TempDir()
	config := filepath.Join(home, "config")
	if err := os.WriteFile(config, c.Kubeconfig(), 0o600); err != nil {
		t.Fatal(err)
	}
	return &kubectl{t, append(os.Environ(), "KUBECONFIG="+config, "HOME="+home)}
}

func (k *kubectl) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(k.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "kubectl", args...)
	cmd.Env = k.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// says runs a command that must succeed and print all the words.
func (k *kubectl) says(command string, words ...string) {
	k.Helper()
	out, err := k.try(strings.Fields(command)...)
	if err != nil {
		k.Errorf("kubectl %s: %v\n%s", command, err, out)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			k.Errorf("kubectl %s: no %q in\n%s", command, w, out)
		}
	}
}

func TestKubectl(t *testing.T) {
	c, client := start(t, deployment("app", 3, "shop:v1"))
	k := newKubectl(t, c)
	kubelet(t, client)
	waitDeployment(t, client, "app", settled)
	k.says("get deployments", "READY", "UP-TO-DATE", "3/3")
	k.says("get pods -o wide", "Running", "1/1", NodeName)
	k.says("get all -A", "deployment.apps/app", "service/app-stable", "replicaset.apps/app-")
	k.says("get vs app -o yaml", "apiVersion: networking.istio.io/v1", "weight: 100")
	k.says("describe deployment app", "ScalingReplicaSet", "NewReplicaSetAvailable")
	k.says("set image deployment/app app=shop:v2", "image updated")
	k.says("rollout status deployment/app --timeout=15s", "successfully rolled out")
	k.says("rollout undo deployment/app", "rolled back")
	k.says("rollout status deployment/app --timeout=15s", "successfully rolled out")
	k.says("rollout history deployment/app", "2  ", "3  ")
	k.says("get replicasets -o wide", "shop:v1", "shop:v2")
	k.says("scale deployment/app --replicas=5", "scaled")
	k.says("rollout status deployment/app --timeout=15s", "successfully rolled out")
	k.says("rollout pause deployment/app", "paused")
	k.says("rollout resume deployment/app", "resumed")
	k.says("rollout restart deployment/app", "restarted")
	k.says("rollout status deployment/app --timeout=15s", "successfully rolled out")
	k.says(`patch deployment app -p {"spec":{"replicas":1}} --dry-run=server`, "patched")
	k.says("get deployment app -o jsonpath={.spec.replicas}", "5")
	k.says("auth can-i patch deployments", "yes")
	if _, err := client.AppsV1().StatefulSets("shop").Create(t.Context(), database(2, "shop:v1"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	k.says("rollout status statefulset/db --timeout=15s", "roll out complete")
	k.says("set image statefulset/db app=shop:v2", "image updated")
	k.says("rollout status statefulset/db --timeout=15s", "roll out complete")
	k.says("rollout undo statefulset/db --to-revision=1", "rolled back")
	k.says("rollout status statefulset/db --timeout=15s", "roll out complete")
	k.says("get statefulsets -o wide", "2/2", "shop:v1")
	k.says("get controllerrevisions", "statefulset.apps/db", "3")
	k.says("scale statefulset/db --replicas=1", "scaled")
	file := filepath.Join(t.TempDir(), "web.yaml")
	if err := os.WriteFile(file, []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {a: b}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.says("apply -f "+file, "created")
	k.says("apply -f "+file, "unchanged")
	k.says("delete deployment app --timeout=15s", "deleted")
	if out, err := k.try("get", "pods", "--watch", "--request-timeout=1s"); err != nil && !strings.Contains(out, "imeout") {
		t.Errorf("kubectl get pods --watch: %v\n%s", err, out)
	}
}
