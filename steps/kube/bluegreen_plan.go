package kube

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

func (k blueGreen) read(ctx context.Context, c *Cluster, order steps.Order, s *snapshot) (world, []state.Stage, error) {
	env := order.Environment
	bg := env.BlueGreen
	if bg == nil || bg.Service == "" || bg.Blue == "" || bg.Green == "" {
		return nil, nil, &state.Problem{What: "environment " + env.Name + " has no blue-green strategy", Code: "config",
			Do: "Set blue_green: with service, blue and green in mayday.yaml."}
	}
	svc := colours{Service: bg.Service}.ref(namespace(env))
	var blue, green planned
	var service *unstructured.Unstructured
	var errs [3]error
	var wg sync.WaitGroup
	wg.Go(func() { blue, errs[0] = c.workloadFor(ctx, bg.Blue, order) })
	wg.Go(func() { green, errs[1] = c.workloadFor(ctx, bg.Green, order) })
	wg.Go(func() { service, errs[2] = c.get(ctx, svc) })
	wg.Wait()
	errs[2] = problem(errs[2], "cannot read "+svc.String()+" in namespace "+svc.Namespace)
	for _, err := range errs { // the same one each time, where several are wrong
		if err != nil {
			return nil, nil, err
		}
	}
	live, idle, cs, err := c.tellApart(svc, service, bg, blue, green)
	if err != nil {
		return nil, nil, err
	}
	if err := c.undisturbed(ctx, svc, cs, live, idle); err != nil {
		return nil, nil, err
	}
	s.Stable, s.Canary, s.Colours, s.Pods = live.workload, &idle.workload, &cs, max(live.Replicas, 1)
	if idle.Autoscaler != "" && idle.Replicas > 0 && idle.Replicas < s.Pods {
		return nil, nil, &state.Problem{What: idle.ref.String() + " is too small for all the traffic", Code: "capacity",
			Why: fmt.Sprintf("it has %d pods, %s has %d, and HorizontalPodAutoscaler %s decides how many", idle.Replicas, live.Deployment, s.Pods, idle.Autoscaler),
			Do:  fmt.Sprintf("Set minReplicas of %s to %d until the traffic is there.", idle.Autoscaler, s.Pods)}
	}
	return world{svc: service, live.ref: live.live, idle.ref: idle.live}, k.stages(*s, order), nil
}

// tellApart finds out which colour the Service leads to, and that its selector can be
// switched to the other one.
func (c *Cluster) tellApart(svc ref, service *unstructured.Unstructured, bg *runbook.BlueGreen, blue, green planned) (live, idle planned, cs colours, err error) {
	typedService, err := typed[corev1.Service](service)
	if err != nil {
		return live, idle, cs, err
	}
	label := or(bg.Label, "version")
	cs = colours{Service: bg.Service, Label: label, Selector: selectorOf(service), Preview: bg.PreviewURL, PreviewService: bg.PreviewService, Drain: bg.Drain}
	is := func(p planned) string { return p.d.Spec.Template.Labels[label] }
	matches := func(p planned, selector map[string]string) bool {
		return labels.SelectorFromSet(selector).Matches(labels.Set(p.d.Spec.Template.Labels))
	}
	onBlue, onGreen := matches(blue, cs.Selector), matches(green, cs.Selector)
	live, idle = blue, green
	if onGreen {
		live, idle = green, blue
	}
	cs.Live, cs.Idle = is(live), is(idle)
	p := &state.Problem{Code: "selector", Do: "Correct it: " + svc.kubectl(c.Context, "edit")}
	switch {
	case typedService.Spec.Type == corev1.ServiceTypeExternalName:
		p.What, p.Why = svc.String()+" is only a name for "+typedService.Spec.ExternalName, "a Service of type ExternalName leads to no pods"
		p.Do = "Name the Service that selects the pods in blue_green.service."
	case typedService.Spec.ClusterIP == corev1.ClusterIPNone:
		p.What, p.Why = svc.String()+" is headless", "its clients keep the addresses of pods: they would stay on the old colour after the switch"
		p.Do = "Name a Service with an address of its own in blue_green.service."
	case len(cs.Selector) == 0:
		p.What, p.Why = svc.String()+" has no selector", "mayday cannot know which pods it leads to"
	case onBlue && onGreen:
		p.What, p.Why = svc.String()+" leads to both colours", c.both(cs, blue, green)
	case !onBlue && !onGreen:
		p.What, p.Why = svc.String()+" leads to neither colour", cs.shares(service)+" finds pods of neither "+blue.Deployment+" nor "+green.Deployment
	case cs.Selector[label] == "":
		p.What, p.Why = svc.String()+" is not switched by label "+strconv.Quote(label), "its "+cs.shares(service)+" does not have it"
		p.Do = "Set label: of blue_green in mayday.yaml to the key that tells the colours apart."
	case !matches(idle, cs.turned()):
		p.What = svc.String() + " would not find " + idle.Deployment + " with " + label + " switched"
		p.Why = state.Clean(cs.shares(service) + "; the pods of " + idle.Deployment + " have labels " + labels.Set(idle.d.Spec.Template.Labels).String())
		p.Do = "Give the pod templates of both colours the same labels, except " + label + "."
	default:
		return live, idle, cs, nil
	}
	p.Why = state.Clean(p.Why)
	return live, idle, cs, p
}

// both says why a selector finds the pods of both colours.
func (*Cluster) both(cs colours, blue, green planned) string {
	if cs.Live == cs.Idle {
		return "the pods of " + blue.Deployment + " and " + green.Deployment + " have the same label " + cs.Label + ": " + strconv.Quote(cs.Live)
	}
	return "selector " + labels.SelectorFromSet(cs.Selector).String() + " has no " + cs.Label
}

// undisturbed refuses a Service that leads to pods of a third owner, before or after:
// whether it leads to one colour alone could not be told.
func (c *Cluster) undisturbed(ctx context.Context, svc ref, cs colours, live, idle planned) error {
	for _, side := range []struct {
		o        ref
		selector map[string]string
	}{{live.ref, cs.Selector}, {idle.ref, cs.turned()}} {
		others, err := c.strangers(ctx, side.o, side.selector)
		if err != nil {
			return problem(err, "cannot list the pods of "+svc.String())
		}
		if len(others) > 0 {
			return &state.Problem{What: svc.String() + " also leads to pods that are not of " + side.o.String(), Code: "selector",
				Why: state.Clean(fmt.Sprintf("selector %s finds %s", labels.SelectorFromSet(side.selector), others[0])),
				Do:  "Give them other labels, or the Service a narrower selector."}
		}
	}
	return nil
}
