package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash/fnv"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"mayday/steps/drill/follow"
)

// lameDuck is how long a pod that is being deleted still takes new connections:
// routers learn of the deletion a moment after the pod does.
const lameDuck = 100 * time.Millisecond

// drainFor is the most that requests in flight get to finish (real time).
const drainFor = 5 * time.Second

// pod is one running pod.
type pod struct {
	floor   *floor
	object  *corev1.Pod // as first seen
	version string

	draining chan struct{} // closed: the API wants it gone
	gone     chan struct{} // closed: the API has no such pod any more
	drained  sync.Once
	killed   sync.Once
}

func newPod(f *floor, object *corev1.Pod) *pod {
	return &pod{floor: f, object: object, version: version(object),
		draining: make(chan struct{}), gone: make(chan struct{})}
}

// version is the image's tag.
func version(p *corev1.Pod) string {
	if len(p.Spec.Containers) == 0 {
		return ""
	}
	_, tag := split(p.Spec.Containers[0].Image)
	return tag
}

// split takes an image's name and tag apart; a registry may have a port.
func split(image string) (name, tag string) {
	i := strings.LastIndexByte(image, ':')
	if i < strings.LastIndexByte(image, '/') || i < 0 {
		return image, ""
	}
	return image[:i], image[i+1:]
}

func (p *pod) drain() { p.drained.Do(func() { close(p.draining) }) }
func (p *pod) kill()  { p.killed.Do(func() { close(p.gone) }) }

// run is the pod's life: pull, boot, serve, drain, say goodbye.
func (p *pod) run(ctx context.Context) {
	if !p.floor.node.opts.Kubelet {
		if !strings.HasPrefix(p.version, "v") {
			p.cannotPull(ctx)
			return
		}
		if !p.pause(ctx, p.boot()) {
			p.goodbye(ctx)
			return
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		// Out of ports or of file descriptors: the pod stays pending, as on a sick node.
		p.wait(ctx)
		p.goodbye(ctx)
		return
	}
	m := newMetrics(p.version, p.floor.node.opts.Clock)
	s := &server{pod: p.object.Name, version: p.version, behaviour: p.floor.node.behaviour(p.version),
		of: p.floor.node.behaviour, traffic: p.floor.traffic, metrics: m, expose: m.handler()}
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0)}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) }) // always http.ErrServerClosed
	p.floor.traffic.podStarted(p.version, time.Now())

	address := listener.Addr().String()
	if p.announce(ctx, address) {
		p.floor.node.note(p.object.UID, Serving{p.object.Namespace, p.object.Name, p.version, address})
		p.wait(ctx)
		p.floor.node.note(p.object.UID, Serving{})
	}
	p.floor.traffic.podStopped(p.version, time.Now())
	p.stop(ctx, server)
	serving.Wait()
	p.goodbye(ctx)
}

// boot is how long this pod takes to start.
func (p *pod) boot() time.Duration {
	h := fnv.New32a()
	h.Write([]byte(p.object.Name))
	d := p.floor.node.opts.Boot
	return d + d*time.Duration(h.Sum32()%100)/200
}

// pause waits; false if the pod is not wanted any more.
func (p *pod) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.draining:
	case <-p.gone:
	case <-ctx.Done():
	}
	return false
}

// wait returns when the pod must end.
func (p *pod) wait(ctx context.Context) {
	select {
	case <-p.draining:
	case <-p.gone:
	case <-ctx.Done():
	}
}

// stop ends the server: at once where the range ends, else after the lame-duck
// time and with requests in flight answered.
func (p *pod) stop(ctx context.Context, s *http.Server) {
	if ctx.Err() == nil {
		t := time.NewTimer(lameDuck)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
	drain, cancel := context.WithTimeout(ctx, drainFor)
	defer cancel()
	if s.Shutdown(drain) != nil {
		_ = s.Close() // what drains too long is cut off
	}
}

// api is where this pod's object lives.
func (p *pod) api() dynamic.ResourceInterface {
	return p.floor.node.client.Resource(follow.Pods).Namespace(p.object.Namespace)
}

// announce tells the cluster where the pod serves and, where nobody else does, that
// it is ready; false if the pod ended before the cluster took it.
func (p *pod) announce(ctx context.Context, address string) bool {
	note := map[string]any{"metadata": map[string]any{
		"uid": p.object.UID, "annotations": map[string]string{AddressKey: address}}}
	return p.patch(ctx, note) && (p.floor.node.opts.Kubelet || p.patch(ctx, map[string]any{"status": p.running()}, "status"))
}

// patch writes until it succeeds, the pod is gone or not wanted.
func (p *pod) patch(ctx context.Context, body any, sub ...string) bool {
	b, err := json.Marshal(body)
	if err != nil {
		return false
	}
	for {
		_, err := p.api().Patch(ctx, p.object.Name, types.MergePatchType, b, metav1.PatchOptions{FieldManager: "drill-node"}, sub...)
		switch {
		case err == nil:
			return true
		case apierrors.IsNotFound(err), apierrors.IsConflict(err), apierrors.IsInvalid(err):
			return false // another pod of that name, or none
		}
		if !p.pause(ctx, 50*time.Millisecond) {
			return false
		}
	}
}

// goodbye removes the object of a pod that was being deleted: what a kubelet does
// when the last container has ended.
func (p *pod) goodbye(ctx context.Context) {
	if p.floor.node.opts.Kubelet {
		return
	}
	select {
	case <-p.draining:
	default:
		return
	}
	now := int64(0)
	uid := p.object.UID
	for ctx.Err() == nil {
		err := p.api().Delete(ctx, p.object.Name, metav1.DeleteOptions{GracePeriodSeconds: &now,
			Preconditions: &metav1.Preconditions{UID: &uid}})
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return
		}
		t := time.NewTimer(50 * time.Millisecond)
		select {
		case <-t.C:
		case <-p.gone:
			t.Stop()
			return
		case <-ctx.Done():
			t.Stop()
		}
	}
}

// cannotPull reports an image that no registry has, as a kubelet does, and waits
// for the pod to be deleted.
func (p *pod) cannotPull(ctx context.Context) {
	status := p.status(corev1.PodPending, false)
	for i := range status.ContainerStatuses {
		status.ContainerStatuses[i].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
			Reason: "ImagePullBackOff", Message: "the range has images with a version's tag only, such as registry.local/shop:v1.2.4"}}
		status.ContainerStatuses[i].ImageID = ""
	}
	if p.patch(ctx, map[string]any{"status": status}, "status") {
		p.wait(ctx)
	}
	p.goodbye(ctx)
}

func (p *pod) running() corev1.PodStatus {
	status := p.status(corev1.PodRunning, true)
	for i := range status.ContainerStatuses {
		status.ContainerStatuses[i].State = corev1.ContainerState{
			Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	}
	return status
}

// status is what both outcomes share.
func (p *pod) status(phase corev1.PodPhase, ready bool) corev1.PodStatus {
	now := metav1.Now()
	yes := corev1.ConditionFalse
	if ready {
		yes = corev1.ConditionTrue
	}
	status := corev1.PodStatus{Phase: phase, StartTime: &now, HostIP: "127.0.0.1"}
	for _, c := range []struct {
		kind corev1.PodConditionType
		is   corev1.ConditionStatus
	}{{corev1.PodScheduled, corev1.ConditionTrue}, {corev1.PodInitialized, corev1.ConditionTrue},
		{corev1.ContainersReady, yes}, {corev1.PodReady, yes}} {
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: c.kind, Status: c.is, LastTransitionTime: now})
	}
	if ready {
		status.PodIP, status.PodIPs = "127.0.0.1", []corev1.PodIP{{IP: "127.0.0.1"}}
	}
	for _, c := range p.object.Spec.Containers {
		sum := sha256.Sum256([]byte(c.Image))
		name, _ := split(c.Image)
		status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{Name: c.Name, Image: c.Image,
			ImageID: name + "@sha256:" + hex.EncodeToString(sum[:]), Ready: ready, Started: &ready})
	}
	return status
}
