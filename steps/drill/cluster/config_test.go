package cluster

import (
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestSecretsAreReadBackAsData(t *testing.T) {
	_, client := start(t)
	api := client.CoreV1().Secrets("shop")
	s := must[*corev1.Secret](t)(api.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keys"},
		Data: map[string][]byte{"a": []byte("1")}, StringData: map[string]string{"b": "2"}}, metav1.CreateOptions{}))
	if s.Type != corev1.SecretTypeOpaque || string(s.Data["a"]) != "1" || string(s.Data["b"]) != "2" || s.StringData != nil {
		t.Errorf("created as %s with %v and %v", s.Type, s.Data, s.StringData)
	}
	s = must[*corev1.Secret](t)(api.Patch(t.Context(), "keys", types.MergePatchType, []byte(`{"stringData":{"a":"3"}}`), metav1.PatchOptions{}))
	if string(s.Data["a"]) != "3" || string(s.Data["b"]) != "2" {
		t.Errorf("patched to %v", s.Data)
	}
	s = must[*corev1.Secret](t)(api.Patch(t.Context(), "keys", types.JSONPatchType, []byte(`[{"op":"add","path":"/data","value":{"c":"NA=="}}]`), metav1.PatchOptions{}))
	if got := slices.Sorted(maps.Keys(s.Data)); len(got) != 1 || string(s.Data["c"]) != "4" {
		t.Errorf("replaced by %v", s.Data)
	}
	if _, err := api.Patch(t.Context(), "keys", types.MergePatchType, []byte(`{"type":"other"}`), metav1.PatchOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("another type: %v", err)
	}
	must[*corev1.SecretList](t)(api.List(t.Context(), metav1.ListOptions{LabelSelector: "x=y"}))
	if err := api.Delete(t.Context(), "keys", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

func TestSecretsOfATypeNeedItsKeys(t *testing.T) {
	_, client := start(t)
	for _, s := range []corev1.Secret{
		{Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": nil}},
		{Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{".dockerconfigjson": []byte("hunter2")}},
		{Data: map[string][]byte{"a/b": nil}},
		{Data: map[string][]byte{"big": make([]byte, corev1.MaxSecretSize+1)}},
	} {
		s.Name = "bad"
		if _, err := client.CoreV1().Secrets("shop").Create(t.Context(), &s, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
			t.Errorf("type %s: %v", s.Type, err)
		}
	}
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "bad"}, Data: map[string]string{"a": ""}, BinaryData: map[string][]byte{"a": nil}}
	if _, err := client.CoreV1().ConfigMaps("shop").Create(t.Context(), m, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("one key twice: %v", err)
	}
}

// TestImmutable: nothing of the data changes any more, all of the metadata may.
func TestImmutable(t *testing.T) {
	_, client := start(t)
	yes := true
	must[*corev1.ConfigMap](t)(client.CoreV1().ConfigMaps("shop").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "o"},
		Data: map[string]string{"a": "1"}, BinaryData: map[string][]byte{"b": []byte("1")}, Immutable: &yes}, metav1.CreateOptions{}))
	must[*corev1.Secret](t)(client.CoreV1().Secrets("shop").Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "o"},
		Data: map[string][]byte{"a": []byte("1")}, Immutable: &yes}, metav1.CreateOptions{}))
	patch := func(text string) (error, error) {
		_, err1 := client.CoreV1().ConfigMaps("shop").Patch(t.Context(), "o", types.MergePatchType, []byte(text), metav1.PatchOptions{})
		_, err2 := client.CoreV1().Secrets("shop").Patch(t.Context(), "o", types.MergePatchType, []byte(text), metav1.PatchOptions{})
		return err1, err2
	}
	for _, text := range []string{`{"data":{"a":"Mg=="}}`, `{"data":null}`, `{"immutable":false}`, `{"immutable":null}`} {
		if err1, err2 := patch(text); !apierrors.IsInvalid(err1) || !apierrors.IsInvalid(err2) {
			t.Errorf("%s: %v, %v", text, err1, err2)
		}
	}
	if err, _ := patch(`{"binaryData":{"b":"Mg=="}}`); !apierrors.IsInvalid(err) {
		t.Errorf("binaryData: %v", err)
	}
	if err1, err2 := patch(`{"metadata":{"annotations":{"x":"y"}}}`); err1 != nil || err2 != nil {
		t.Errorf("an annotation: %v, %v", err1, err2)
	}
}
