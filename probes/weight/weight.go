// Package weight compares what a route says of the traffic with what is seen of it: a
// canary at 25 % that gets no requests, or half of them, is not the canary that its gate
// judges.
package weight

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"mayday/probes"
	"mayday/state"
)

// Kind is the kind of the probes this package asks: p.Query is the PromQL of the share
// that is seen, p.Want the route ("VirtualService/app") and the canary's destination: the
// name of its Service, or "host/subset".
const Kind = "weight"

// patience is the time-out where the caller's context has none.
const patience = 10 * time.Second

// groups are where routes are found, the versions that a cluster may have in order.
var groups = map[string][]schema.GroupVersionResource{
	"VirtualService": {{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}, {Group: "networking.istio.io", Version: "v1beta1", Resource: "virtualservices"}},
	"HTTPRoute":      {{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}, {Group: "gateway.networking.k8s.io", Version: "v1beta1", Resource: "httproutes"}},
}

// Asker reads routes of one namespace and asks another asker what is seen. Safe for
// concurrent use.
type Asker struct {
	client    dynamic.Interface
	namespace string
	host      string
	seen      probes.Asker
}

var _ probes.Asker = (*Asker)(nil)

// New makes an Asker; seen evaluates PromQL. It does not connect.
func New(cfg *rest.Config, namespace string, seen probes.Asker) (*Asker, error) {
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return &Asker{client: client, namespace: namespace, host: cfg.Host, seen: seen}, nil
}

// Ask gives how far the canary's share of the traffic lies from its weight in the route,
// both from 0 to 1; the text says both: "weight 25 (seen 24.7)". Where no traffic is seen
// that is no data.
func (a *Asker) Ask(ctx context.Context, p state.Probe, at time.Time) (probes.Reading, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	if len(p.Want) != 2 {
		return probes.Reading{}, &state.Problem{What: "it is not said which route and destination to look at", Do: "Set the environment's canary in the runbook", Code: "weight-route"}
	}
	intended, err := a.weight(ctx, p.Want[0], p.Want[1])
	if err != nil {
		return probes.Reading{}, err
	}
	text := "weight " + percent(intended)
	r, err := a.seen.Ask(ctx, p, at)
	switch {
	case err != nil || r.Pending:
		return r, err
	case r.NoData || math.IsNaN(r.Value):
		r.NoData, r.Text = true, strings.TrimSuffix(text+", no traffic is seen; "+r.Text, "; ")
		return r, nil
	}
	r.Text = strings.TrimSuffix(text+" (seen "+percent(r.Value)+"); "+r.Text, "; ")
	r.Value = math.Abs(r.Value - intended)
	return r, nil
}

// percent writes a share as a weight is written: 25, 24.7.
func percent(share float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", 100*share), ".0")
}

// weight reads the destination's share of a route.
func (a *Asker) weight(ctx context.Context, route, to string) (float64, error) {
	kind, name, _ := strings.Cut(route, "/")
	var u *unstructured.Unstructured
	err := errors.New("it is neither a VirtualService nor an HTTPRoute")
	for _, g := range groups[kind] {
		if u, err = a.client.Resource(g).Namespace(a.namespace).Get(ctx, name, metav1.GetOptions{}); err == nil || !apierrors.IsNotFound(err) {
			break
		}
	}
	if err != nil {
		return 0, a.explain(ctx, route, err)
	}
	var r struct {
		Spec struct {
			HTTP  []rule `json:"http"`  // VirtualService
			Rules []rule `json:"rules"` // HTTPRoute
		} `json:"spec"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &r); err != nil {
		return 0, a.explain(ctx, route, err)
	}
	found, share := false, 0.0
	for _, x := range append(r.Spec.HTTP, r.Spec.Rules...) {
		s, named := x.share(to)
		if named && found && s != share {
			return 0, &state.Problem{What: route + " gives the canary more than one weight", Why: fmt.Sprintf("%s in one rule, %s in another", percent(share), percent(s)),
				Do: "Give it the same in all of them", Code: "weight-route"}
		}
		if named {
			found, share = true, s
		}
	}
	return share, nil // named nowhere, it gets nothing
}

// rule is a part of a route, of both kinds.
type rule struct {
	Route    []destination `json:"route"`       // VirtualService
	Backends []destination `json:"backendRefs"` // HTTPRoute
}

type destination struct {
	Name        string `json:"name"` // HTTPRoute
	Destination struct {
		Host   string `json:"host"`
		Subset string `json:"subset"`
	} `json:"destination"` // VirtualService
	Weight *int64 `json:"weight"`
}

// is reports whether it leads to a Service ("app", or "app/subset" by subset).
func (d destination) is(to string) bool {
	host, subset, _ := strings.Cut(to, "/")
	at := d.Name
	if at == "" {
		at = d.Destination.Host
	}
	return (at == host || strings.HasPrefix(at, host+".")) && d.Destination.Subset == subset
}

// share gives the destination's part of a rule's traffic, and whether it is named at all.
func (r rule) share(to string) (share float64, named bool) {
	all, own := int64(0), int64(0)
	for _, d := range append(r.Route, r.Backends...) {
		w := int64(1) // an HTTPRoute's default; a VirtualService's only destination gets all
		if d.Weight != nil {
			w = *d.Weight
		} else if len(r.Route) > 1 {
			w = 0
		}
		all += w
		if d.is(to) {
			named, own = true, own+w
		}
	}
	if all == 0 {
		return 0, named
	}
	return float64(own) / float64(all), named
}

func (a *Asker) explain(ctx context.Context, route string, err error) error {
	p := &state.Problem{What: "the weights of " + route + " cannot be read", Why: state.Clean(err.Error()),
		Do: "Check the cluster's address, the network and the VPN", Code: "cluster-unreachable"}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: the cluster does not answer: %w", route, ctx.Err())
	case strings.Contains(err.Error(), "text/html"):
		p.What, p.Why = fmt.Sprintf("asked the cluster at %s for %s, got a web page (HTML)", a.host, route), "likely a login page or a proxy in between"
		p.Do = "Check the kubeconfig's server address"
	case apierrors.IsNotFound(err):
		p.Do, p.Code = "Correct the route or the namespace in the runbook", "weight-route"
	case apierrors.IsUnauthorized(err):
		p.Do, p.Code = "Log in again: the credentials may have expired", "cluster-denied"
	case apierrors.IsForbidden(err):
		p.Do, p.Code = "Ask for get on it", "cluster-denied"
	}
	return p
}
