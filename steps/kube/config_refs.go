package kube

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// reading is how pods read an object.
type reading struct{ env, volume bool }

// readBy collects the ConfigMaps and Secrets that the pod templates of a plan's
// workloads refer to, and how. Image pull secrets are the node's, not the program's.
func readBy(w world) map[ref]reading {
	out := map[ref]reading{}
	for r, u := range w {
		template, found, _ := unstructured.NestedMap(u.Object, "spec", "template", "spec")
		if !found {
			continue
		}
		var spec corev1.PodSpec
		if runtime.DefaultUnstructuredConverter.FromUnstructured(template, &spec) != nil {
			continue // the strategy's own reading of the workload says so
		}
		read := func(kind, name string, how reading) {
			if name == "" || kind == "ConfigMap" && name == "kube-root-ca.crt" { // the cluster keeps that one
				return
			}
			at := configRef(kind, r.Namespace, name)
			out[at] = reading{out[at].env || how.env, out[at].volume || how.volume}
		}
		for _, c := range append(spec.InitContainers, spec.Containers...) {
			readByContainer(c, read)
		}
		for _, v := range spec.Volumes {
			readByVolume(v, read)
		}
	}
	return out
}

func readByContainer(c corev1.Container, read func(kind, name string, how reading)) {
	env := reading{env: true}
	for _, e := range c.EnvFrom {
		if e.ConfigMapRef != nil {
			read("ConfigMap", e.ConfigMapRef.Name, env)
		}
		if e.SecretRef != nil {
			read("Secret", e.SecretRef.Name, env)
		}
	}
	for _, e := range c.Env {
		if e.ValueFrom == nil {
			continue
		}
		if from := e.ValueFrom.ConfigMapKeyRef; from != nil {
			read("ConfigMap", from.Name, env)
		}
		if from := e.ValueFrom.SecretKeyRef; from != nil {
			read("Secret", from.Name, env)
		}
	}
}

func readByVolume(v corev1.Volume, read func(kind, name string, how reading)) {
	volume := reading{volume: true}
	if v.ConfigMap != nil {
		read("ConfigMap", v.ConfigMap.Name, volume)
	}
	if v.Secret != nil {
		read("Secret", v.Secret.SecretName, volume)
	}
	if v.Projected == nil {
		return
	}
	for _, src := range v.Projected.Sources {
		if src.ConfigMap != nil {
			read("ConfigMap", src.ConfigMap.Name, volume)
		}
		if src.Secret != nil {
			read("Secret", src.Secret.Name, volume)
		}
	}
}

// running says what a change of the object means for pods that run already.
func (o configObject) running() string {
	switch {
	case o.Env && o.Volume:
		return "pods that run see it in their files within a minute or two, in their environment only when they start again"
	case o.Env:
		return "pods that run keep their environment until they start again"
	case o.Volume:
		return "pods that run, also those of the old version, see it in their files within a minute or two"
	}
	return "no pod template of this rollout refers to it"
}
