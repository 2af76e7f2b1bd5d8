// Package rollout watches the workloads of a namespace: how far a Deployment is, whether
// its rollout is complete, and at once when a pod cannot start; which of the pods of a
// selector are ready, how often their containers restart, and what Kubernetes warns of.
package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"mayday/probes"
	"mayday/state"
)

// Kind is the kind of the probes this package asks.
const Kind = "rollout"

// Asker answers for the Deployments of one namespace. Safe for concurrent use.
type Asker struct {
	namespace       string
	host            string
	deploymentsRead dynamic.ResourceInterface
	podsRead        dynamic.ResourceInterface
	setsRead        dynamic.ResourceInterface
	deployments     *mirror[appsv1.Deployment]
	sets            *mirror[replicaSet]
	pods            *mirror[corev1.Pod]
}

var _ probes.Asker = (*Asker)(nil)

// New makes an Asker on a cluster. Askers of one configuration share its
// connection. It does not connect.
func New(cfg *rest.Config, namespace string) (*Asker, error) {
	in, err := within(cfg, namespace)
	if err != nil {
		return nil, err
	}
	a := &Asker{namespace: namespace, host: cfg.Host, deploymentsRead: in("apps", "deployments"), podsRead: in("", "pods"), setsRead: in("apps", "replicasets")}
	a.deployments = newMirror[appsv1.Deployment](a.deploymentsRead)
	a.pods = newMirror[corev1.Pod](a.podsRead)
	a.sets = newMirror[replicaSet](a.setsRead)
	return a, nil
}

// within gives what reads resources (of version v1) of a namespace.
func within(cfg *rest.Config, namespace string) (func(group, resource string) dynamic.ResourceInterface, error) {
	own := rest.CopyConfig(cfg)
	own.QPS, own.Burst = 50, 100 // a few watches, and fresh reads while they are down
	own.Timeout = 0              // would cut the watches; every read has its own
	client, err := dynamic.NewForConfig(own)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return func(group, resource string) dynamic.ResourceInterface {
		return client.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}).Namespace(namespace)
	}, nil
}

// Run keeps one watch each of the namespace's Deployments, ReplicaSets and pods until
// ctx ends, and then returns nil. Until Run is called, and while a watch is down or says
// nothing for ten seconds, Ask reads from the server instead. Call it once.
func (a *Asker) Run(ctx context.Context) error {
	var watches sync.WaitGroup
	watches.Go(func() { a.deployments.run(ctx) })
	watches.Go(func() { a.pods.run(ctx) })
	watches.Go(func() { a.sets.run(ctx) })
	watches.Wait()
	return nil
}

// Ask says how far the Deployment in p.Query ("deployment/app") is: the value is
// its ready share from 0 to 1, the text "3/3 ready" or what it waits for. The
// verdict is at least warn while the rollout is incomplete by the rule of kubectl
// rollout status, and crit when its deadline passed or a pod of the newest revision
// cannot start. Pods of older revisions that cannot are named: they were so before.
func (a *Asker) Ask(ctx context.Context, p state.Probe, _ time.Time) (probes.Reading, error) {
	kind, name, ok := strings.Cut(p.Query, "/")
	if kind = strings.ToLower(kind); !ok || name == "" || kind != "deployment" && kind != "deploy" {
		return probes.Reading{}, &state.Problem{
			What: fmt.Sprintf("cannot watch the rollout of %q", p.Query),
			Do:   "Write it as deployment/name in the runbook", Code: "rollout-query",
		}
	}
	ctx, cancel := patient(ctx)
	defer cancel()
	d, err := a.deployment(ctx, name)
	if err != nil {
		return probes.Reading{}, a.explain(ctx, name, err)
	}
	pods, err := a.podsOf(ctx, d)
	if err != nil {
		return probes.Reading{}, a.explain(ctx, name, err)
	}
	return status(d, pods, a.newest(ctx, d)), nil
}

// patient bounds a question whose context has no time-out of its own.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, readTime)
}

// newest gives what tells pods of the Deployment's newest revision apart. Where the
// ReplicaSets may not be read, every pod counts as new.
func (a *Asker) newest(ctx context.Context, d *appsv1.Deployment) revision {
	if d.Generation > d.Status.ObservedGeneration {
		return revision{known: true} // what there is is older than the change
	}
	mine := func(rs *replicaSet) bool {
		return slices.ContainsFunc(rs.Metadata.Owners, func(o metav1.OwnerReference) bool { return o.UID == d.UID })
	}
	sets, live := a.sets.where(mine)
	if !live {
		l, err := a.setsRead.List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(d.Spec.Selector)})
		if err != nil {
			return revision{}
		}
		sets = nil
		a.sets.confirm(l.Items, func(rs *replicaSet) bool { return chosen(d.Spec.Selector, rs.Metadata.Labels) })
		for i := range l.Items {
			if rs, err := typed[replicaSet](&l.Items[i]); err == nil && mine(rs) {
				sets = append(sets, rs)
			}
		}
	}
	for _, rs := range sets {
		if n := rs.Metadata.Annotations[revisionKey]; n != "" && n == d.Annotations[revisionKey] {
			return revision{known: true, hash: rs.Metadata.Labels[appsv1.DefaultDeploymentUniqueLabelKey]}
		}
	}
	return revision{known: len(sets) > 0} // its ReplicaSet is not here yet
}

// chosen reports whether a Deployment's selector finds labels.
func chosen(by *metav1.LabelSelector, what map[string]string) bool {
	sel, err := metav1.LabelSelectorAsSelector(by)
	return err == nil && sel.Matches(labels.Set(what))
}

var errMissing = errors.New("not found")

func (a *Asker) deployment(ctx context.Context, name string) (*appsv1.Deployment, error) {
	if d, live := a.deployments.get(name); live {
		if d == nil {
			return nil, errMissing
		}
		return d, nil
	}
	u, err := a.deploymentsRead.Get(ctx, name, metav1.GetOptions{})
	is := func(d *appsv1.Deployment) bool { return d.Name == name }
	if apierrors.IsNotFound(err) {
		a.deployments.confirm(nil, is)
		return nil, errMissing
	}
	if err != nil {
		return nil, err
	}
	a.deployments.confirm([]unstructured.Unstructured{*u}, is)
	return typed[appsv1.Deployment](u)
}

func (a *Asker) podsOf(ctx context.Context, d *appsv1.Deployment) ([]*corev1.Pod, error) {
	sel, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, err
	}
	return a.selected(ctx, sel)
}

// selected gives the pods that a selector finds.
func (a *Asker) selected(ctx context.Context, sel labels.Selector) ([]*corev1.Pod, error) {
	mine := func(p *corev1.Pod) bool { return sel.Matches(labels.Set(p.Labels)) }
	if pods, live := a.pods.where(mine); live {
		return pods, nil
	}
	l, err := a.podsRead.List(ctx, metav1.ListOptions{LabelSelector: sel.String()})
	if err != nil {
		return nil, err
	}
	a.pods.confirm(l.Items, mine)
	var pods []*corev1.Pod
	for i := range l.Items {
		p, err := typed[corev1.Pod](&l.Items[i])
		if err != nil {
			return nil, err
		}
		pods = append(pods, p)
	}
	return pods, nil
}

func (a *Asker) explain(ctx context.Context, name string, err error) error {
	if errors.Is(err, errMissing) && ctx.Err() == nil {
		return &state.Problem{
			What: fmt.Sprintf("there is no deployment %q in namespace %q", name, a.namespace),
			Do:   "Correct the name or the namespace in the runbook", Code: "deployment-missing",
		}
	}
	return unread(ctx, a.host, fmt.Sprintf("deployment %q", name), "deployments and pods", err)
}

// unread says why the cluster at a host does not tell of something; rights are what it
// takes to read it.
func unread(ctx context.Context, host, what, rights string, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: the cluster does not answer: %w", what, ctx.Err())
	case strings.Contains(err.Error(), "text/html"):
		return &state.Problem{
			What: fmt.Sprintf("asked the cluster at %s, got a web page (HTML)", host),
			Why:  "likely a login page or a proxy in between", Do: "Check the kubeconfig's server address", Code: "cluster-unreachable",
		}
	case apierrors.IsUnauthorized(err):
		return &state.Problem{What: "the cluster does not know who asks", Why: state.Clean(err.Error()), Do: "Log in again: the credentials may have expired", Code: "cluster-denied"}
	case apierrors.IsForbidden(err):
		return &state.Problem{What: "the cluster forbids reading " + what, Why: state.Clean(err.Error()), Do: "Ask for get, list and watch on " + rights, Code: "cluster-denied"}
	}
	return &state.Problem{
		What: "the cluster cannot be asked about " + what, Why: state.Clean(err.Error()),
		Do: "Check the cluster's address, the network and the VPN", Code: "cluster-unreachable",
	}
}
