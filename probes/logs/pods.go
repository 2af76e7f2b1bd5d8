package logs

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"mayday/probes"
	"mayday/state"
)

const (
	lookEvery  = 2 * time.Second  // between two looks at which pods there are
	readTime   = 5 * time.Second  // of one such look
	maxStreams = 200              // containers that one probe follows at once
	forgetTime = 10 * time.Minute // after which a question that nobody asks any more is dropped
)

// Pods follows the logs of pods. Make one with NewPods and Run it; safe for concurrent
// use.
type Pods struct {
	client    rest.Interface
	namespace string
	redact    func(string) string
	every     time.Duration

	mu      sync.Mutex
	watches map[string]*watch // by probe
	wake    chan struct{}
}

var _ probes.Asker = (*Pods)(nil)

// NewPods makes an asker for one namespace. It does not connect. redact takes the
// secrets out of a line before anybody sees it; nil: there are none.
func NewPods(cfg *rest.Config, namespace string, redact func(string) string) (*Pods, error) {
	own := rest.CopyConfig(cfg)
	own.QPS, own.Burst = 50, 2*maxStreams
	own.Timeout = 0 // would cut the streams; every look has its own
	own.APIPath, own.GroupVersion = "/api", &schema.GroupVersion{Version: "v1"}
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, *own.GroupVersion) // what errors are told in
	own.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(own)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return &Pods{client: client, namespace: namespace, redact: redact, every: lookEvery, watches: map[string]*watch{}, wake: make(chan struct{}, 1)}, nil
}

// watch is one probe's pods. The streams belong to the goroutine that attends to it.
type watch struct {
	selector, container string
	tally               *tally
	streams             map[string]*stream // by pod, container
	began               time.Time          // real, of the first question; what was logged before does not count
	known               bool               // which pods there are, at least once: one seen next is new

	looked bool          // at least once, perhaps in vain
	ready  chan struct{} // closed after the first look

	end context.CancelFunc // of that goroutine; nil: there is none yet. Guarded by Pods.mu

	mu    sync.Mutex
	asked time.Time
	err   error // of the last look
	pods  int
	open  int // containers followed
	want  int // containers that have logs
	sick  string
}

// Run looks for pods and follows them until ctx ends, and returns nil after every
// stream has ended. Call it once.
func (a *Pods) Run(ctx context.Context) error {
	var watches sync.WaitGroup
	defer watches.Wait()
	tick := time.NewTicker(a.every)
	defer tick.Stop()
	for {
		a.tend(ctx, &watches)
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
		case <-tick.C:
		}
	}
}

// tend gives each watch a goroutine of its own, so that pods which take long to list
// keep nobody else's waiting, and drops those that nobody asks about any more.
func (a *Pods) tend(ctx context.Context, watches *sync.WaitGroup) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, w := range a.watches {
		w.mu.Lock()
		old := time.Since(w.asked) > forgetTime
		w.mu.Unlock()
		switch {
		case old:
			if w.end != nil {
				w.end()
			}
			delete(a.watches, name)
		case w.end == nil:
			wctx, end := context.WithCancel(ctx)
			w.end = end
			watches.Go(func() {
				defer end()
				a.attend(wctx, w)
			})
		}
	}
}

// attend looks again and again until ctx ends, and then waits for the streams.
func (a *Pods) attend(ctx context.Context, w *watch) {
	var streams sync.WaitGroup
	defer streams.Wait()
	tick := time.NewTicker(a.every)
	defer tick.Stop()
	for {
		a.look(ctx, w, &streams)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watch gives the probe's, a new one where the probe changed.
func (a *Pods) watch(p state.Probe) (*watch, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.watches[p.Name]
	if w == nil || w.selector != p.Query || w.container != p.Container || w.tally.pattern.String() != p.Pattern {
		if _, err := labels.Parse(p.Query); err != nil {
			return nil, &state.Problem{What: fmt.Sprintf("%q is not a label selector", p.Query), Why: state.Clean(err.Error()),
				Do: "Correct log.pods in the runbook", Code: "log-selector"}
		}
		tally, err := newTally(p.Pattern, a.redact)
		if err != nil {
			return nil, err
		}
		old := w
		w = &watch{selector: p.Query, container: p.Container, tally: tally, streams: map[string]*stream{}, began: time.Now(), ready: make(chan struct{})}
		a.watches[p.Name] = w
		if old != nil {
			// Run drops what is too old.
			old.mu.Lock()
			old.asked = time.Time{}
			old.mu.Unlock()
			a.watches[fmt.Sprintf("%s\x00%p", p.Name, old)] = old
		}
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
	w.mu.Lock()
	w.asked = time.Now()
	w.mu.Unlock()
	return w, nil
}

// Ask tells what the pods of the selector in p.Query logged since the last question;
// the text names pod and container. The first question waits until the pods are known.
// No pods are no data. While the cluster does not say which pods there are, or none of
// them can be followed, that is an error; while some cannot, the verdict is at least
// warn.
func (a *Pods) Ask(ctx context.Context, p state.Probe, _ time.Time) (probes.Reading, error) {
	w, err := a.watch(p)
	if err != nil {
		return probes.Reading{}, err
	}
	select {
	case <-w.ready:
	case <-ctx.Done():
		return probes.Reading{}, fmt.Errorf("pods of %s: the cluster does not answer: %w", p.Query, ctx.Err())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil:
		return probes.Reading{}, explain(a.namespace, w.err)
	case w.open == 0 && w.sick != "":
		return probes.Reading{}, &state.Problem{What: "no log of " + p.Query + " can be read", Why: w.sick,
			Do: "Ask for get on pods/log, or check the nodes", Code: "log-unread"}
	}
	n, lines, last := w.tally.take()
	if n == 0 && w.pods == 0 {
		return probes.Reading{NoData: true, Text: "no pod matches " + p.Query}, nil
	}
	r := probes.Reading{Value: float64(n), Text: last, Lines: lines}
	if w.open < w.want {
		r.Verdict = state.Warn
		r.Text = fmt.Sprintf("%d of %d logs are followed", w.open, w.want)
		if w.sick != "" {
			r.Text += " (" + w.sick + ")"
		}
		if last != "" {
			r.Text += "; " + last
		}
	}
	return r, nil
}

// look lists the pods and sees to it that each container's log is followed.
func (a *Pods) look(ctx context.Context, w *watch, streams *sync.WaitGroup) {
	pods, err := a.list(ctx, w.selector)
	if ctx.Err() != nil {
		return
	}
	open, want, sick := 0, 0, ""
	if err == nil {
		open, want, sick = a.follow(ctx, w, pods, streams)
		w.known = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err = err; err == nil {
		w.pods, w.open, w.want, w.sick = len(pods), open, want, sick
	}
	if !w.looked {
		w.looked = true
		close(w.ready)
	}
}

func (a *Pods) list(ctx context.Context, selector string) ([]corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	b, err := a.client.Get().Namespace(a.namespace).Resource("pods").Param("labelSelector", selector).Do(ctx).Raw()
	if err != nil {
		return nil, err
	}
	var list corev1.PodList
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("the list of pods cannot be read: %w", err)
	}
	if list.Kind != "" && list.Kind != "PodList" {
		return nil, fmt.Errorf("a %s came where pods were asked for", list.Kind)
	}
	return list.Items, nil
}
