package kube

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// Preview is how a colour that no user sees yet is tried out. The zero value checks
// nothing, and the rollout says so.
type Preview struct {
	// Environments are the runbook's, for their checks: these may hold secrets, so no
	// plan carries them.
	Environments map[string]runbook.Environment
	Checker      steps.Checker
}

// previewAnswers is how many requests must all come from the new version.
const previewAnswers = 20

// way is how the idle colour is reached before any user sees it.
type way struct {
	url     string
	name    string // "at http://preview", "on pod app-green-1 through the API server"
	through bool   // the API server, which keeps an Authorization header for itself
	sure    bool   // that it leads to the idle colour: a pod of it was picked
	stop    func()
}

// betweenTries is the pause after a try of a way that does not lead to the new version
// yet: checks may be dear.
const betweenTries = 500 * time.Millisecond

// tryOut makes the environment's checks where only the idle colour answers, after making
// sure that the new version does. The text says what passed and by which way. What leads
// there, a Service or more, learns of the colour's pods some time after they are ready:
// what fails is tried again until the effect of a changed weight would have to be seen,
// and the last error is told. A picked pod is asked once, it was ready.
func (r *run) tryOut(ctx context.Context) (string, error) {
	env := r.preview.Environments[r.plan.Environment]
	blind := r.s.Colours.Preview == "" && (len(env.Checks) == 0 || r.preview.Checker == nil)
	if blind { // and nothing to find out, then
		return "not checked: the environment has no checks", nil
	}
	w, why, err := r.way(ctx)
	if err != nil {
		return "", err
	}
	if why != "" {
		return "not checked: " + why, nil
	}
	defer w.stop()
	env.Name, env.URL = r.plan.Environment, w.url
	checks := make([]tried, len(env.Checks))
	give := time.Now().Add(r.patience.follow)
	for {
		text, err := r.tryOnce(ctx, env, w, checks)
		if err == nil || ctx.Err() != nil || w.sure || time.Now().After(give) {
			return text, err
		}
		if err := sleep(ctx, betweenTries); err != nil {
			return "", err
		}
		if err := r.uncontested(ctx); err != nil && !transient(err) {
			return "", problem(err, "cannot read "+r.s.Colours.String())
		}
	}
}

// tried is what became of one check so far.
type tried struct {
	passed bool
	said   string
}

// tryOnce is one try of tryOut. checks, one for each of the environment's, go from one
// try to the next: what passed is not done twice, it may be a purchase.
func (r *run) tryOnce(ctx context.Context, env runbook.Environment, w way, checks []tried) (string, error) {
	answered := ""
	if !w.sure {
		seen, err := r.previewed(ctx, env, w)
		if err != nil {
			return "", err
		}
		answered = ", " + seen
	}
	if len(env.Checks) == 0 || r.preview.Checker == nil {
		return "not checked: the environment has no checks" + answered, nil
	}
	passed, elsewhere, err := r.preview.run(ctx, env, w, checks, r.out)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%d checks pass %s", passed, w.name)
	if elsewhere > 0 {
		text += fmt.Sprintf(" (%d %s and were left out)", elsewhere, w.leavesOut())
	}
	return text + answered, nil
}

// leavesOut says of which checks a way makes none.
func (w way) leavesOut() string {
	if w.through {
		return "ask another address or send Authorization, which the API server keeps,"
	}
	return "ask another address"
}

// way finds the way to the idle colour: the runbook's preview URL, its preview Service,
// else one of the colour's ready pods. why is what keeps the last two from being used.
func (r *run) way(ctx context.Context) (w way, why string, err error) {
	c := r.s.Colours
	if c.Preview != "" {
		return way{url: c.Preview, name: "at " + c.Preview, stop: func() {}}, "", nil
	}
	x, path, name := r.proxied(), "", ""
	if denial, err := r.ask(ctx, x); err == nil && denial != "" {
		return w, "blue_green has no preview_url, and the API server's proxy is denied (kubectl auth can-i " + x.typed(r.plan.Namespace) + ")", nil
	}
	if c.PreviewService != "" {
		path, name, err = r.throughService(ctx)
	} else {
		path, name, err = r.throughPod(ctx)
	}
	if err != nil {
		return w, "", err
	}
	w = way{name: "on " + name + " through the API server", through: true, sure: c.PreviewService == ""}
	if w.url, w.stop, err = r.c.bridge(ctx, path); err != nil {
		return w, "", err
	}
	return w, "", nil
}

// proxied is the right that the checks need where the API server leads to the colour.
func (r *run) proxied() right {
	x := right{verb: "get", resource: pods, sub: "proxy", without: r.s.Colours.Idle + " is not checked before users see it"}
	if r.s.Colours.PreviewService != "" {
		x.resource, x.name = services, r.s.Colours.PreviewService
	}
	return x
}

// throughPod picks a ready pod of the new version.
func (r *run) throughPod(ctx context.Context) (path, name string, err error) {
	idle := deployment(r.plan.Namespace, r.s.Canary.Deployment)
	v, err := r.c.view(ctx, idle)
	if err != nil {
		return "", "", problem(err, "cannot read "+idle.String())
	}
	svc, err := r.service(ctx, r.s.Colours.Service)
	if err != nil {
		return "", "", err
	}
	slices.SortFunc(v.pods, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	for _, p := range v.pods {
		if v.current == nil || !metav1.IsControlledBy(p, v.current) || p.DeletionTimestamp != nil || !ready(p) {
			continue
		}
		port, ok := portOn(svc, p)
		if !ok {
			return "", "", &state.Problem{What: "pod " + p.Name + " has no port for " + svc.Name, Code: "checks",
				Why: "the Service's first port names a port that the pod's containers do not have", Do: "Set blue_green.preview_url, or correct the Service's targetPort."}
		}
		return "/api/v1/namespaces/" + idle.Namespace + "/pods/" + scheme(svc) + p.Name + ":" + strconv.Itoa(int(port)) + "/proxy/", "pod " + p.Name, nil
	}
	return "", "", &state.Problem{What: "no pod of " + idle.Name + " is ready to be checked", Code: "checks", Do: "Look: " + idle.kubectl(r.c.Context, "describe")}
}

// throughService leads to the runbook's preview Service.
func (r *run) throughService(ctx context.Context) (path, name string, err error) {
	svc, err := r.service(ctx, r.s.Colours.PreviewService)
	if err != nil {
		return "", "", err
	}
	port := ""
	if len(svc.Spec.Ports) > 0 {
		port = ":" + strconv.Itoa(int(svc.Spec.Ports[0].Port))
	}
	return "/api/v1/namespaces/" + r.plan.Namespace + "/services/" + scheme(svc) + svc.Name + port + "/proxy/", "Service " + svc.Name, nil
}

func (r *run) service(ctx context.Context, name string) (*corev1.Service, error) {
	o := colours{Service: name}.ref(r.plan.Namespace)
	u, err := r.c.get(ctx, o)
	if err != nil {
		return nil, problem(err, "cannot read "+o.String())
	}
	return typed[corev1.Service](u)
}

// scheme is how the API server is told that a Service's pods speak TLS.
func scheme(svc *corev1.Service) string {
	if len(svc.Spec.Ports) == 0 {
		return ""
	}
	p := svc.Spec.Ports[0]
	if p.Name == "https" || p.Port == 443 || p.AppProtocol != nil && strings.EqualFold(*p.AppProtocol, "https") {
		return "https:"
	}
	return ""
}

// portOn is where a pod listens for the first port of a Service.
func portOn(svc *corev1.Service, p *corev1.Pod) (int32, bool) {
	if len(svc.Spec.Ports) == 0 {
		return 0, false
	}
	to := svc.Spec.Ports[0].TargetPort
	if to.Type == intstr.Int {
		return to.IntVal, to.IntVal > 0
	}
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == to.StrVal {
				return port.ContainerPort, true
			}
		}
	}
	return 0, false
}

func ready(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue })
}

// previewed makes sure that a way leads to the new version, as far as answers name
// theirs: checks of the old one would prove nothing.
func (r *run) previewed(ctx context.Context, env runbook.Environment, w way) (string, error) {
	if r.traffic == nil {
		return "version not observed", nil
	}
	counts, err := r.traffic.Versions(ctx, env, previewAnswers)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	p := &state.Problem{What: "the preview " + w.name + " does not lead to " + r.s.Colours.Idle, Code: "checks",
		Do: "Correct blue_green.preview_url or preview_service, or what it leads to, then go on; or roll back. No user is on " + r.s.Colours.Idle + " yet."}
	if err != nil {
		p.Why = state.Clean(err.Error())
		return "", p
	}
	_, named, total := tally(counts, r.plan.Version)
	switch {
	case total > 0 && named == 0:
		return "version not observed: no answer names it", nil
	case counts[r.plan.Version] < total || total == 0:
		p.Why = fmt.Sprintf("%s answered %d of %d requests there", r.plan.Version, counts[r.plan.Version], total)
		return "", p
	}
	return fmt.Sprintf("%s answered %d of %d", r.plan.Version, counts[r.plan.Version], total), nil
}

// authorizes reports whether a check logs in by a header.
func authorizes(c runbook.Check) bool {
	for name := range c.Headers {
		if strings.EqualFold(name, "Authorization") {
			return true
		}
	}
	return false
}

// run makes the checks. Those that name a whole URL would ask what users see, not the
// preview, and are only counted, as are those that would log in to the API server.
func (p Preview) run(ctx context.Context, env runbook.Environment, w way, checks []tried, out io.Writer) (passed, elsewhere int, err error) {
	var failed []string
	why := ""
	for i, c := range env.Checks {
		if strings.Contains(c.Path, "://") || w.through && authorizes(c) {
			elsewhere++
			continue
		}
		if checks[i].passed {
			passed++
			continue
		}
		text, err := p.Checker.Check(ctx, env, c)
		if ctx.Err() != nil {
			return passed, elsewhere, ctx.Err()
		}
		if err != nil {
			text = err.Error()
			failed = append(failed, c.Name)
			why = or(why, text)
		} else {
			passed++
			checks[i].passed = true
		}
		if text != checks[i].said {
			checks[i].said = text
			fmt.Fprintf(out, "%s: %s\n", c.Name, state.Clean(text))
		}
	}
	if len(failed) > 0 {
		return passed, elsewhere, &state.Problem{What: fmt.Sprintf("%d of %d checks fail %s", len(failed), passed+len(failed), w.name), Code: "checks",
			Why: state.Clean(strings.Join(failed, ", ") + ": " + why), Do: "No user is on it yet: roll back, or mend what failed and go on."}
	}
	return passed, elsewhere, nil
}
