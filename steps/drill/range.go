package drill

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"mayday/state"
	"mayday/steps/drill/app"
	"mayday/steps/drill/cluster"
	"mayday/steps/drill/gitrepo"
	"mayday/steps/drill/load"
	"mayday/steps/drill/router"
	"mayday/steps/drill/sink"
)

// startTime is the most that the range may take until it is live (real time).
const startTime = 30 * time.Second

// Options of a range.
type Options struct {
	// Dir is where the range lives. Empty: a temporary folder, removed by Close. A
	// folder that is given is made if need be, must be empty, and stays.
	Dir      string
	Scenario Scenario
	Clock    state.Clock // the incident clock; written into mayday.yaml
	Keep     bool        // Close leaves a temporary folder too
}

// Range is a running practice range. The fields do not change after Start; the
// methods are safe for concurrent use.
type Range struct {
	Scenario       Scenario
	Dir            string
	Clone          string // working copy, with mayday.yaml
	Remote         string // bare repository
	Kubeconfig     string // file
	AppURL         string // production, behind the router
	StagingURL     string
	MetricsTargets string // file_sd JSON of every pod's /metrics, kept up to date
	SinkURL        string

	clock   state.Clock
	remove  bool
	cluster *cluster.Cluster
	sink    *sink.Sink
	node    *app.Node
	routers [2]*router.Router // production, staging
	load    *load.Generator
	client  *http.Client
	close   sync.Once
	err     error // of Close
}

// Start makes a range and returns when it is live: every pod is ready and
// production answers through the router. That takes about half a second. The
// caller must Close it; the end of ctx stops its servers, too, but leaves the
// folder. Errors are *state.Problem where a person can do something about them.
func Start(ctx context.Context, opts Options) (*Range, error) {
	r := &Range{Scenario: opts.Scenario, clock: opts.Clock, remove: opts.Dir == "" && !opts.Keep,
		client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	if err := r.folder(opts.Dir); err != nil {
		return nil, err
	}
	if err := r.start(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// folder makes Dir and names what is in it.
func (r *Range) folder(dir string) error {
	var err error
	if dir == "" {
		dir, err = os.MkdirTemp("", "mayday-drill-")
	} else {
		dir, err = empty(dir)
	}
	if err != nil {
		return err
	}
	r.Dir = dir
	r.Clone, r.Remote = r.path("shop"), r.path("remote.git")
	r.Kubeconfig, r.MetricsTargets = r.path("kubeconfig"), r.path("targets.json")
	return nil
}

// empty makes the folder that the caller named, and refuses one that holds anything.
func empty(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", &state.Problem{What: "the practice range cannot use " + dir, Why: err.Error(), Do: "Name a folder that can be made."}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	if len(entries) > 0 {
		return "", &state.Problem{Code: "usage", What: "the practice range cannot use " + dir, Why: "the folder is not empty",
			Do: "Name a new folder, or remove that one if it is an old range."}
	}
	return dir, nil
}

func (r *Range) path(name string) string { return filepath.Join(r.Dir, name) }

// start brings everything up, in parallel where it can.
func (r *Range) start(parent context.Context) error {
	ctx, cancel := context.WithTimeout(parent, startTime)
	defer cancel()
	// Before anything serves: the first list of targets is empty, and would replace a real one.
	if err := r.files(); err != nil {
		return err
	}
	who := operator()
	// What lives longer than the start must not die with its time-out: it gets parent.
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return gitrepo.Make(ctx, gitrepo.Options{Remote: r.Remote, Clone: r.Clone, User: who,
			Exclude: []string{"/mayday.yaml"}})
	})
	group.Go(func() (err error) {
		if r.sink, err = sink.Start(parent); err == nil {
			r.SinkURL = r.sink.URL
		}
		return err
	})
	group.Go(func() error { return r.serve(parent, ctx) })
	if err := group.Wait(); err != nil {
		return err
	}
	text, err := r.runbook(who)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.Clone, "mayday.yaml"), text, 0o600); err != nil {
		return err
	}
	return r.signposts()
}

// serve starts the cluster and its data plane, and waits until production answers.
func (r *Range) serve(parent, ctx context.Context) error {
	var err error
	clock := &past{}
	if r.cluster, err = cluster.Start(parent, cluster.Options{Now: clock.now}); err != nil {
		return err
	}
	if err := os.WriteFile(r.Kubeconfig, r.cluster.Kubeconfig(), 0o600); err != nil {
		return err
	}
	config := r.cluster.Config()
	if err := remember(ctx, config, clock); err != nil {
		return err
	}
	if err := Seed(ctx, config); err != nil {
		return err
	}
	r.node, err = app.Start(parent, app.Options{Config: config, Namespaces: []string{"shop", "staging"}, Customers: "shop",
		Versions: r.Scenario.Versions, Clock: r.clock, Changed: func(s []app.Serving) { writeTargets(r.MetricsTargets, s) }})
	if err != nil {
		return err
	}
	for i, o := range []router.Options{{Namespace: "shop", Route: "VirtualService/app"}, {Namespace: "staging", Route: "Service/app"}} {
		o.Config = config
		if r.routers[i], err = router.Start(parent, o); err != nil {
			return err
		}
	}
	r.AppURL, r.StagingURL = r.routers[0].URL, r.routers[1].URL
	if err := r.routers[0].Wait(ctx, serves("app-stable", Replicas)); err != nil {
		return notLive(err, "production", r.routers[0].Backends())
	}
	if err := r.routers[1].Wait(ctx, serves("app", stagingReplicas)); err != nil {
		return notLive(err, "staging", r.routers[1].Backends())
	}
	r.load = load.Start(parent, load.Options{URL: r.AppURL})
	return nil
}

func serves(service string, pods int) func(map[string]int) bool {
	return func(backends map[string]int) bool { return backends[service] >= pods }
}

func notLive(err error, where string, backends map[string]int) error {
	return fmt.Errorf("%s of the practice range does not come up (%v ready): %w", where, backends, err)
}

// Messages gives what was sent to the sink, oldest first.
func (r *Range) Messages() []sink.Message { return r.sink.Messages() }

// Answers sends n requests to production, through the router and eight at a time,
// and counts the answers by version; an answer that names none counts under "".
func (r *Range) Answers(ctx context.Context, n int) (map[string]int, error) {
	var mu sync.Mutex
	counts := map[string]int{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for range n {
		group.Go(func() error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.AppURL+"/health", nil)
			if err != nil {
				return err
			}
			resp, err := r.client.Do(req)
			if err != nil {
				return err
			}
			_ = resp.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			counts[resp.Header.Get("X-Version")]++
			return nil
		})
	}
	return counts, group.Wait()
}

// Close stops everything, waits for it, and removes the folder if it was a
// temporary one. It may be called twice.
func (r *Range) Close() error {
	r.close.Do(func() {
		r.client.CloseIdleConnections()
		if r.load != nil {
			r.load.Close()
		}
		for _, router := range r.routers {
			if router != nil {
				router.Close()
			}
		}
		if r.node != nil {
			r.node.Close()
		}
		if r.cluster != nil {
			r.cluster.Close()
		}
		if r.sink != nil {
			r.sink.Close()
		}
		if r.remove {
			r.err = os.RemoveAll(r.Dir)
		}
	})
	return r.err
}
