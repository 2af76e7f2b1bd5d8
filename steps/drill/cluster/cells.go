package cluster

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

func namespaceCells(o object, c *tableContext) []any {
	return []any{string(o.(*corev1.Namespace).Status.Phase), c.age(o.GetCreationTimestamp())}
}

func ageCells(o object, c *tableContext) []any { return []any{c.age(o.GetCreationTimestamp())} }

func nodeCells(o object, c *tableContext) []any {
	return []any{"Ready", "<none>", c.age(o.GetCreationTimestamp()), o.(*corev1.Node).Status.NodeInfo.KubeletVersion}
}

func podCells(o object, c *tableContext) []any {
	p := o.(*corev1.Pod)
	ready, restarts := 0, int32(0)
	for _, s := range p.Status.ContainerStatuses {
		restarts += s.RestartCount
		if s.Ready {
			ready++
		}
	}
	return []any{fmt.Sprintf("%d/%d", ready, len(p.Spec.Containers)), podReason(p), fmt.Sprint(restarts), c.age(p.CreationTimestamp),
		orNone(p.Status.PodIP), orNone(p.Spec.NodeName), orNone(p.Status.NominatedNodeName), "<none>"}
}

// podReason is the STATUS column: the most telling word about the Pod.
func podReason(p *corev1.Pod) string {
	reason := string(p.Status.Phase)
	if p.Status.Reason != "" {
		reason = p.Status.Reason
	}
	running := false
	for _, s := range slices.Backward(p.Status.ContainerStatuses) {
		switch {
		case s.State.Waiting != nil && s.State.Waiting.Reason != "":
			reason = s.State.Waiting.Reason
		case s.State.Terminated != nil && s.State.Terminated.Reason != "":
			reason = s.State.Terminated.Reason
		case s.State.Terminated != nil:
			reason = fmt.Sprintf("ExitCode:%d", s.State.Terminated.ExitCode)
		case s.Ready && s.State.Running != nil:
			running = true
		}
	}
	if reason == "Completed" && running {
		reason = "Running"
	}
	if p.DeletionTimestamp != nil {
		reason = "Terminating"
	}
	return reason
}

func serviceCells(o object, c *tableContext) []any {
	s := o.(*corev1.Service)
	var ports []string
	for _, p := range s.Spec.Ports {
		port := fmt.Sprintf("%d/%s", p.Port, p.Protocol)
		if p.NodePort > 0 {
			port = fmt.Sprintf("%d:%d/%s", p.Port, p.NodePort, p.Protocol)
		}
		ports = append(ports, port)
	}
	return []any{string(s.Spec.Type), orNone(s.Spec.ClusterIP), joined(s.Spec.ExternalIPs), joined(ports),
		c.age(s.CreationTimestamp), labels.FormatLabels(s.Spec.Selector)}
}

func deploymentCells(o object, c *tableContext) []any {
	d := o.(*appsv1.Deployment)
	names, images := containers(d.Spec.Template.Spec)
	return []any{fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, *d.Spec.Replicas), int64(d.Status.UpdatedReplicas),
		int64(d.Status.AvailableReplicas), c.age(d.CreationTimestamp), names, images, metav1.FormatLabelSelector(d.Spec.Selector)}
}

func replicaSetCells(o object, c *tableContext) []any {
	rs := o.(*appsv1.ReplicaSet)
	names, images := containers(rs.Spec.Template.Spec)
	return []any{int64(*rs.Spec.Replicas), int64(rs.Status.Replicas), int64(rs.Status.ReadyReplicas), c.age(rs.CreationTimestamp),
		names, images, metav1.FormatLabelSelector(rs.Spec.Selector)}
}

func statefulSetCells(o object, c *tableContext) []any {
	s := o.(*appsv1.StatefulSet)
	names, images := containers(s.Spec.Template.Spec)
	return []any{fmt.Sprintf("%d/%d", s.Status.ReadyReplicas, *s.Spec.Replicas), c.age(s.CreationTimestamp), names, images}
}

func controllerRevisionCells(o object, c *tableContext) []any {
	rev := o.(*appsv1.ControllerRevision)
	by := "<none>"
	if ref := metav1.GetControllerOf(rev); ref != nil {
		by = strings.ToLower(ref.Kind) + ".apps/" + ref.Name
	}
	return []any{by, strconv.FormatInt(rev.Revision, 10), c.age(rev.CreationTimestamp)}
}

func containers(s corev1.PodSpec) (names, images string) {
	var n, i []string
	for _, c := range s.Containers {
		n, i = append(n, c.Name), append(i, c.Image)
	}
	return strings.Join(n, ","), strings.Join(i, ",")
}

func endpointSliceCells(o object, c *tableContext) []any {
	s := o.(*discoveryv1.EndpointSlice)
	var ports, addresses []string
	for _, p := range s.Ports {
		if p.Port != nil {
			ports = append(ports, fmt.Sprint(*p.Port))
		}
	}
	for _, e := range s.Endpoints {
		addresses = append(addresses, e.Addresses...)
	}
	if len(ports) == 0 {
		ports = []string{"<unset>"}
	}
	if len(addresses) == 0 {
		addresses = []string{"<unset>"}
	}
	return []any{string(s.AddressType), some(ports, 3), some(addresses, 3), c.age(s.CreationTimestamp)}
}

func eventCells(o object, c *tableContext) []any {
	e := o.(*corev1.Event)
	last := e.LastTimestamp
	if last.IsZero() {
		last = metav1.NewTime(e.EventTime.Time)
	}
	first := e.FirstTimestamp
	if first.IsZero() {
		first = last
	}
	source := e.Source.Component
	if source == "" {
		source = e.ReportingController
	}
	count := int64(e.Count)
	if count == 0 {
		count = 1
	}
	return []any{c.age(last), e.Type, e.Reason, strings.ToLower(e.InvolvedObject.Kind) + "/" + e.InvolvedObject.Name,
		e.InvolvedObject.FieldPath, source, strings.TrimSpace(e.Message), c.age(first), count, e.Name}
}

func autoscalerCells(o object, c *tableContext) []any {
	h := o.(*autoscalingv2.HorizontalPodAutoscaler)
	least := int64(1)
	if h.Spec.MinReplicas != nil {
		least = int64(*h.Spec.MinReplicas)
	}
	return []any{h.Spec.ScaleTargetRef.Kind + "/" + h.Spec.ScaleTargetRef.Name, least, int64(h.Spec.MaxReplicas), c.age(h.CreationTimestamp)}
}

// specCells prints fields of a custom resource's spec, as its definition's printer
// columns would.
func specCells(keys ...string) func(object, *tableContext) []any {
	return func(o object, c *tableContext) []any {
		spec, _ := o.(*unstructured.Unstructured).Object["spec"].(map[string]any)
		var cells []any
		for _, k := range keys {
			cells = append(cells, specCell(spec[k]))
		}
		return append(cells, c.age(o.GetCreationTimestamp()))
	}
}

// specCell prints a list as JSON, as the real server's printer columns do.
func specCell(v any) any {
	l, ok := v.([]any)
	if !ok {
		return v
	}
	raw, err := json.Marshal(l)
	if err != nil {
		return "<error>"
	}
	return string(raw)
}

func orNone(s string) string {
	if s == "" {
		return "<none>"
	}
	return s
}

func podFields(o object) map[string]string {
	p := o.(*corev1.Pod)
	return map[string]string{"spec.nodeName": p.Spec.NodeName, "status.phase": string(p.Status.Phase), "status.podIP": p.Status.PodIP,
		"spec.restartPolicy": string(p.Spec.RestartPolicy), "spec.schedulerName": p.Spec.SchedulerName, "spec.serviceAccountName": p.Spec.ServiceAccountName}
}

func eventFields(o object) map[string]string {
	e := o.(*corev1.Event)
	return map[string]string{"involvedObject.kind": e.InvolvedObject.Kind, "involvedObject.namespace": e.InvolvedObject.Namespace,
		"involvedObject.name": e.InvolvedObject.Name, "involvedObject.uid": string(e.InvolvedObject.UID),
		"involvedObject.apiVersion": e.InvolvedObject.APIVersion, "involvedObject.resourceVersion": e.InvolvedObject.ResourceVersion,
		"involvedObject.fieldPath": e.InvolvedObject.FieldPath, "reason": e.Reason, "type": e.Type,
		"source": e.Source.Component, "reportingComponent": e.ReportingController}
}
