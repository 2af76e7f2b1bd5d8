// Package app is the practice range's node: what a kubelet and the containers on
// it are to a cluster. It watches the pods of a cluster's namespaces and runs a real
// HTTP server on 127.0.0.1 for each scheduled one, whose behaviour depends on the
// version, the tag of the pod's image. It is a plain API client, so it serves the
// pods of any cluster: it is their kubelet, or leaves that to another (see Kubelet).
package app

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"mayday/state"
	"mayday/steps/drill/follow"
)

// AddressKey is the annotation that says where a pod's server listens:
// "127.0.0.1:41234". All pods share the loopback address, so a pod's IP alone
// does not name it.
const AddressKey = "drill.mayday.dev/address"

// Options of a node.
type Options struct {
	Config     *rest.Config
	Namespaces []string
	Versions   map[string]Behaviour // by version; a version that is missing is healthy
	// Customers is the namespace with real traffic. What a behaviour needs traffic
	// for (Overload, Climb, MuteAt) shows there only: that is why staging finds none
	// of it.
	Customers string
	Clock     state.Clock // behaviours that take incident time go by it
	// Boot is how long a pod takes from scheduled to ready, at least; another half
	// of it is spread over the pods by their names. 0 means 150 ms.
	Boot time.Duration
	// Kubelet says that the cluster has a kubelet of its own for the pods. The node
	// then runs the app while that reports a pod's container as running, and writes
	// AddressKey; it writes no status, removes no pod, and Boot means nothing.
	Kubelet bool
	// Changed is told the pods that serve, after every change, by one goroutine at a
	// time; it must not block. Optional.
	Changed func([]Serving)
}

// Serving is a pod that answers.
type Serving struct {
	Namespace, Pod, Version, Address string
}

// Node runs pods until it is closed. Safe for concurrent use.
type Node struct {
	opts   Options
	client dynamic.Interface
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	serving map[types.UID]Serving
}

// Start begins to watch and serve; it returns at once. Close ends it.
func Start(ctx context.Context, opts Options) (*Node, error) {
	if len(opts.Namespaces) == 0 {
		return nil, errors.New("a node needs at least one namespace")
	}
	client, err := follow.Client(opts.Config)
	if err != nil {
		return nil, err
	}
	if opts.Boot == 0 {
		opts.Boot = 150 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(ctx)
	n := &Node{opts: opts, client: client, cancel: cancel, serving: map[types.UID]Serving{}}
	for _, ns := range opts.Namespaces {
		f := &floor{node: n, ctx: ctx, traffic: newTraffic(opts.Clock, ns == opts.Customers), pods: map[types.UID]*pod{}}
		n.wg.Go(func() { follow.Objects(ctx, client, follow.Pods, ns, f.changed) })
	}
	return n, nil
}

// Close stops every server and waits for all goroutines. The cluster's objects
// stay as they are.
func (n *Node) Close() {
	n.cancel()
	n.wg.Wait()
}

// behaviour gives the behaviour of a version.
func (n *Node) behaviour(version string) Behaviour { return n.opts.Versions[version] }

// note records that a pod serves, or with an empty address that it does no more.
func (n *Node) note(uid types.UID, s Serving) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.Address == "" {
		delete(n.serving, uid)
	} else {
		n.serving[uid] = s
	}
	if n.opts.Changed == nil {
		return
	}
	all := make([]Serving, 0, len(n.serving))
	for s := range maps.Values(n.serving) {
		all = append(all, s)
	}
	n.opts.Changed(all)
}

// floor is the pods of one namespace. Only its follower's goroutine touches pods.
type floor struct {
	node    *Node
	ctx     context.Context
	traffic *traffic
	pods    map[types.UID]*pod
}

// changed brings the running servers in line with the pods that should run.
func (f *floor) changed(set map[string]*corev1.Pod) {
	seen := make(map[types.UID]bool, len(set))
	for _, want := range set {
		if f.node.opts.Kubelet && !started(want) {
			continue
		}
		seen[want.UID] = true
		p := f.pods[want.UID]
		if p == nil {
			if want.Spec.NodeName == "" || want.DeletionTimestamp != nil && !serves(want) {
				continue
			}
			p = newPod(f, want)
			f.pods[want.UID] = p
			f.node.wg.Go(func() { p.run(f.ctx) })
		}
		if want.DeletionTimestamp != nil {
			p.drain()
		}
	}
	for uid, p := range f.pods {
		if !seen[uid] {
			p.kill()
			delete(f.pods, uid)
		}
	}
}

// started reports whether a kubelet says that a pod's first container runs.
func started(p *corev1.Pod) bool {
	return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].State.Running != nil
}

// serves reports whether somebody must still say goodbye to a pod that is being
// deleted: it was scheduled, so that the API server waits for its node.
func serves(p *corev1.Pod) bool { return p.Spec.NodeName != "" }
