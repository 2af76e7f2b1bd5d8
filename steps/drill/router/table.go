package router

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"mayday/steps/drill/app"
)

// virtualService is what the router reads of Istio's VirtualService.
type virtualService struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		HTTP []struct {
			Route []struct {
				Destination struct {
					Host   string `json:"host"`
					Subset string `json:"subset"`
				} `json:"destination"`
				Weight int `json:"weight"`
			} `json:"route"`
		} `json:"http"`
	} `json:"spec"`
}

// destinationRule is what the router reads of Istio's DestinationRule.
type destinationRule struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Host    string `json:"host"`
		Subsets []struct {
			Name   string            `json:"name"`
			Labels map[string]string `json:"labels"`
		} `json:"subsets"`
	} `json:"spec"`
}

// httpRoute is what the router reads of the Gateway API's HTTPRoute.
type httpRoute struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Rules []struct {
			BackendRefs []struct {
				Name   string `json:"name"`
				Weight *int   `json:"weight"`
			} `json:"backendRefs"`
		} `json:"rules"`
	} `json:"spec"`
}

// destination is one place that a share of the requests goes to.
type destination struct {
	service, subset string
	weight          int
}

// world is what the router knows of the cluster, as last told.
type world struct {
	virtualServices  map[string]*virtualService
	destinationRules map[string]*destinationRule
	httpRoutes       map[string]*httpRoute
	services         map[string]*corev1.Service
	slices           map[string]*discoveryv1.EndpointSlice
	pods             map[string]*corev1.Pod
}

// destinations reads the route; nil where there is none.
func (w *world) destinations(kind, name string) []destination {
	var out []destination
	switch kind {
	case "VirtualService":
		vs := w.virtualServices[name]
		if vs == nil || len(vs.Spec.HTTP) == 0 {
			return nil
		}
		// The last http route is the one without a match, by Istio's own advice.
		routes := vs.Spec.HTTP[len(vs.Spec.HTTP)-1].Route
		for _, r := range routes {
			d := destination{service: short(r.Destination.Host), subset: r.Destination.Subset, weight: r.Weight}
			if len(routes) == 1 {
				d.weight = 100 // Istio's default for a single destination
			}
			out = append(out, d)
		}
	case "HTTPRoute":
		hr := w.httpRoutes[name]
		if hr == nil || len(hr.Spec.Rules) == 0 {
			return nil
		}
		for _, r := range hr.Spec.Rules[len(hr.Spec.Rules)-1].BackendRefs {
			d := destination{service: r.Name, weight: 1}
			if r.Weight != nil {
				d.weight = *r.Weight
			}
			out = append(out, d)
		}
	case "Service":
		out = []destination{{service: name, weight: 1}}
	}
	return out
}

// short is a Service's name without its domain: "app.shop.svc.cluster.local" is "app".
func short(host string) string {
	for i := range host {
		if host[i] == '.' {
			return host[:i]
		}
	}
	return host
}

// backends are the addresses that serve a destination, in a stable order: ready
// endpoints of the Service whose pods its selector (and the subset) still choose,
// which are not being deleted and have an address.
func (w *world) backends(d destination) []string {
	service := w.services[d.service]
	if service == nil || len(service.Spec.Selector) == 0 {
		return nil
	}
	selector := labels.SelectorFromSet(service.Spec.Selector)
	if subset := w.subset(d); subset != nil {
		selector = labels.SelectorFromSet(labels.Merge(service.Spec.Selector, subset))
	} else if d.subset != "" {
		return nil // no DestinationRule defines it: Istio answers 503
	}
	var pods []*corev1.Pod
	for _, slice := range w.slices {
		if slice.Labels[discoveryv1.LabelServiceName] != d.service {
			continue
		}
		for _, e := range slice.Endpoints {
			if e.TargetRef == nil || e.TargetRef.Kind != "Pod" || e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			p := w.pods[e.TargetRef.Name]
			if p == nil || p.DeletionTimestamp != nil || p.Annotations[app.AddressKey] == "" ||
				!selector.Matches(labels.Set(p.Labels)) || slices.Contains(pods, p) {
				continue
			}
			pods = append(pods, p)
		}
	}
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	out := make([]string, len(pods))
	for i, p := range pods {
		out[i] = p.Annotations[app.AddressKey]
	}
	return out
}

// subset gives the labels that a destination's subset adds; nil where none is
// named or defined.
func (w *world) subset(d destination) map[string]string {
	if d.subset == "" {
		return nil
	}
	for _, rule := range w.destinationRules {
		if short(rule.Spec.Host) != d.service {
			continue
		}
		for _, s := range rule.Spec.Subsets {
			if s.Name == d.subset {
				return s.Labels
			}
		}
	}
	return nil
}
