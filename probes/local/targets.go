package local

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"mayday/state"
)

// parseTargets reads the runbook's list.
func (l *Local) parseTargets(list []string) error {
	for _, s := range list {
		if file, ok := strings.CutPrefix(s, "file:"); ok {
			if !filepath.IsAbs(file) {
				file = filepath.Join(l.opt.Dir, file)
			}
			l.files = append(l.files, &targetFile{path: file})
			continue
		}
		t, err := newTarget(s, map[string]string{}, l.opt.Job)
		if err != nil {
			return &state.Problem{
				What: "prometheus.targets holds what cannot be scraped", Why: err.Error(),
				Do: "Write http://host:port/metrics or file:targets.json", Code: "local-target",
			}
		}
		l.static = append(l.static, t)
	}
	if len(list) == 0 {
		return &state.Problem{
			What: "prometheus is local, but there is nothing to scrape",
			Do:   "List metrics addresses under prometheus.targets", Code: "local-target",
		}
	}
	return nil
}

// newTarget makes a target of a URL or host:port with labels. Labels that begin
// with two underscores steer the address, as Prometheus has them.
func newTarget(addr string, ls map[string]string, job string) (*target, error) {
	if !strings.Contains(addr, "://") {
		scheme, path := ls["__scheme__"], ls["__metrics_path__"]
		if scheme == "" {
			scheme = "http"
		}
		if path == "" {
			path = "/metrics"
		}
		addr = scheme + "://" + addr + path
	}
	u, err := url.Parse(addr)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not a web address", state.Clean(addr))
	}
	b := labels.NewBuilder(labels.EmptyLabels())
	b.Set("job", job).Set("instance", u.Host)
	for k, v := range ls {
		if !strings.HasPrefix(k, "__") {
			b.Set(k, v)
		}
	}
	t := &target{url: u.Redacted(), request: addr, labels: b.Labels()}
	t.name = addr + t.labels.String()
	return t, nil
}

// targetFile is a list of targets in Prometheus' file_sd format: a JSON array of
// {"targets": ["host:port"], "labels": {"job": "app"}}. Unlike there, a target may
// be a whole URL. While the file cannot be read, the last list that could stays.
type targetFile struct {
	path string
	size int64
	time time.Time
	all  []*target

	mu  sync.Mutex
	err error
}

// read gives the targets, reading the file only if it changed. Only Run calls it.
func (f *targetFile) read(job string) []*target {
	info, err := os.Stat(f.path)
	if err == nil && (info.Size() != f.size || !info.ModTime().Equal(f.time)) {
		var all []*target
		if all, err = parseFile(f.path, job); err == nil {
			f.all, f.size, f.time = all, info.Size(), info.ModTime()
		}
	} else if err == nil {
		return f.all
	}
	f.mu.Lock()
	f.err = err
	f.mu.Unlock()
	return f.all
}

func (f *targetFile) trouble() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// maxFile bounds a list of targets, in bytes.
const maxFile = 1 << 20

func parseFile(path, job string) ([]*target, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var groups []struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	if err := json.Unmarshal(b, &groups); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var all []*target
	for _, g := range groups {
		for _, addr := range g.Targets {
			t, err := newTarget(addr, g.Labels, job)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			all = append(all, t)
		}
	}
	return all, nil
}
