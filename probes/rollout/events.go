package rollout

import (
	"context"
	"fmt"
	"regexp"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"mayday/probes"
	"mayday/state"
)

// KindEvents is the kind of probes about Kubernetes' events: p.Query is a regular
// expression for what they are about, as Kind/name.
const KindEvents = "events"

// warnings selects them on the server.
const warnings = "type=Warning"

// warning is as much of an event as is counted and told.
type warning struct {
	Metadata struct {
		UID     types.UID   `json:"uid"`
		Created metav1.Time `json:"creationTimestamp"`
	} `json:"metadata"`
	About struct {
		Kind string `json:"kind"`
		Name string `json:"name"`
	} `json:"involvedObject"`
	Reason  string           `json:"reason"`
	Message string           `json:"message"`
	Count   int32            `json:"count"`
	Last    metav1.Time      `json:"lastTimestamp"`
	At      metav1.MicroTime `json:"eventTime"`
	Series  *struct {
		Count int32            `json:"count"`
		Last  metav1.MicroTime `json:"lastObservedTime"`
	} `json:"series"`
}

// times is how often it happened: events of one kind are counted in one object.
func (w *warning) times() int32 {
	n := max(w.Count, 1)
	if w.Series != nil {
		n = max(n, w.Series.Count)
	}
	return n
}

func (w *warning) newest() time.Time {
	at := w.Metadata.Created.Time
	for _, t := range []time.Time{w.Last.Time, w.At.Time} {
		if t.After(at) {
			at = t
		}
	}
	if w.Series != nil && w.Series.Last.After(at) {
		at = w.Series.Last.Time
	}
	return at
}

// Events counts the warnings of a namespace. Make one with NewEvents; safe for
// concurrent use.
type Events struct {
	host   string
	read   dynamic.ResourceInterface
	mirror *mirror[warning]

	mu   sync.Mutex
	seen map[string]*seenEvents // by probe
}

type seenEvents struct {
	about *regexp.Regexp
	begun bool
	times map[types.UID]int32
}

var _ probes.Asker = (*Events)(nil)

// NewEvents makes an asker for one namespace. It does not connect.
func NewEvents(cfg *rest.Config, namespace string) (*Events, error) {
	in, err := within(cfg, namespace)
	if err != nil {
		return nil, err
	}
	a := &Events{host: cfg.Host, read: in("", "events"), seen: map[string]*seenEvents{}}
	a.mirror = newMirror[warning](a.read)
	a.mirror.field = warnings
	return a, nil
}

// Run keeps a watch of the namespace's warnings until ctx ends, and then returns nil.
// Until it is called, and while the watch is down or says nothing for ten seconds, Ask
// reads from the server instead.
// Call it once.
func (a *Events) Run(ctx context.Context) error {
	a.mirror.run(ctx)
	return nil
}

// Ask counts the warnings since the last question, of what p.Query matches as Kind/name
// ("Pod/shop-7d9"); the text is that of the newest. What happened before the first
// question does not count. No warnings are 0: that is what Kubernetes says when all is
// well.
func (a *Events) Ask(ctx context.Context, p state.Probe, _ time.Time) (probes.Reading, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	all, err := a.all(ctx)
	if err != nil {
		return probes.Reading{}, unread(ctx, a.host, "its events", "events", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.seen[p.Name]
	if s == nil || s.about.String() != p.Query {
		about, err := regexp.Compile(p.Query)
		if err != nil {
			return probes.Reading{}, &state.Problem{What: fmt.Sprintf("%q is no regular expression", p.Query), Why: state.Clean(err.Error()),
				Do: "Correct events in the runbook", Code: "events-match"}
		}
		s = &seenEvents{about: about}
		a.seen[p.Name] = s
	}
	n, newest := s.look(all)
	if n == 0 {
		return probes.Reading{}, nil
	}
	return probes.Reading{Value: float64(n), Text: fmt.Sprintf("%s/%s %s", newest.About.Kind, newest.About.Name, reason(newest.Reason, newest.Message))}, nil
}

func (a *Events) all(ctx context.Context) ([]*warning, error) {
	every := func(*warning) bool { return true }
	if all, live := a.mirror.where(every); live {
		return all, nil
	}
	l, err := a.read.List(ctx, metav1.ListOptions{FieldSelector: warnings})
	if err != nil {
		return nil, err
	}
	a.mirror.confirm(l.Items, every)
	var out []*warning
	for i := range l.Items {
		w, err := typed[warning](&l.Items[i])
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

// look counts what is new.
func (s *seenEvents) look(all []*warning) (n int, newest *warning) {
	times := map[types.UID]int32{}
	for _, w := range all {
		if !s.about.MatchString(w.About.Kind + "/" + w.About.Name) {
			continue
		}
		times[w.Metadata.UID] = w.times()
		more := w.times() - s.times[w.Metadata.UID]
		if !s.begun || more <= 0 {
			continue
		}
		n += int(more)
		if newest == nil || w.newest().After(newest.newest()) {
			newest = w
		}
	}
	s.times, s.begun = times, true
	return n, newest
}
