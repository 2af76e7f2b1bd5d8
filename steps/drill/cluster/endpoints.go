package cluster

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	serviceLabel  = discoveryv1.LabelServiceName
	slicesManager = "endpointslice-controller.k8s.io"
)

// syncService keeps the endpoint slices of a Service: one for each way its named
// ports resolve, so one unless its Pods name different ports.
func (c *controllers) syncService(t task) {
	svc, ok := stored[*corev1.Service](c.store, services, t.ns, t.name)
	if !ok || svc.DeletionTimestamp != nil || len(svc.Spec.Selector) == 0 {
		return // slices of a Service that is gone are garbage; without a selector they are the user's
	}
	want := c.wantedSlices(svc)
	items, _ := c.store.list(endpointSlices, t.ns)
	for _, it := range items {
		have := it.obj.(*discoveryv1.EndpointSlice)
		if have.Labels[serviceLabel] != svc.Name || have.Labels[discoveryv1.LabelManagedBy] != slicesManager || have.DeletionTimestamp != nil {
			continue
		}
		i := slices.IndexFunc(want, func(w *discoveryv1.EndpointSlice) bool { return apiequality.Semantic.DeepEqual(w.Ports, have.Ports) })
		if i < 0 && len(want) == 1 { // the ports changed
			i = 0
		}
		if i < 0 {
			_, _, err := c.store.remove(endpointSlices, t.ns, have.Name, metav1.DeleteOptions{}, write{manager: controllerManager})
			c.again(t, err)
			continue
		}
		c.again(t, c.updateSlice(have, want[i]))
		want = slices.Delete(want, i, i+1)
	}
	for _, w := range want {
		_, err := c.store.create(endpointSlices, w, write{manager: controllerManager})
		c.again(t, err)
	}
}

func (c *controllers) updateSlice(have, want *discoveryv1.EndpointSlice) error {
	_, err := c.store.update(endpointSlices, have.Namespace, have.Name, write{manager: controllerManager}, func(cur object) (object, error) {
		next := clone(cur.(*discoveryv1.EndpointSlice))
		next.Endpoints, next.Ports, next.Labels, next.OwnerReferences = want.Endpoints, want.Ports, want.Labels, want.OwnerReferences
		return next, nil
	})
	return err
}

// wantedSlices gives the slices that a Service should have; an empty one if no Pod
// is selected.
func (c *controllers) wantedSlices(svc *corev1.Service) []*discoveryv1.EndpointSlice {
	sel := labels.SelectorFromSet(svc.Spec.Selector)
	items, _ := c.store.list(pods, svc.Namespace)
	var out []*discoveryv1.EndpointSlice
	for _, it := range items {
		p := it.obj.(*corev1.Pod)
		if p.Status.PodIP == "" || p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded || !sel.Matches(labels.Set(p.Labels)) {
			continue
		}
		ports := endpointPorts(svc, p)
		i := slices.IndexFunc(out, func(s *discoveryv1.EndpointSlice) bool { return apiequality.Semantic.DeepEqual(s.Ports, ports) })
		if i < 0 {
			out, i = append(out, newSlice(svc, ports)), len(out)
		}
		out[i].Endpoints = append(out[i].Endpoints, endpointOf(svc, p))
	}
	if len(out) == 0 {
		out = append(out, newSlice(svc, nil))
	}
	return out
}

func newSlice(svc *corev1.Service, ports []discoveryv1.EndpointPort) *discoveryv1.EndpointSlice {
	l := map[string]string{serviceLabel: svc.Name, discoveryv1.LabelManagedBy: slicesManager}
	for k, v := range svc.Labels {
		if _, taken := l[k]; !taken && !strings.HasPrefix(k, "endpointslice.kubernetes.io/") {
			l[k] = v
		}
	}
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{GenerateName: svc.Name + "-", Namespace: svc.Namespace, Labels: l,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(svc, services.gvk())}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: ports, Endpoints: []discoveryv1.Endpoint{}}
}

func endpointOf(svc *corev1.Service, p *corev1.Pod) discoveryv1.Endpoint {
	_, serving := readyTime(p)
	terminating := p.DeletionTimestamp != nil
	ready := svc.Spec.PublishNotReadyAddresses || serving && !terminating
	node := p.Spec.NodeName
	return discoveryv1.Endpoint{Addresses: []string{p.Status.PodIP}, NodeName: &node,
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID}}
}

// endpointPorts resolves a Service's ports on one Pod; a name the Pod does not have
// is left out.
func endpointPorts(svc *corev1.Service, p *corev1.Pod) []discoveryv1.EndpointPort {
	var out []discoveryv1.EndpointPort
	for _, sp := range svc.Spec.Ports {
		port := sp.TargetPort.IntVal
		if sp.TargetPort.Type == intstr.String {
			port = namedPort(p, sp.TargetPort.StrVal, sp.Protocol)
		}
		if port == 0 {
			continue
		}
		name, protocol := sp.Name, sp.Protocol
		out = append(out, discoveryv1.EndpointPort{Name: &name, Protocol: &protocol, Port: &port, AppProtocol: sp.AppProtocol})
	}
	return out
}

func namedPort(p *corev1.Pod, name string, protocol corev1.Protocol) int32 {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == name && port.Protocol == protocol {
				return port.ContainerPort
			}
		}
	}
	return 0
}
