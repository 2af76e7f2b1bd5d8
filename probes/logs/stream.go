package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mayday/state"
)

const (
	// streamTime is how long one request follows a log: a connection that died
	// silently is found out by then at the latest.
	streamTime = 5 * time.Minute
	pauseMost  = 30 * time.Second // between two tries
)

// stream is the log of one container of one pod.
type stream struct {
	pod, container string
	tally          *tally
	seen           bool      // in the last look
	begun          time.Time // real, where it may have run before we came; what it logged before does not count

	mu      sync.Mutex
	running bool
	restart int32     // of the container, when it was opened last
	whole   bool      // the last request ended with the log, not with the connection
	last    time.Time // of the last line
	err     error     // of the last request
	failed  int       // requests in a row
	pause   time.Duration
	next    time.Time // of the next try
}

// follow opens the streams that are missing and says how many stand.
func (a *Pods) follow(ctx context.Context, w *watch, pods []corev1.Pod, streams *sync.WaitGroup) (open, want int, sick string) {
	for _, s := range w.streams {
		s.seen = false
	}
	for i := range pods {
		p := &pods[i]
		for _, c := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
			if w.container != "" && c.Name != w.container || c.State.Running == nil && c.State.Terminated == nil && c.RestartCount == 0 {
				continue
			}
			want++
			key := string(p.UID) + p.Name + "/" + c.Name
			s := w.streams[key]
			if s == nil {
				if len(w.streams) >= maxStreams {
					continue
				}
				s = &stream{pod: p.Name, container: c.Name, tally: w.tally, restart: -1, whole: true}
				if !w.known {
					s.begun = w.began
				}
				w.streams[key] = s
			}
			s.seen = true
			if err := a.open(ctx, s, c, streams); err != nil {
				sick = state.Clean(s.pod + ": " + err.Error())
			} else {
				open++
			}
		}
	}
	for key, s := range w.streams {
		if !s.seen {
			// The pod is gone; what its log still holds is read to the end.
			if !s.busy() {
				delete(w.streams, key)
			}
		}
	}
	return open, want, sick
}

func (s *stream) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// open starts a request where none runs and there can be something new. An error is
// why the last one failed.
func (a *Pods) open(ctx context.Context, s *stream, c corev1.ContainerStatus, streams *sync.WaitGroup) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	over := s.restart == c.RestartCount && s.whole && s.err == nil && c.State.Running == nil
	if s.running || over || time.Now().Before(s.next) {
		return s.sick()
	}
	// The end of what ran before, where its stream broke before it ended.
	before := s.restart >= 0 && s.restart != c.RestartCount && !s.whole
	s.running, s.restart = true, c.RestartCount
	sctx, cancel := context.WithTimeout(ctx, streamTime)
	streams.Go(func() {
		defer cancel()
		var err error
		if before {
			_ = a.read(sctx, s, map[string]string{"previous": "true"}) // it may be gone for good
		}
		err = a.read(sctx, s, map[string]string{"follow": "true"})
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running, s.whole = false, err == nil
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			err = nil // our own time is up: on with the next
		}
		if s.err = err; err == nil {
			s.pause, s.failed = 0, 0
		} else {
			s.failed++
			s.pause = min(max(2*s.pause, a.every), pauseMost)
		}
		s.next = time.Now().Add(s.pause)
	})
	return s.sick()
}

// sick is why the log cannot be followed. One connection that broke is no reason to
// worry anybody: the next goes on where it ended.
func (s *stream) sick() error {
	if s.failed < 2 {
		return nil
	}
	return s.err
}

// read makes one request and looks at its lines. nil means that the log ended.
func (a *Pods) read(ctx context.Context, s *stream, options map[string]string) error {
	req := a.client.Get().Namespace(a.namespace).Resource("pods").Name(s.pod).SubResource("log").
		Param("container", s.container).Param("timestamps", "true")
	for k, v := range options {
		req = req.Param(k, v)
	}
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	switch {
	case last.IsZero() && !s.begun.IsZero():
		// In seconds ago, by the node's clock: ours may differ.
		req = req.Param("sinceSeconds", strconv.Itoa(1+int(time.Since(s.begun).Seconds())))
	case !last.IsZero():
		req = req.Param("sinceTime", metav1.NewTime(last).UTC().Format(time.RFC3339))
	}
	body, err := req.Stream(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	s.mu.Lock()
	s.err, s.failed = nil, 0
	s.mu.Unlock()
	var cut lines
	buf := make([]byte, 32<<10)
	for {
		n, err := body.Read(buf)
		cut.write(buf[:n], func(line []byte) { s.line(line, last) })
		switch {
		case errors.Is(err, io.EOF):
			if len(cut.part) > 0 {
				s.line(cut.part, last)
			}
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		}
	}
}

// line takes one line with its time in front. Those up to after were seen before: the
// server can be asked for whole seconds only.
func (s *stream) line(line []byte, after time.Time) {
	stamp, text, ok := bytes.Cut(line, []byte(" "))
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if !ok || err != nil {
		s.tally.line(s.pod+"/"+s.container, line)
		return
	}
	if !at.After(after) {
		return
	}
	s.mu.Lock()
	if at.After(s.last) {
		s.last = at
	}
	s.mu.Unlock()
	s.tally.line(s.pod+"/"+s.container, text)
}

// explain says why the pods are not known.
func explain(namespace string, err error) error {
	p := &state.Problem{What: "the cluster cannot be asked for pods in " + strconv.Quote(namespace), Why: state.Clean(err.Error()),
		Do: "Check the cluster's address, the network and the VPN", Code: "cluster-unreachable"}
	switch {
	case strings.Contains(err.Error(), "text/html"), strings.Contains(err.Error(), "invalid character '<'"):
		p.What, p.Why = "asked the cluster for pods (http), got a web page (HTML)", "likely a login page or a proxy in between"
		p.Do = "Check the kubeconfig's server address"
	case apierrors.IsUnauthorized(err):
		p.Do, p.Code = "Log in again: the credentials may have expired", "cluster-denied"
	case apierrors.IsForbidden(err):
		p.Do, p.Code = fmt.Sprintf("Ask for list on pods and get on pods/log in %s", namespace), "cluster-denied"
	}
	return p
}
