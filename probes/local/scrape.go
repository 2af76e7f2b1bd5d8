package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// accept asks for the text format.
const accept = "text/plain;version=0.0.4;q=1,*/*;q=0.1"

// target is one metrics page. All but err belongs to the goroutine that follows it.
type target struct {
	name    string // unique: address and labels
	url     string // without its password
	request string
	labels  labels.Labels // job, instance and what a file says

	body   bytes.Buffer
	round  uint64
	series map[string]*series // by their labels' bytes
	key    []byte             // scratch
	labelb labels.ScratchBuilder
	up     storage.SeriesRef

	answered atomic.Int64 // incident time of the last page that could be read, ms

	mu      sync.Mutex
	err     error // of the last scrape
	scrapes int
}

// series is one sample's series as the store knows it.
type series struct {
	ref    storage.SeriesRef
	labels labels.Labels
	round  uint64 // of the scrape that saw it last
}

func (t *target) last() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// fresh reports whether it answers and has not been scraped twice yet.
func (t *target) fresh() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err == nil && t.scrapes < 2
}

// scrape reads the page once and appends what it says, or that it did not answer.
// Nothing is appended when ctx ended.
func (l *Local) scrape(ctx context.Context, t *target) {
	at := l.incident().UnixMilli()
	err := l.fetch(ctx, t)
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		err = l.append(ctx, t, at)
	}
	if err != nil {
		l.down(ctx, t, at)
	} else {
		t.answered.Store(at)
	}
	t.mu.Lock()
	t.err = err
	t.scrapes++
	t.mu.Unlock()
	for old := l.newest.Load(); at > old && !l.newest.CompareAndSwap(old, at); old = l.newest.Load() {
	}
}

// fetch reads the page into t.body.
func (l *Local) fetch(ctx context.Context, t *target) error {
	ctx, cancel := context.WithTimeout(ctx, l.opt.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.request, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", "mayday")
	resp, err := l.opt.Client.Do(req)
	var page []byte
	if err == nil {
		defer resp.Body.Close()
		t.body.Reset()
		_, err = t.body.ReadFrom(io.LimitReader(resp.Body, maxBody+1))
		page = t.body.Bytes()
	}
	var ue *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no whole answer within %v", l.opt.Timeout)
	case errors.As(err, &ue):
		return ue.Err
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("answered status %d", resp.StatusCode)
	case len(page) > maxBody:
		t.body = bytes.Buffer{}
		return fmt.Errorf("answered more than %d MiB", maxBody>>20)
	case bytes.HasPrefix(bytes.TrimSpace(page[:min(len(page), 64)]), []byte("<")):
		return errors.New("answered a web page (HTML): is this the metrics address?")
	}
	return nil
}

// append stores one page: all of it or, on an error, nothing. It is read before the
// store is taken, so that a long one keeps no other target waiting.
func (l *Local) append(ctx context.Context, t *target, at int64) error {
	families, err := t.parse()
	if err != nil {
		return err
	}
	l.write.Lock()
	defer l.write.Unlock()
	app := l.head.Appender(ctx)
	if err := l.fill(app, t, families, at); err != nil {
		return errors.Join(err, app.Rollback())
	}
	return app.Commit()
}

func (l *Local) fill(app storage.Appender, t *target, families map[string]*dto.MetricFamily, at int64) error {
	if t.series == nil {
		t.series = map[string]*series{}
	}
	t.round++
	n := 0
	err := expand(families, func(name string, m *dto.Metric, extra, val string, v float64) error {
		if n++; n > maxSamples {
			return fmt.Errorf("the page holds more than %d samples", maxSamples)
		}
		ls := t.label(name, m.Label, extra, val)
		t.key = ls.Bytes(t.key)
		s := t.series[string(t.key)]
		if s == nil {
			if l.head.NumSeries() >= maxSeries {
				return fmt.Errorf("the store holds %d series, which is the most", maxSeries)
			}
			s = &series{labels: ls.Copy()}
			t.series[string(t.key)] = s
		}
		s.round = t.round
		return put(app, s, at, v)
	})
	if err != nil {
		return err
	}
	for name, s := range t.series {
		if s.round != t.round {
			delete(t.series, name)
			if err := put(app, s, at, staleMark()); err != nil {
				return err
			}
		}
	}
	return t.alive(app, at, 1)
}

// put appends one value. One that is not newer than what the store has is skipped:
// two lines of a page may name one series, and a clock may step back.
func put(app storage.Appender, s *series, at int64, v float64) error {
	ref, err := app.Append(s.ref, s.labels, at, v)
	switch {
	case err == nil:
		s.ref = ref
		return nil
	case errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrDuplicateSampleForTimestamp),
		errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrTooOldSample):
		return nil
	}
	return err
}

// alive appends the "up" of the target.
func (t *target) alive(app storage.Appender, at int64, v float64) error {
	b := labels.NewBuilder(t.labels)
	b.Set(model.MetricNameLabel, "up")
	s := &series{ref: t.up, labels: b.Labels()}
	err := put(app, s, at, v)
	t.up = s.ref
	return err
}

// down ends all series of a target that did not answer and says up 0.
func (l *Local) down(ctx context.Context, t *target, at int64) {
	l.finish(ctx, t, at, 0)
}

// end ends all series of a target that went away, up included.
func (l *Local) end(t *target) {
	l.finish(context.Background(), t, l.incident().UnixMilli(), staleMark())
}

func (l *Local) finish(ctx context.Context, t *target, at int64, up float64) {
	l.write.Lock()
	defer l.write.Unlock()
	app := l.head.Appender(ctx)
	var err error
	for _, s := range t.series {
		err = errors.Join(err, put(app, s, at, staleMark()))
	}
	t.series = nil
	if err = errors.Join(err, t.alive(app, at, up)); err != nil {
		_ = app.Rollback() // nothing to be done: the series go stale by their age
		return
	}
	_ = app.Commit() // in memory: fails only where Append did
}

// staleMark is the value that ends a series.
func staleMark() float64 { return math.Float64frombits(value.StaleNaN) }
