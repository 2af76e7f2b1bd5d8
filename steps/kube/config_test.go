package kube_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/kube"
	"mayday/steps/steptest"
)

var (
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	secretGVR  = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
)

// testKeys keeps the keys of these tests' incidents.
func testKeys(incident string) ([]byte, error) {
	sum := sha256.Sum256([]byte("key of " + incident))
	return sum[:], nil
}

// The values that nothing but the cluster may hold.
const (
	oldPassword = "hunter2-was-here"
	newPassword = "correct-horse-battery"
)

// configured gives a Deployment whose pods read a ConfigMap, two Secrets and a Secret
// that need not exist.
func configured(d *appsv1.Deployment) *appsv1.Deployment {
	c := &d.Spec.Template.Spec.Containers[0]
	c.EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "app"}}}}
	c.Env = append(c.Env, corev1.EnvVar{Name: "PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: "keys"}, Key: "password"}}})
	d.Spec.Template.Spec.Volumes = []corev1.Volume{
		{Name: "files", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "files"}}},
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}}}}}}},
		{Name: "tls", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "perhaps", Optional: new(true)}}}}
	return d
}

// withConfig makes the objects that configured refers to.
func (s *shop) withConfig(t testing.TB) {
	t.Helper()
	for _, m := range []*corev1.ConfigMap{
		{ObjectMeta: metav1.ObjectMeta{Name: "app", Labels: map[string]string{"team": "shop"}}, Data: map[string]string{"MODE": "shop", "LIMIT": "10"}},
		{ObjectMeta: metav1.ObjectMeta{Name: "files"}, Data: map[string]string{"a.conf": "x = 1\n"}, BinaryData: map[string][]byte{"b.bin": {1, 2}}},
	} {
		if _, err := s.client.CoreV1().ConfigMaps(s.ns).Create(t.Context(), m, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.client.CoreV1().Secrets(s.ns).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keys"},
		Data: map[string][]byte{"password": []byte(oldPassword), "user": []byte("shop")}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// deployFiles writes the files of a hotfix that changes the ConfigMap and the Secret.
func deployFiles(t testing.TB) []runbook.ConfigObject {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	text := "kind: ConfigMap\nmetadata: {name: app}\ndata: {MODE: fixed, EXTRA: \"1\"}\n---\nkind: Secret\nmetadata: {name: keys}\nstringData: {password: " + newPassword + "}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return []runbook.ConfigObject{{Name: "ConfigMap/app", File: path}, {Name: "Secret/keys", File: path}}
}

// configShop is a rolling Deployment with config and the environment of a hotfix to both.
func configShop(t testing.TB, open world) (*shop, runbook.Environment) {
	t.Helper()
	s := open(t, configured(deploy("app", "registry.local/shop:v1.2.3", 2, stableLabels())))
	s.withConfig(t)
	s.settled(t, "app")
	return s, runbook.Environment{Rolling: rollingEnv("app"), Config: deployFiles(t)}
}

func (s *shop) configMap(t testing.TB, name string) *corev1.ConfigMap {
	t.Helper()
	m, err := s.client.CoreV1().ConfigMaps(s.ns).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (s *shop) secret(t testing.TB, name string) *corev1.Secret {
	t.Helper()
	x, err := s.client.CoreV1().Secrets(s.ns).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// configFixture is a fixture whose world also is the config's data.
func configFixture(t *testing.T, name string, s *shop, env runbook.Environment, f *share, objects ...planned) steptest.Fixture {
	t.Helper()
	all := append(objects, planned{configMaps, "app"}, planned{configMaps, "files"}, planned{secretGVR, "keys"})
	fix := s.fixture(name, env, f, dynamic.NewForConfigOrDie(s.cfg), all...)
	specs := fix.State
	fix.State = func(t testing.TB) string {
		data, err := json.Marshal([]any{s.configMap(t, "app").Data, s.configMap(t, "files").Data, s.configMap(t, "files").BinaryData, s.secret(t, "keys").Data})
		if err != nil {
			t.Fatal(err)
		}
		return specs(t) + string(data)
	}
	return fix
}

func TestConfigConformance(t *testing.T) {
	for _, batch := range []int{1, 9} {
		t.Run(fmt.Sprintf("rolling, batch %d", batch), func(t *testing.T) {
			conform(t, func(t *testing.T, open world) steptest.Fixture {
				s, env := configShop(t, open)
				env.Rolling.Batch = batch
				return configFixture(t, "rolling", s, env, &share{s: s, paths: []string{"app"}}, planned{deployments, "app"})
			})
		})
	}
	t.Run("canary", func(t *testing.T) {
		conform(t, func(t *testing.T, open world) steptest.Fixture {
			s := open(t, edit(canaryObjects(t, virtualService), "app-stable", func(d *appsv1.Deployment) { *configured(d).Spec.Replicas = 2 })...)
			s.withConfig(t)
			s.settled(t, "app-stable", "app-canary")
			env := canaryEnv("VirtualService/app")
			env.Canary.Weights, env.Canary.Replicas, env.Config = []int{100}, 1, deployFiles(t)
			return configFixture(t, "canary", s, env, &share{s: s, paths: []string{"app-stable", "app-canary"}, route: s.canaryWeight},
				planned{virtualServices, "app"}, planned{deployments, "app-stable"}, planned{deployments, "app-canary"})
		})
	})
}

// begun makes the plan and runs its first stages.
func begun(t testing.TB, s *shop, env runbook.Environment, stages int) (steps.Strategy, state.Plan) {
	t.Helper()
	st := s.strategy("rolling", nil)
	p, err := st.Plan(t.Context(), s.order(env))
	if err != nil {
		t.Fatal(err)
	}
	for i := range stages {
		if _, err := st.Stage(t.Context(), p, i, steps.Fence{Incident: "INC-20261122-01"}, t.Output()); err != nil {
			t.Fatal(err)
		}
	}
	return st, p
}

// taken rolls back and gives what was told of each operation.
func taken(t testing.TB, st steps.Strategy, p state.Plan) (map[string]string, error) {
	t.Helper()
	said := map[string]string{}
	_, err := st.Rollback(t.Context(), p, steps.Fence{Incident: "INC-20261122-01", Epoch: 1}, func(op state.RollbackOp) { said[op.Op] = op.Text })
	return said, err
}

// TestConfigIsWrittenAndRestored: all keys, also those that came and those that went.
func TestConfigIsWrittenAndRestored(t *testing.T) {
	t.Parallel()
	s, env := configShop(t, newShop)
	st, p := begun(t, s, env, 1)
	if m := s.configMap(t, "app"); len(m.Data) != 2 || m.Data["MODE"] != "fixed" || m.Data["EXTRA"] != "1" || m.Labels["team"] != "shop" {
		t.Errorf("the rollout wrote %v, labels %v", m.Data, m.Labels)
	}
	if x := s.secret(t, "keys"); len(x.Data) != 1 || string(x.Data["password"]) != newPassword {
		t.Error("the rollout did not write the Secret")
	}
	said, err := taken(t, st, p)
	if err != nil {
		t.Fatal(err)
	}
	if m := s.configMap(t, "app"); len(m.Data) != 2 || m.Data["MODE"] != "shop" || m.Data["LIMIT"] != "10" || m.Labels["team"] != "shop" {
		t.Errorf("the rollback left %v, labels %v", m.Data, m.Labels)
	}
	if x := s.secret(t, "keys"); len(x.Data) != 2 || string(x.Data["password"]) != oldPassword {
		t.Error("the rollback did not restore the Secret")
	}
	if text := said["config.ConfigMap.app"]; !strings.Contains(text, "EXTRA, LIMIT, MODE") || !strings.Contains(text, "the data of this rollout") {
		t.Errorf("told %q", text)
	}
	if text := said["config.ConfigMap.files"]; text != "was so already" {
		t.Errorf("of what nobody changed it told %q", text)
	}
	copies, err := s.client.CoreV1().ConfigMaps(ns).List(t.Context(), metav1.ListOptions{LabelSelector: kube.IncidentLabel + "=INC-20261122-01," + kube.CopyLabel + "=ConfigMap.app"})
	if err != nil || len(copies.Items) != 1 || copies.Items[0].Immutable == nil || !*copies.Items[0].Immutable || copies.Items[0].Data["LIMIT"] != "10" {
		t.Errorf("copies: %+v, %v", copies, err)
	}
}

// TestConfigPlanSaysWhatHappens to pods that run, and what stays unguarded.
func TestConfigPlanSaysWhatHappens(t *testing.T) {
	t.Parallel()
	s, env := configShop(t, newShop)
	_, p := begun(t, s, env, 0)
	text := ""
	for _, op := range p.Stages[0].Ops {
		text += op.Title + "\n" + op.Diff
	}
	for _, want := range []string{"immutable copy of ConfigMap files", "keep their environment until they start again", "fence of ConfigMap files",
		"+fixed", "-shop", "@@ data[LIMIT] @@", "@@ data[password] @@", "-(value not shown)", "+(another value, not shown)"} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan does not say %q:\n%s", want, text)
		}
	}
}

// TestSecretsAreNowhere: no value of a Secret leaves the cluster, in any spelling.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	s, env := configShop(t, newShop)
	var out strings.Builder
	st := s.strategy("rolling", nil)
	p, err := st.Plan(t.Context(), s.order(env))
	if err != nil {
		t.Fatal(err)
	}
	keep := func(v any) {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s\n%v\n", raw, v)
	}
	prove := func(started bool) {
		proof, err := st.Prove(t.Context(), p, started)
		keep([]any{proof, fmt.Sprint(err)})
	}
	keep(p)
	prove(false)
	for i := range p.Stages {
		effect, err := st.Stage(t.Context(), p, i, steps.Fence{Incident: "INC-20261122-01"}, &out)
		keep([]any{effect, fmt.Sprint(err)})
		lines, err := st.Look(t.Context(), p)
		keep([]any{lines, fmt.Sprint(err)})
		prove(true)
	}
	seen, err := st.Rollback(t.Context(), p, steps.Fence{Incident: "INC-20261122-01", Epoch: 1}, func(op state.RollbackOp) { keep(op) })
	keep([]any{seen, fmt.Sprint(err)})
	for _, secret := range []string{oldPassword, newPassword} {
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawStdEncoding.EncodeToString([]byte(secret))} {
			if strings.Contains(out.String(), form) {
				t.Errorf("%q is in what mayday says or keeps", form)
			}
		}
		sum := sha256.Sum256([]byte(secret))
		if strings.Contains(out.String(), fmt.Sprintf("%x", sum[:6])) {
			t.Error("an unkeyed hash is there")
		}
	}
	if !strings.Contains(out.String(), "password") {
		t.Error("the diff names no key: this test looked at nothing")
	}
}

// TestGuardedChangedBySomebody is restored, and said.
func TestGuardedChangedBySomebody(t *testing.T) {
	t.Parallel()
	s, env := configShop(t, newShop)
	env.Config = nil // the pod template names them all
	st, p := begun(t, s, env, 1)
	if _, err := s.client.CoreV1().ConfigMaps(ns).Patch(t.Context(), "files", types.MergePatchType, []byte(`{"data":{"a.conf":"x = 2\n"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	lines, err := st.Look(t.Context(), p)
	if text := strings.Join(lines, "\n"); err != nil || !strings.Contains(text, "ConfigMap files: key a.conf changed") {
		t.Errorf("Look: %s, %v", text, err)
	}
	said, err := taken(t, st, p)
	if text := said["config.ConfigMap.files"]; err != nil || !strings.Contains(text, "a.conf") || !strings.Contains(text, "somebody else") {
		t.Errorf("told %q, %v", text, err)
	}
	if m := s.configMap(t, "files"); m.Data["a.conf"] != "x = 1\n" || len(m.BinaryData) != 1 {
		t.Errorf("left %v", m.Data)
	}
}

// TestConfigDeletedIsMadeAgain, with the type a Secret had; the proof says that it is gone.
func TestConfigDeletedIsMadeAgain(t *testing.T) {
	t.Parallel()
	s, env := configShop(t, newShop)
	env.Config = nil
	st, p := begun(t, s, env, 1)
	if err := errors.Join(s.client.CoreV1().Secrets(ns).Delete(t.Context(), "keys", metav1.DeleteOptions{}),
		s.client.CoreV1().ConfigMaps(ns).Delete(t.Context(), "files", metav1.DeleteOptions{})); err != nil {
		t.Fatal(err)
	}
	proof, err := st.Prove(t.Context(), p, true)
	if err != nil || proof.Ready != state.Doubtful || !strings.Contains(proof.Why, "makes it again") {
		t.Errorf("Prove: %+v, %v", proof, err)
	}
	said, err := taken(t, st, p)
	if err != nil || !strings.Contains(said["config.Secret.keys"], "made again") {
		t.Errorf("told %q, %v", said, err)
	}
	if x := s.secret(t, "keys"); string(x.Data["password"]) != oldPassword || x.Type != corev1.SecretTypeOpaque || x.Immutable != nil {
		t.Errorf("made again as %s", x.Type)
	}
	if m := s.configMap(t, "files"); len(m.BinaryData) != 1 || m.Annotations[kube.FenceAnnotation] != "INC-20261122-01/1" {
		t.Errorf("made again as %v %v", m.BinaryData, m.Annotations)
	}
}

// TestConfigFenceOfAnother: an incident that holds only a ConfigMap refuses forward work,
// and no copy is left behind.
func TestConfigFenceOfAnother(t *testing.T) {
	t.Parallel()
	s, env := configShop(t, newShop)
	st, p := begun(t, s, env, 0)
	if _, err := s.client.CoreV1().ConfigMaps(ns).Patch(t.Context(), "files", types.MergePatchType,
		fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"INC-20261121-07/3"}}}`, kube.FenceAnnotation), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Stage(t.Context(), p, 0, steps.Fence{Incident: "INC-20261122-01"}, t.Output()); !errors.Is(err, steps.ErrFenced) {
		t.Errorf("Stage: %v", err)
	}
	if n := s.faults.Writes(); n != 0 {
		t.Errorf("%d writes", n)
	}
	if proof, err := st.Prove(t.Context(), p, false); err != nil || proof.Ready != state.NotReady || !strings.Contains(proof.Why, "INC-20261121-07") {
		t.Errorf("Prove: %+v, %v", proof, err)
	}
	if _, err := taken(t, st, p); err != nil {
		t.Errorf("Rollback: %v", err)
	}
}

// TestConfigRefuses what it could not take back, or what is not what was planned.
func TestConfigRefuses(t *testing.T) {
	t.Parallel()
	s, env := configShop(t, newShop)
	plan := func(list ...runbook.ConfigObject) error {
		e := env
		e.Config = list
		_, err := s.strategy("rolling", nil).Plan(t.Context(), s.order(e))
		return err
	}
	if err := plan(runbook.ConfigObject{Name: "ConfigMap/nope"}); !state.HasCode(err, "not-found") {
		t.Errorf("a listed object that is not there: %v", err)
	}
	if err := plan(runbook.ConfigObject{Name: "ConfigMap/files", File: env.Config[0].File}); !state.HasCode(err, "config") {
		t.Errorf("a file without its manifest: %v", err)
	}
	if _, err := s.client.CoreV1().ConfigMaps(ns).Patch(t.Context(), "app", types.MergePatchType, []byte(`{"immutable":true}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := plan(env.Config...); !state.HasCode(err, "immutable") {
		t.Errorf("an immutable object: %v", err)
	}
	st, p := begun(t, s, runbook.Environment{Rolling: env.Rolling, Config: env.Config[1:]}, 0)
	if _, err := s.client.CoreV1().Secrets(ns).Patch(t.Context(), "keys", types.MergePatchType, []byte(`{"stringData":{"user":"eve"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Stage(t.Context(), p, 0, steps.Fence{Incident: "INC-20261122-01"}, t.Output()); !state.HasCode(err, "drift") {
		t.Errorf("a Secret changed since the plan: %v", err)
	}
	st, p = begun(t, s, runbook.Environment{Rolling: env.Rolling, Config: env.Config[1:]}, 0)
	if err := os.WriteFile(env.Config[1].File, []byte("kind: Secret\nstringData: {password: third}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Stage(t.Context(), p, 0, steps.Fence{Incident: "INC-20261122-01"}, t.Output()); !state.HasCode(err, "drift") {
		t.Errorf("a file changed since the plan: %v", err)
	}
}

// TestRollbackWithoutTheKey: what takes back must not depend on a file.
func TestRollbackWithoutTheKey(t *testing.T) {
	t.Parallel()
	s, env := configShop(t, newShop)
	_, p := begun(t, s, env, 1)
	st := kube.Strategies(s.conn, nil, s.preview, nil)["rolling"]
	said, err := taken(t, st, p)
	if err != nil || !strings.Contains(said["config.ConfigMap.app"], "not checked") {
		t.Errorf("told %q, %v", said, err)
	}
	if m := s.configMap(t, "app"); m.Data["MODE"] != "shop" {
		t.Errorf("left %v", m.Data)
	}
	if _, err := st.Plan(t.Context(), s.order(env)); !state.HasCode(err, "no-key") {
		t.Errorf("Plan without a key: %v", err)
	}
}

func (s *shop) canaryWeight(ctx context.Context) (int, error) {
	u, err := dynamic.NewForConfigOrDie(s.cfg).Resource(virtualServices).Namespace(s.ns).Get(ctx, "app", metav1.GetOptions{})
	if err != nil {
		return 0, err
	}
	rules := u.Object["spec"].(map[string]any)["http"].([]any)
	n, _ := rules[1].(map[string]any)["route"].([]any)[1].(map[string]any)["weight"].(int64)
	return int(n), nil
}

// TestUnreadableIsLeftOut: what this user may not read or patch is named in the plan,
// which goes on without it; so does one of an incident that lost its key.
func TestUnreadableIsLeftOut(t *testing.T) {
	t.Parallel()
	s, env := configShop(t, newShop)
	env.Config = nil
	for epoch, c := range []struct {
		st   steps.Strategy
		says []string
	}{
		{s.with("rolling", func(r *http.Request) (int, string) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/secrets/keys") {
				return http.StatusForbidden, status("Forbidden", "no", "403")
			}
			if strings.Contains(r.URL.Path, "selfsubjectaccessreviews") {
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(strings.NewReader(string(body)))
				if strings.Contains(string(body), "configmaps") && strings.Contains(string(body), `"patch"`) && strings.Contains(string(body), `"files"`) {
					return http.StatusCreated, review
				}
			}
			return 0, ""
		}), []string{"Secret keys is not guarded: this user may not read it", "ConfigMap files is not guarded: this user may not patch configmaps"}},
		{kube.Strategies(s.conn, nil, s.preview, nil)["rolling"], []string{"ConfigMap app is not guarded: there is no key", "Secret keys is not guarded"}},
	} {
		p, err := c.st.Plan(t.Context(), s.order(env))
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(p.Warnings, "\n"); !strings.Contains(text, c.says[0]) || !strings.Contains(text, c.says[1]) {
			t.Errorf("warned %q", text)
		}
		if _, err := c.st.Stage(t.Context(), p, 0, steps.Fence{Incident: "INC-20261122-01", Epoch: epoch}, t.Output()); err != nil {
			t.Error(err)
		}
		if _, err := taken(t, c.st, p); err != nil {
			t.Error(err)
		}
		s.settled(t, "app")
	}
}
