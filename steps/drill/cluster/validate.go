package cluster

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var (
	specPath     = field.NewPath("spec")
	templatePath = specPath.Child("template")
)

func validateMeta(res *resource, o object) field.ErrorList {
	errs := validation.ValidateObjectMetaAccessor(o, res.namespaced, res.validName, field.NewPath("metadata"))
	return append(errs, metavalidation.ValidateLabels(o.GetLabels(), field.NewPath("metadata", "labels"))...)
}

// validateNew checks an object that is about to be stored for the first time.
func validateNew(res *resource, o object) field.ErrorList {
	errs := validateMeta(res, o)
	if res.validate != nil {
		errs = append(errs, res.validate(o)...)
	}
	return errs
}

func validateDeployment(o object) field.ErrorList {
	d := o.(*appsv1.Deployment)
	errs := validation.ValidateNonnegativeField(int64(*d.Spec.Replicas), specPath.Child("replicas"))
	errs = append(errs, validation.ValidateNonnegativeField(int64(d.Spec.MinReadySeconds), specPath.Child("minReadySeconds"))...)
	errs = append(errs, validation.ValidateNonnegativeField(int64(*d.Spec.RevisionHistoryLimit), specPath.Child("revisionHistoryLimit"))...)
	if *d.Spec.ProgressDeadlineSeconds <= d.Spec.MinReadySeconds {
		errs = append(errs, field.Invalid(specPath.Child("progressDeadlineSeconds"), *d.Spec.ProgressDeadlineSeconds, "must be greater than minReadySeconds"))
	}
	errs = append(errs, validateSelected(d.Spec.Selector, &d.Spec.Template)...)
	return append(errs, validateStrategy(&d.Spec.Strategy)...)
}

func validateStrategy(s *appsv1.DeploymentStrategy) field.ErrorList {
	path := specPath.Child("strategy")
	switch s.Type {
	case appsv1.RecreateDeploymentStrategyType:
		if s.RollingUpdate != nil {
			return field.ErrorList{field.Forbidden(path.Child("rollingUpdate"), "may not be specified when strategy `type` is 'Recreate'")}
		}
		return nil
	case appsv1.RollingUpdateDeploymentStrategyType:
	default:
		return field.ErrorList{field.NotSupported(path.Child("type"), s.Type, []appsv1.DeploymentStrategyType{
			appsv1.RecreateDeploymentStrategyType, appsv1.RollingUpdateDeploymentStrategyType})}
	}
	path = path.Child("rollingUpdate")
	errs := append(validateShare(*s.RollingUpdate.MaxUnavailable, path.Child("maxUnavailable")),
		validateShare(*s.RollingUpdate.MaxSurge, path.Child("maxSurge"))...)
	if len(errs) > 0 {
		return errs
	}
	unavailable, _ := intstr.GetScaledValueFromIntOrPercent(s.RollingUpdate.MaxUnavailable, 100, false)
	surge, _ := intstr.GetScaledValueFromIntOrPercent(s.RollingUpdate.MaxSurge, 100, true)
	if unavailable == 0 && surge == 0 {
		errs = append(errs, field.Invalid(path.Child("maxUnavailable"), s.RollingUpdate.MaxUnavailable.String(), "may not be 0 when `maxSurge` is 0"))
	}
	if s.RollingUpdate.MaxUnavailable.Type == intstr.String && unavailable > 100 {
		errs = append(errs, field.Invalid(path.Child("maxUnavailable"), s.RollingUpdate.MaxUnavailable.String(), "must not be greater than 100%"))
	}
	return errs
}

// validateShare checks a number of pods or a percentage of them.
func validateShare(v intstr.IntOrString, path *field.Path) field.ErrorList {
	if v.Type == intstr.Int {
		return validation.ValidateNonnegativeField(int64(v.IntVal), path)
	}
	var errs field.ErrorList
	for _, msg := range utilvalidation.IsValidPercent(v.StrVal) {
		errs = append(errs, field.Invalid(path, v.String(), msg))
	}
	return errs
}

func validateReplicaSet(o object) field.ErrorList {
	rs := o.(*appsv1.ReplicaSet)
	errs := validation.ValidateNonnegativeField(int64(*rs.Spec.Replicas), specPath.Child("replicas"))
	return append(errs, validateSelected(rs.Spec.Selector, &rs.Spec.Template)...)
}

func validateStatefulSet(o object) field.ErrorList {
	s := o.(*appsv1.StatefulSet)
	errs := validation.ValidateNonnegativeField(int64(*s.Spec.Replicas), specPath.Child("replicas"))
	errs = append(errs, validation.ValidateNonnegativeField(int64(s.Spec.MinReadySeconds), specPath.Child("minReadySeconds"))...)
	if p := s.Spec.PodManagementPolicy; p != appsv1.OrderedReadyPodManagement && p != appsv1.ParallelPodManagement {
		errs = append(errs, field.Invalid(specPath.Child("podManagementPolicy"), p, "must be 'OrderedReady' or 'Parallel'"))
	}
	path := specPath.Child("updateStrategy")
	switch u := s.Spec.UpdateStrategy; u.Type {
	case appsv1.OnDeleteStatefulSetStrategyType:
		if u.RollingUpdate != nil {
			errs = append(errs, field.Invalid(path.Child("rollingUpdate"), u.RollingUpdate, "only allowed for updateStrategy 'RollingUpdate'"))
		}
	case appsv1.RollingUpdateStatefulSetStrategyType:
		if r := u.RollingUpdate; r != nil && r.Partition != nil {
			errs = append(errs, validation.ValidateNonnegativeField(int64(*r.Partition), path.Child("rollingUpdate", "partition"))...)
		}
	default:
		errs = append(errs, field.Invalid(path, u, "must be 'RollingUpdate' or 'OnDelete'"))
	}
	if len(s.Spec.VolumeClaimTemplates) > 0 {
		errs = append(errs, field.Forbidden(specPath.Child("volumeClaimTemplates"), "the practice cluster has no volumes"))
	}
	return append(errs, validateSelected(s.Spec.Selector, &s.Spec.Template)...)
}

// statefulSetImmutable lets only what the controller can follow change.
func statefulSetImmutable(next, cur object) field.ErrorList {
	n, c := next.(*appsv1.StatefulSet).Spec.DeepCopy(), &cur.(*appsv1.StatefulSet).Spec
	n.Replicas, n.Template, n.UpdateStrategy, n.MinReadySeconds = c.Replicas, c.Template, c.UpdateStrategy, c.MinReadySeconds
	n.Ordinals, n.RevisionHistoryLimit, n.PersistentVolumeClaimRetentionPolicy = c.Ordinals, c.RevisionHistoryLimit, c.PersistentVolumeClaimRetentionPolicy
	if apiequality.Semantic.DeepEqual(n, c) {
		return nil
	}
	return field.ErrorList{field.Forbidden(specPath, "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "+
		"'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden")}
}

func controllerRevisionImmutable(next, cur object) field.ErrorList {
	return unchanged(next.(*appsv1.ControllerRevision).Data, cur.(*appsv1.ControllerRevision).Data, field.NewPath("data"))
}

// validateSelected checks a selector and the template that it must select.
func validateSelected(sel *metav1.LabelSelector, t *corev1.PodTemplateSpec) field.ErrorList {
	path := specPath.Child("selector")
	var errs field.ErrorList
	if sel == nil {
		errs = append(errs, field.Required(path, ""))
	} else {
		errs = append(errs, metavalidation.ValidateLabelSelector(sel, metavalidation.LabelSelectorValidationOptions{}, path)...)
		if len(sel.MatchLabels)+len(sel.MatchExpressions) == 0 {
			errs = append(errs, field.Invalid(path, sel, "empty selector is invalid for deployment"))
		}
		if s, err := metav1.LabelSelectorAsSelector(sel); err == nil && !s.Matches(labels.Set(t.Labels)) {
			errs = append(errs, field.Invalid(templatePath.Child("metadata", "labels"), t.Labels, "`selector` does not match template `labels`"))
		}
	}
	errs = append(errs, metavalidation.ValidateLabels(t.Labels, templatePath.Child("metadata", "labels"))...)
	errs = append(errs, validation.ValidateAnnotations(t.Annotations, templatePath.Child("metadata", "annotations"))...)
	errs = append(errs, validatePodSpec(&t.Spec, templatePath.Child("spec"))...)
	if t.Spec.RestartPolicy != corev1.RestartPolicyAlways {
		errs = append(errs, field.NotSupported(templatePath.Child("spec", "restartPolicy"), t.Spec.RestartPolicy, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	return errs
}

func validatePod(o object) field.ErrorList { return validatePodSpec(&o.(*corev1.Pod).Spec, specPath) }

func validatePodSpec(s *corev1.PodSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(s.Containers) == 0 {
		errs = append(errs, field.Required(path.Child("containers"), ""))
	}
	if *s.TerminationGracePeriodSeconds < 0 {
		errs = append(errs, field.Invalid(path.Child("terminationGracePeriodSeconds"), *s.TerminationGracePeriodSeconds, "must be greater than or equal to 0"))
	}
	seen := map[string]bool{}
	for i, c := range s.Containers {
		p := path.Child("containers").Index(i)
		switch {
		case c.Name == "":
			errs = append(errs, field.Required(p.Child("name"), ""))
		case seen[c.Name]:
			errs = append(errs, field.Duplicate(p.Child("name"), c.Name))
		default:
			for _, msg := range utilvalidation.IsDNS1123Label(c.Name) {
				errs = append(errs, field.Invalid(p.Child("name"), c.Name, msg))
			}
		}
		seen[c.Name] = true
		if c.Image == "" {
			errs = append(errs, field.Required(p.Child("image"), ""))
		}
		for j, port := range c.Ports {
			for _, msg := range utilvalidation.IsValidPortNum(int(port.ContainerPort)) {
				errs = append(errs, field.Invalid(p.Child("ports").Index(j).Child("containerPort"), port.ContainerPort, msg))
			}
		}
	}
	return errs
}

func validateService(o object) field.ErrorList {
	s := o.(*corev1.Service)
	path := specPath.Child("ports")
	var errs field.ErrorList
	if len(s.Spec.Ports) == 0 && s.Spec.ClusterIP != corev1.ClusterIPNone && s.Spec.Type != corev1.ServiceTypeExternalName {
		errs = append(errs, field.Required(path, ""))
	}
	for i, p := range s.Spec.Ports {
		for _, msg := range utilvalidation.IsValidPortNum(int(p.Port)) {
			errs = append(errs, field.Invalid(path.Index(i).Child("port"), p.Port, msg))
		}
		if len(s.Spec.Ports) > 1 && p.Name == "" {
			errs = append(errs, field.Required(path.Index(i).Child("name"), ""))
		}
	}
	return append(errs, metavalidation.ValidateLabels(s.Spec.Selector, specPath.Child("selector"))...)
}

func validateAutoscaler(o object) field.ErrorList {
	ref := o.(*autoscalingv2.HorizontalPodAutoscaler).Spec.ScaleTargetRef
	path := specPath.Child("scaleTargetRef")
	var errs field.ErrorList
	if ref.Kind == "" {
		errs = append(errs, field.Required(path.Child("kind"), ""))
	}
	if ref.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), ""))
	}
	return errs
}

func unchanged(next, cur any, path *field.Path) field.ErrorList {
	return validation.ValidateImmutableField(next, cur, path)
}

func deploymentImmutable(next, cur object) field.ErrorList {
	return unchanged(next.(*appsv1.Deployment).Spec.Selector, cur.(*appsv1.Deployment).Spec.Selector, specPath.Child("selector"))
}

func replicaSetImmutable(next, cur object) field.ErrorList {
	return unchanged(next.(*appsv1.ReplicaSet).Spec.Selector, cur.(*appsv1.ReplicaSet).Spec.Selector, specPath.Child("selector"))
}

func serviceImmutable(next, cur object) field.ErrorList {
	n, c := next.(*corev1.Service), cur.(*corev1.Service)
	if n.Spec.ClusterIP == "" { // a whole object written without the address keeps it
		n.Spec.ClusterIP, n.Spec.ClusterIPs = c.Spec.ClusterIP, c.Spec.ClusterIPs
	}
	return unchanged(n.Spec.ClusterIP, c.Spec.ClusterIP, specPath.Child("clusterIP"))
}

// podImmutable lets only images change, and the node once.
func podImmutable(next, cur object) field.ErrorList {
	n, c := next.(*corev1.Pod).Spec.DeepCopy(), cur.(*corev1.Pod).Spec.DeepCopy()
	if c.NodeName == "" {
		c.NodeName = n.NodeName
	}
	n.ActiveDeadlineSeconds, n.Tolerations = c.ActiveDeadlineSeconds, c.Tolerations
	if len(n.Containers) == len(c.Containers) {
		for i := range n.Containers {
			n.Containers[i].Image = c.Containers[i].Image
		}
	}
	if apiequality.Semantic.DeepEqual(n, c) {
		return nil
	}
	return field.ErrorList{field.Forbidden(specPath, fmt.Sprintf("pod updates may not change fields other than %s",
		"`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"))}
}
