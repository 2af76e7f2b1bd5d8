// Package local is a Prometheus without a server: it scrapes metrics pages into an
// in-memory TSDB and answers PromQL in process. A runbook asks for it with
// "prometheus: local".
//
// Times in the store are incident time: under a fast clock a query over [5m] sees
// five incident minutes. Timestamps that a page states itself are ignored for that
// reason.
//
// The language is that of Prometheus 3. A server of Prometheus 2 says the same but for
// this: its ranges hold the sample at their very beginning too, and its look-back one
// that is exactly so old; the dot of its regular expressions is no new line; and
// double_exponential_smoothing is called holt_winters there.
package local

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"

	"mayday/state"
)

// Bounds of a store.
const (
	maxTargets = 500       // of all files together
	maxBody    = 16 << 20  // of one page, unpacked
	maxSamples = 50_000    // of one page
	maxLines   = 150_000   // of one page: each sample may be the only one of its metric, with help and type
	maxSeries  = 300_000   // in the store
	maxQuery   = 5_000_000 // samples one query may load
)

// Options set a Local up.
type Options struct {
	// Targets are addresses of metrics pages ("http://app:8080/metrics"), or
	// "file:targets.json": a list in Prometheus' file_sd format, read again when it
	// changes.
	Targets []string
	// Dir is where relative file names start; default the working directory.
	Dir string
	// Interval between two scrapes of a target, incident time; default 5s.
	Interval state.Duration
	// Timeout of a scrape, real time; default the interval's real length, but at
	// least 1s and at most 5s.
	Timeout time.Duration
	// Retention is how much incident time is kept; default 2h.
	Retention state.Duration
	// Job is the job label of targets whose file says none; default "local".
	Job   string
	Clock state.Clock
	Now   func() time.Time // real time; default time.Now
	// Client does the requests; default one of its own, without limits beyond the
	// bounds above.
	Client *http.Client
}

// Local scrapes and answers. Run does the scraping; Ask and Query may be called
// from any goroutine, before, during and after it.
//
// Memory is linear: a series that is scraped every 5 s and kept for 2 h holds 9 to 11 kB
// (measured by BenchmarkKept), and a page while it is read a few times its length.
type Local struct {
	opt    Options
	every  time.Duration // real
	head   *tsdb.Head
	parser parser.Parser
	engine *promql.Engine
	static []*target
	files  []*targetFile
	newest atomic.Int64 // incident time of the newest scrape, ms
	warm   atomic.Bool  // the first targets have been scraped often enough for a rate

	// write lets one scrape store at a time: series whose numbers come in out of order
	// make the store sort its index under the eyes of queries.
	write sync.Mutex

	mu      sync.Mutex
	running map[string]*target
}

// New makes a Local; nothing is scraped before Run. No targets, or targets that
// cannot be any, are a *state.Problem. It needs no closing: what it holds is in
// memory.
func New(opt Options) (*Local, error) {
	defaults(&opt)
	l := &Local{opt: opt, every: max(opt.Clock.Real(opt.Interval.D()), 20*time.Millisecond), running: map[string]*target{}}
	if l.opt.Timeout <= 0 {
		l.opt.Timeout = min(max(l.every, time.Second), 5*time.Second)
	}
	if err := l.parseTargets(opt.Targets); err != nil {
		return nil, err
	}
	var err error
	if l.head, err = newHead(opt.Retention.D()); err != nil {
		return nil, err
	}
	l.parser = parser.NewParser(parser.Options{EnableExperimentalFunctions: true})
	l.engine = promql.NewEngine(promql.EngineOpts{
		MaxSamples: maxQuery, Timeout: 30 * time.Second,
		EnableAtModifier: true, EnableNegativeOffset: true, Parser: l.parser,
	})
	return l, nil
}

func defaults(opt *Options) {
	if opt.Interval <= 0 {
		opt.Interval = state.Duration(5 * time.Second)
	}
	if opt.Retention <= 0 {
		opt.Retention = state.Duration(2 * time.Hour)
	}
	if opt.Job == "" {
		opt.Job = "local"
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Client == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConns, t.MaxIdleConnsPerHost = maxTargets, 2
		t.IdleConnTimeout = time.Minute
		opt.Client = &http.Client{Transport: t}
	}
}

// newHead makes an in-memory store. The library wants a folder for chunks it would
// move to disk, which only its DB does and we never let happen: the folder is gone
// before New returns, so that a killed process leaves nothing behind, and the head
// needs no Close.
func newHead(retention time.Duration) (*tsdb.Head, error) {
	dir, err := os.MkdirTemp("", "mayday-metrics-")
	if err != nil {
		return nil, fmt.Errorf("metrics in memory: %w", err)
	}
	defer os.RemoveAll(dir)
	opts := tsdb.DefaultHeadOptions()
	opts.ChunkDirRoot = dir
	opts.ChunkRange = max(retention.Milliseconds(), time.Minute.Milliseconds())
	opts.StripeSize = 1 << 10
	head, err := tsdb.NewHead(nil, nil, nil, nil, opts, nil)
	if err == nil {
		err = head.Init(math.MinInt64)
	}
	if err != nil {
		return nil, fmt.Errorf("metrics in memory: %w", err)
	}
	return head, nil
}

// Run scrapes every target at the interval, each in a goroutine of its own, until
// ctx ends; it returns nil after all of them ended. Call it once.
func (l *Local) Run(ctx context.Context) error {
	var scrapes sync.WaitGroup
	stops := map[string]context.CancelFunc{}
	defer l.opt.Client.CloseIdleConnections()
	defer scrapes.Wait()
	tick := time.NewTicker(l.every)
	defer tick.Stop()
	for {
		want := l.wanted()
		for key, stop := range stops {
			if want[key] == nil {
				stop()
				delete(stops, key)
			}
		}
		for key, t := range want {
			if stops[key] != nil {
				continue
			}
			tctx, stop := context.WithCancel(ctx)
			stops[key] = stop
			scrapes.Go(func() { l.follow(tctx, ctx, t) })
		}
		l.mu.Lock()
		l.running = want
		l.mu.Unlock()
		if err := l.truncate(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			for _, stop := range stops {
				stop()
			}
			return nil
		case <-tick.C:
		}
	}
}

// wanted gives the targets as they should be scraped now: those that run already
// stay the same objects.
func (l *Local) wanted() map[string]*target {
	l.mu.Lock()
	have := maps.Clone(l.running)
	l.mu.Unlock()
	want := map[string]*target{}
	add := func(all []*target) {
		for _, t := range all {
			if len(want) == maxTargets {
				return
			}
			if old := have[t.name]; old != nil {
				t = old
			}
			want[t.name] = t
		}
	}
	add(l.static)
	for _, f := range l.files {
		add(f.read(l.opt.Job))
	}
	return want
}

// follow scrapes one target until ctx ends. If only the target went away (run is
// still alive), its series end in the store too.
func (l *Local) follow(ctx, run context.Context, t *target) {
	hash := fnv.New64a()
	hash.Write([]byte(t.name))
	first := time.NewTimer(time.Duration(hash.Sum64() % uint64(min(l.every, 100*time.Millisecond))))
	defer first.Stop()
	select {
	case <-ctx.Done():
		return
	case <-first.C:
	}
	tick := time.NewTicker(l.every)
	defer tick.Stop()
	for {
		l.scrape(ctx, t)
		select {
		case <-ctx.Done():
			if run.Err() == nil {
				l.end(t)
			}
			return
		case <-tick.C:
		}
	}
}

// truncate drops what is older than the retention, an eighth of it at a time.
func (l *Local) truncate() error {
	newest := l.newest.Load()
	keep := l.opt.Retention.D().Milliseconds()
	if newest == 0 || newest-l.head.MinTime() < keep+keep/8 {
		return nil
	}
	if err := l.head.Truncate(newest - keep); err != nil {
		return fmt.Errorf("metrics in memory: %w", err)
	}
	return nil
}

func (l *Local) incident() time.Time { return l.opt.Clock.At(l.opt.Now()) }

// warming reports whether this store has only just begun: some target that answers
// has been scraped once or not at all, so that no rate of it can be known. Targets
// that come later change nothing.
func (l *Local) warming() bool {
	if l.warm.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running == nil {
		return true
	}
	for _, t := range l.running {
		if t.fresh() {
			return true
		}
	}
	l.warm.Store(true)
	return false
}

// trouble says in words which targets do not answer, "" where all do.
func (l *Local) trouble() string {
	for _, f := range l.files {
		if err := f.trouble(); err != nil {
			return err.Error()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var down []string
	for _, t := range l.running {
		if err := t.last(); err != nil {
			down = append(down, t.url+": "+err.Error())
		}
	}
	switch {
	case len(l.running) == 0:
		return "there is nothing to scrape yet"
	case len(down) > 0:
		return fmt.Sprintf("%d of %d targets cannot be scraped, such as %s", len(down), len(l.running), slices.Min(down))
	}
	return ""
}
