package cluster

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// fill sets what is nil.
func fill[T any](p **T, v T) {
	if *p == nil {
		*p = &v
	}
}

// or sets what is empty.
func or[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

func defaultNamespace(o object) {
	ns := o.(*corev1.Namespace)
	if ns.Labels == nil {
		ns.Labels = map[string]string{}
	}
	ns.Labels[corev1.LabelMetadataName] = ns.Name
	if len(ns.Spec.Finalizers) == 0 {
		ns.Spec.Finalizers = []corev1.FinalizerName{corev1.FinalizerKubernetes}
	}
}

func defaultDeployment(o object) {
	d := o.(*appsv1.Deployment)
	fill(&d.Spec.Replicas, 1)
	fill(&d.Spec.RevisionHistoryLimit, 10)
	fill(&d.Spec.ProgressDeadlineSeconds, 600)
	or(&d.Spec.Strategy.Type, appsv1.RollingUpdateDeploymentStrategyType)
	if d.Spec.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		fill(&d.Spec.Strategy.RollingUpdate, appsv1.RollingUpdateDeployment{})
		fill(&d.Spec.Strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
		fill(&d.Spec.Strategy.RollingUpdate.MaxSurge, intstr.FromString("25%"))
	}
	defaultPodSpec(&d.Spec.Template.Spec)
}

func defaultStatefulSet(o object) {
	s := o.(*appsv1.StatefulSet)
	fill(&s.Spec.Replicas, 1)
	fill(&s.Spec.RevisionHistoryLimit, 10)
	or(&s.Spec.PodManagementPolicy, appsv1.OrderedReadyPodManagement)
	if s.Spec.UpdateStrategy.Type == "" {
		s.Spec.UpdateStrategy.Type = appsv1.RollingUpdateStatefulSetStrategyType
		fill(&s.Spec.UpdateStrategy.RollingUpdate, appsv1.RollingUpdateStatefulSetStrategy{})
	}
	if r := s.Spec.UpdateStrategy.RollingUpdate; r != nil && s.Spec.UpdateStrategy.Type == appsv1.RollingUpdateStatefulSetStrategyType {
		fill(&r.Partition, 0)
	}
	fill(&s.Spec.PersistentVolumeClaimRetentionPolicy, appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{})
	or(&s.Spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	or(&s.Spec.PersistentVolumeClaimRetentionPolicy.WhenScaled, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	defaultPodSpec(&s.Spec.Template.Spec)
}

func defaultReplicaSet(o object) {
	rs := o.(*appsv1.ReplicaSet)
	fill(&rs.Spec.Replicas, 1)
	defaultPodSpec(&rs.Spec.Template.Spec)
}

func defaultPod(o object) {
	p := o.(*corev1.Pod)
	defaultPodSpec(&p.Spec)
	fill(&p.Spec.EnableServiceLinks, true)
	if p.Status.PodIP != "" && len(p.Status.PodIPs) == 0 {
		p.Status.PodIPs = []corev1.PodIP{{IP: p.Status.PodIP}}
	}
}

func defaultPodSpec(s *corev1.PodSpec) {
	or(&s.RestartPolicy, corev1.RestartPolicyAlways)
	fill(&s.TerminationGracePeriodSeconds, corev1.DefaultTerminationGracePeriodSeconds)
	or(&s.DNSPolicy, corev1.DNSClusterFirst)
	or(&s.SchedulerName, corev1.DefaultSchedulerName)
	fill(&s.SecurityContext, corev1.PodSecurityContext{})
	for i := range s.InitContainers {
		defaultContainer(&s.InitContainers[i])
	}
	for i := range s.Containers {
		defaultContainer(&s.Containers[i])
	}
}

func defaultContainer(c *corev1.Container) {
	or(&c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
	or(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	pull := corev1.PullIfNotPresent
	if tag := imageTag(c.Image); tag == "" || tag == "latest" {
		pull = corev1.PullAlways
	}
	or(&c.ImagePullPolicy, pull)
	for i := range c.Ports {
		or(&c.Ports[i].Protocol, corev1.ProtocolTCP)
	}
	for i := range c.Env {
		if v := c.Env[i].ValueFrom; v != nil && v.FieldRef != nil {
			or(&v.FieldRef.APIVersion, "v1")
		}
	}
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		defaultProbe(p)
	}
}

func defaultProbe(p *corev1.Probe) {
	if p == nil {
		return
	}
	or(&p.TimeoutSeconds, 1)
	or(&p.PeriodSeconds, 10)
	or(&p.SuccessThreshold, 1)
	or(&p.FailureThreshold, 3)
	if p.HTTPGet != nil {
		or(&p.HTTPGet.Path, "/")
		or(&p.HTTPGet.Scheme, corev1.URISchemeHTTP)
	}
	if p.GRPC != nil {
		fill(&p.GRPC.Service, "")
	}
}

// imageTag gives what follows the last colon of an image's last path element.
func imageTag(image string) string {
	if strings.Contains(image, "@") {
		return "@"
	}
	_, tag, _ := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	return tag
}

func defaultService(o object) {
	s := o.(*corev1.Service)
	or(&s.Spec.Type, corev1.ServiceTypeClusterIP)
	or(&s.Spec.SessionAffinity, corev1.ServiceAffinityNone)
	fill(&s.Spec.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)
	fill(&s.Spec.IPFamilyPolicy, corev1.IPFamilyPolicySingleStack)
	if len(s.Spec.IPFamilies) == 0 {
		s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		or(&p.Protocol, corev1.ProtocolTCP)
		if p.TargetPort == (intstr.IntOrString{}) {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
}

// newServiceIP gives a new Service its address of the cluster's range.
func newServiceIP(s *store, o object) {
	svc := o.(*corev1.Service)
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return
	}
	if svc.Spec.ClusterIP == "" {
		s.lastIP++
		svc.Spec.ClusterIP = fmt.Sprintf("10.96.%d.%d", s.lastIP/250%250, s.lastIP%250+1)
	}
	svc.Spec.ClusterIPs = []string{svc.Spec.ClusterIP}
}

// newPodStatus begins a Pod's life.
func newPodStatus(_ *store, o object) {
	p := o.(*corev1.Pod)
	p.Status.Phase = corev1.PodPending
	p.Status.QOSClass = qos(p.Spec)
}

func qos(s corev1.PodSpec) corev1.PodQOSClass {
	class := corev1.PodQOSGuaranteed
	any := false
	for _, c := range s.Containers {
		if len(c.Resources.Requests)+len(c.Resources.Limits) > 0 {
			any = true
		}
		for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			limit, ok := c.Resources.Limits[r]
			if want, asked := c.Resources.Requests[r]; !ok || asked && want.Cmp(limit) != 0 {
				class = corev1.PodQOSBurstable
			}
		}
	}
	if !any {
		return corev1.PodQOSBestEffort
	}
	return class
}

// defaultHTTPRoute fills in what the Gateway API's definitions default.
func defaultHTTPRoute(o object) {
	spec, _ := o.(*unstructured.Unstructured).Object["spec"].(map[string]any)
	for _, ref := range objectsIn(spec["parentRefs"]) {
		absent(ref, "group", "gateway.networking.k8s.io")
		absent(ref, "kind", "Gateway")
	}
	for _, rule := range objectsIn(spec["rules"]) {
		if _, ok := rule["matches"]; !ok {
			rule["matches"] = []any{map[string]any{"path": map[string]any{"type": "PathPrefix", "value": "/"}}}
		}
		for _, ref := range objectsIn(rule["backendRefs"]) {
			absent(ref, "group", "")
			absent(ref, "kind", "Service")
			absent(ref, "weight", int64(1))
		}
	}
}

// objectsIn gives those elements of a decoded JSON list that are objects.
func objectsIn(list any) []map[string]any {
	l, _ := list.([]any)
	var out []map[string]any
	for _, e := range l {
		if m, ok := e.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func absent(m map[string]any, key string, v any) {
	if _, ok := m[key]; !ok {
		m[key] = v
	}
}
