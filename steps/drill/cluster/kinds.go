package cluster

import (
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "sigs.k8s.io/json"
)

var (
	allVerbs  = []string{"create", "delete", "get", "list", "patch", "update", "watch"}
	keepVerbs = []string{"create", "get", "list", "patch", "update", "watch"} // no delete
)

// Most Events kept; a real server keeps them for an hour.
const keptEvents = 400

// The resources of the server. Deployments, ReplicaSets, StatefulSets and Pods are
// driven by the controllers, the rest is kept as written.
var (
	namespaces = &resource{version: "v1", plural: "namespaces", singular: "namespace", kind: "Namespace", short: []string{"ns"},
		verbs: keepVerbs, status: true, fresh: func() object { return &corev1.Namespace{} },
		validName: validation.NameIsDNSLabel, defaults: defaultNamespace, onCreate: func(_ *store, o object) {
			o.(*corev1.Namespace).Status.Phase = corev1.NamespaceActive
		},
		columns: columns("Status", "Age"), cells: namespaceCells}
	pods = &resource{version: "v1", plural: "pods", singular: "pod", kind: "Pod", short: []string{"po"}, categories: []string{"all"},
		namespaced: true, verbs: allVerbs, status: true, proxy: true, generation: true, fresh: func() object { return &corev1.Pod{} },
		validName: validation.NameIsDNSSubdomain, defaults: defaultPod, validate: validatePod, immutable: podImmutable,
		onCreate: newPodStatus, selectable: podFields,
		columns: columns("Ready", "Status", "Restarts", "Age", "+IP", "+Node", "+Nominated Node", "+Readiness Gates"), cells: podCells}
	services = &resource{version: "v1", plural: "services", singular: "service", kind: "Service", short: []string{"svc"}, categories: []string{"all"},
		namespaced: true, verbs: allVerbs, status: true, proxy: true, fresh: func() object { return &corev1.Service{} },
		validName: validation.NameIsDNS1035Label, defaults: defaultService, validate: validateService, immutable: serviceImmutable,
		onCreate: newServiceIP,
		columns:  columns("Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "+Selector"), cells: serviceCells}
	configMaps = &resource{version: "v1", plural: "configmaps", singular: "configmap", kind: "ConfigMap", short: []string{"cm"},
		namespaced: true, verbs: allVerbs, fresh: func() object { return &corev1.ConfigMap{} },
		validName: validation.NameIsDNSSubdomain, validate: validateConfigMap, immutable: configMapImmutable,
		columns: columns("Data", "Age"), cells: configMapCells}
	secrets = &resource{version: "v1", plural: "secrets", singular: "secret", kind: "Secret",
		namespaced: true, verbs: allVerbs, fresh: func() object { return &corev1.Secret{} },
		validName: validation.NameIsDNSSubdomain, defaults: defaultSecret, validate: validateSecret, immutable: secretImmutable,
		columns: columns("Type", "Data", "Age"), cells: secretCells}
	resourceQuotas = &resource{version: "v1", plural: "resourcequotas", singular: "resourcequota", kind: "ResourceQuota", short: []string{"quota"},
		namespaced: true, verbs: allVerbs, status: true, fresh: func() object { return &corev1.ResourceQuota{} },
		validName: validation.NameIsDNSSubdomain, columns: columns("Age"), cells: ageCells}
	events = &resource{version: "v1", plural: "events", singular: "event", kind: "Event", short: []string{"ev"},
		namespaced: true, verbs: allVerbs, limit: keptEvents, fresh: func() object { return &corev1.Event{} },
		validName: validation.NameIsDNSSubdomain, selectable: eventFields, ownNames: true,
		columns: columns("Last Seen", "Type", "Reason", "Object", "+Subobject", "+Source", "Message", "+First Seen", "+Count", "+Name"), cells: eventCells}
	nodes = &resource{version: "v1", plural: "nodes", singular: "node", kind: "Node", short: []string{"no"},
		verbs: []string{"get", "list", "watch"}, fresh: func() object { return &corev1.Node{} },
		validName: validation.NameIsDNSSubdomain,
		columns:   columns("Status", "Roles", "Age", "Version"), cells: nodeCells}
	deployments = &resource{group: "apps", version: "v1", plural: "deployments", singular: "deployment", kind: "Deployment", short: []string{"deploy"}, categories: []string{"all"},
		namespaced: true, verbs: allVerbs, status: true, scale: true, generation: true, noted: true, fresh: func() object { return &appsv1.Deployment{} },
		validName: validation.NameIsDNSSubdomain, defaults: defaultDeployment, validate: validateDeployment, immutable: deploymentImmutable,
		columns: columns("Ready", "Up-to-date", "Available", "Age", "+Containers", "+Images", "+Selector"), cells: deploymentCells}
	replicaSets = &resource{group: "apps", version: "v1", plural: "replicasets", singular: "replicaset", kind: "ReplicaSet", short: []string{"rs"}, categories: []string{"all"},
		namespaced: true, verbs: allVerbs, status: true, scale: true, generation: true, fresh: func() object { return &appsv1.ReplicaSet{} },
		validName: validation.NameIsDNSSubdomain, defaults: defaultReplicaSet, validate: validateReplicaSet, immutable: replicaSetImmutable,
		columns: columns("Desired", "Current", "Ready", "Age", "+Containers", "+Images", "+Selector"), cells: replicaSetCells}
	statefulSets = &resource{group: "apps", version: "v1", plural: "statefulsets", singular: "statefulset", kind: "StatefulSet", short: []string{"sts"}, categories: []string{"all"},
		namespaced: true, verbs: allVerbs, status: true, scale: true, generation: true, fresh: func() object { return &appsv1.StatefulSet{} },
		validName: validation.NameIsDNSLabel, defaults: defaultStatefulSet, validate: validateStatefulSet, immutable: statefulSetImmutable,
		columns: columns("Ready", "Age", "+Containers", "+Images"), cells: statefulSetCells}
	controllerRevisions = &resource{group: "apps", version: "v1", plural: "controllerrevisions", singular: "controllerrevision", kind: "ControllerRevision",
		namespaced: true, verbs: allVerbs, fresh: func() object { return &appsv1.ControllerRevision{} },
		validName: validation.NameIsDNSSubdomain, immutable: controllerRevisionImmutable,
		columns: columns("Controller", "Revision", "Age"), cells: controllerRevisionCells}
	endpointSlices = &resource{group: "discovery.k8s.io", version: "v1", plural: "endpointslices", singular: "endpointslice", kind: "EndpointSlice",
		namespaced: true, verbs: allVerbs, fresh: func() object { return &discoveryv1.EndpointSlice{} },
		validName: validation.NameIsDNSSubdomain,
		columns:   columns("AddressType", "Ports", "Endpoints", "Age"), cells: endpointSliceCells}
	virtualServices = &resource{group: "networking.istio.io", version: "v1", also: []string{"v1beta1"}, plural: "virtualservices", singular: "virtualservice", kind: "VirtualService", short: []string{"vs"},
		namespaced: true, verbs: allVerbs, status: true, generation: true, validName: validation.NameIsDNSSubdomain, validate: validateVirtualService,
		columns: columns("Gateways", "Hosts", "Age"), cells: specCells("gateways", "hosts")}
	destinationRules = &resource{group: "networking.istio.io", version: "v1", also: []string{"v1beta1"}, plural: "destinationrules", singular: "destinationrule", kind: "DestinationRule", short: []string{"dr"},
		namespaced: true, verbs: allVerbs, status: true, generation: true, validName: validation.NameIsDNSSubdomain, validate: validateDestinationRule,
		columns: columns("Host", "Age"), cells: specCells("host")}
	httpRoutes = &resource{group: "gateway.networking.k8s.io", version: "v1", plural: "httproutes", singular: "httproute", kind: "HTTPRoute",
		namespaced: true, verbs: allVerbs, status: true, generation: true, validName: validation.NameIsDNSSubdomain, defaults: defaultHTTPRoute, validate: validateHTTPRoute,
		columns: columns("Hostnames", "Age"), cells: specCells("hostnames")}
	autoscalers = &resource{group: "autoscaling", version: "v2", plural: "horizontalpodautoscalers", singular: "horizontalpodautoscaler", kind: "HorizontalPodAutoscaler", short: []string{"hpa"}, categories: []string{"all"},
		namespaced: true, verbs: allVerbs, status: true, fresh: func() object { return &autoscalingv2.HorizontalPodAutoscaler{} },
		validName: validation.NameIsDNSSubdomain, validate: validateAutoscaler,
		columns: columns("Reference", "MinPods", "MaxPods", "Age"), cells: autoscalerCells}
)

// resources is every resource in the order discovery lists them.
var resources = []*resource{namespaces, nodes, pods, services, configMaps, secrets, resourceQuotas, events, deployments, replicaSets,
	statefulSets, controllerRevisions,
	endpointSlices, virtualServices, destinationRules, httpRoutes, autoscalers}

// owned gives a copy that the store may keep. Custom objects go through JSON, so
// that their numbers are what a client would have sent, whatever Go made them of.
func owned(res *resource, o object) (object, error) {
	if res.typed() {
		return clone(o), nil
	}
	raw, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{}
	return u, kjson.UnmarshalCaseSensitivePreserveInts(raw, &u.Object)
}

// resourceOf gives the resource of an object's kind.
func resourceOf(o object) (*resource, error) {
	gvk := o.GetObjectKind().GroupVersionKind()
	for _, r := range resources {
		if gvk.Empty() && r.typed() {
			if fmt.Sprintf("%T", r.blank()) == fmt.Sprintf("%T", o) {
				return r, nil
			}
			continue
		}
		if r.group != gvk.Group || r.kind != gvk.Kind {
			continue
		}
		for _, v := range r.versions() {
			if v == gvk.Version {
				return r, nil
			}
		}
	}
	return nil, fmt.Errorf("the practice cluster does not serve %s (%T)", gvk, o)
}
