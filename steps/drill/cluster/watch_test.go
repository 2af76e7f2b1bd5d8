package cluster

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

func configMap(name string, labels map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", Labels: labels}}
}

func next(t *testing.T, w watch.Interface) watch.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case e, ok := <-w.ResultChan():
		if !ok {
			t.Fatal("the watch ended")
		}
		return e
	case <-ctx.Done():
		t.Fatal("no event came")
	}
	return watch.Event{}
}

func open(t *testing.T, client *kubernetes.Clientset, o metav1.ListOptions) watch.Interface {
	t.Helper()
	w, err := client.CoreV1().ConfigMaps("shop").Watch(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return w
}

func TestWatchFollowsASelector(t *testing.T) {
	_, client := start(t)
	api := client.CoreV1().ConfigMaps("shop")
	list := must[*corev1.ConfigMapList](t)(api.List(t.Context(), metav1.ListOptions{}))
	must[*corev1.ConfigMap](t)(api.Create(t.Context(), configMap("plain", nil), metav1.CreateOptions{}))
	must[*corev1.ConfigMap](t)(api.Create(t.Context(), configMap("a", map[string]string{"app": "x"}), metav1.CreateOptions{}))
	relabel := func(to string) {
		must[*corev1.ConfigMap](t)(api.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"metadata":{"labels":{"app":`+to+`}}}`), metav1.PatchOptions{}))
	}
	relabel(`"y"`)
	relabel(`"x"`)
	if err := api.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w := open(t, client, metav1.ListOptions{LabelSelector: "app=x", ResourceVersion: list.ResourceVersion})
	last := uint64(0)
	for i, want := range []watch.EventType{watch.Added, watch.Deleted, watch.Added, watch.Deleted} {
		e := next(t, w)
		cm, ok := e.Object.(*corev1.ConfigMap)
		if !ok || e.Type != want || cm.Name != "a" {
			t.Fatalf("event %d: %s %v, want %s of a", i, e.Type, e.Object, want)
		}
		rv, err := strconv.ParseUint(cm.ResourceVersion, 10, 64)
		if err != nil || rv <= last {
			t.Errorf("event %d: version %s after %d", i, cm.ResourceVersion, last)
		}
		last = rv
	}
}

func TestWatchListEndsWithABookmark(t *testing.T) {
	_, client := start(t)
	must[*corev1.ConfigMap](t)(client.CoreV1().ConfigMaps("shop").Create(t.Context(), configMap("a", nil), metav1.CreateOptions{}))
	yes := true
	w := open(t, client, metav1.ListOptions{SendInitialEvents: &yes, AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
	if e := next(t, w); e.Type != watch.Added {
		t.Fatalf("first %s", e.Type)
	}
	e := next(t, w)
	if e.Type != watch.Bookmark || e.Object.(*corev1.ConfigMap).Annotations[metav1.InitialEventsAnnotationKey] != "true" {
		t.Fatalf("then %s %v", e.Type, e.Object)
	}
}

func TestWatchFromAForgottenVersionIsGone(t *testing.T) {
	c, client := start(t)
	st := c.server.store
	for i := range 2*keptChanges + 1 {
		if _, err := st.create(configMaps, configMap(fmt.Sprint("c", i), nil), write{manager: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	if held := len(st.history); held > 2*keptChanges {
		t.Errorf("%d changes held", held)
	}
	w := open(t, client, metav1.ListOptions{ResourceVersion: fmt.Sprint(firstVersion)})
	e := next(t, w)
	if err := apierrors.FromObject(e.Object); e.Type != watch.Error || !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		t.Fatalf("%s %v", e.Type, e.Object)
	}
	err := client.CoreV1().RESTClient().Get().Namespace("shop").Resource("configmaps").Param("watch", "true").Param("resourceVersion", "99999999").
		MaxRetries(0).Do(t.Context()).Error()
	if !apierrors.IsTimeout(err) || !apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		t.Errorf("a version of the future: %v", err)
	}
}

func TestCloseEndsWatchesAndCanBeRepeated(t *testing.T) {
	c, client := start(t)
	w := open(t, client, metav1.ListOptions{})
	c.Close()
	c.Close()
	for range w.ResultChan() { // ends, or the test's deadline tells
	}
	if _, err := client.CoreV1().ConfigMaps("shop").List(t.Context(), metav1.ListOptions{}); err == nil {
		t.Error("the server still answers")
	}
}
