package cluster

import (
	"context"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

func TestInformersSync(t *testing.T) {
	c, client := start(t, deployment("app", 3, "shop:v1"))
	ctx, cancel := context.WithCancel(t.Context())
	typed := informers.NewSharedInformerFactory(client, 0)
	lister := typed.Apps().V1().Deployments().Lister()
	changed := make(chan *appsv1.Deployment, 100)
	_, err := typed.Apps().V1().Deployments().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, o any) { changed <- o.(*appsv1.Deployment) }})
	if err != nil {
		t.Fatal(err)
	}
	custom := dynamicinformer.NewDynamicSharedInformerFactory(dynamic.NewForConfigOrDie(c.Config()), 0)
	vs := custom.ForResource(routes)
	vs.Informer()
	typed.Start(ctx.Done())
	custom.Start(ctx.Done())
	defer custom.Shutdown()
	defer typed.Shutdown()
	defer cancel()
	for kind, ok := range typed.WaitForCacheSync(ctx.Done()) {
		if !ok {
			t.Errorf("%s not in sync", kind)
		}
	}
	custom.WaitForCacheSync(ctx.Done())
	if d, err := lister.Deployments("shop").Get("app"); err != nil || *d.Spec.Replicas != 3 {
		t.Errorf("%v %v", d, err)
	}
	if l, err := vs.Lister().List(labels.Everything()); err != nil || len(l) != 1 {
		t.Errorf("%d VirtualServices, %v", len(l), err)
	}
	must[*appsv1.Deployment](t)(client.AppsV1().Deployments("shop").Patch(ctx, "app", types.MergePatchType, []byte(`{"spec":{"replicas":4}}`), metav1.PatchOptions{}))
	for {
		select {
		case d := <-changed:
			if *d.Spec.Replicas == 4 {
				return
			}
		case <-time.After(patience):
			t.Fatal("the informer saw no change")
		}
	}
}
