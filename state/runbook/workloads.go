package runbook

import (
	"fmt"
	"slices"
	"strings"
)

// ConfigObject is a ConfigMap or Secret that belongs to a rollout: its data is copied
// inside the cluster before the first change and put back by a rollback. Those that a
// workload's pod template names are taken care of without being listed.
type ConfigObject struct {
	Name string `yaml:"name"` // "ConfigMap/app" or "Secret/app-keys"
	// File is a manifest of the object with the data of the new version: the rollout
	// makes the object's data, all of it, what the file has as data, binaryData or
	// stringData; nothing else of it is taken. Empty: the object is guarded, not changed.
	File string `yaml:"file"`
}

// Workload is a further workload of a service, such as its worker, that gets the new
// version in the same rollout, by the environment's strategy.
type Workload struct {
	Name      string         `yaml:"name"`
	Image     string         `yaml:"image"`     // default: the image it runs, with the new version as its tag
	Container string         `yaml:"container"` // default: the pod's first
	Canary    *Canary        `yaml:"canary"`
	BlueGreen *BlueGreen     `yaml:"blue_green"`
	Rolling   *Rolling       `yaml:"rolling"`
	Immediate *Immediate     `yaml:"immediate"`
	URL       string         `yaml:"url"`    // where it answers; empty: its traffic is not observed
	Config    []ConfigObject `yaml:"config"` // beside the environment's own
}

// Workload gives the environment as one of its further workloads sees it: the same
// place, with the workload's own image, strategy and URL. Its name is
// "production/worker". The environment's checks are not the workload's; its config is.
func (e Environment) Workload(w Workload) Environment {
	e.Name += "/" + w.Name
	e.Image, e.Container, e.URL = w.Image, w.Container, w.URL
	e.Canary, e.BlueGreen, e.Rolling, e.Immediate, e.Script = w.Canary, w.BlueGreen, w.Rolling, w.Immediate, nil
	e.Config = slices.Concat(e.Config, w.Config)
	e.Checks, e.Fixed, e.Workloads = nil, nil, nil
	return e
}

func (r *Runbook) workloads(e *Environment) {
	r.configFiles(e.Config)
	for i := range e.Workloads {
		w := &e.Workloads[i]
		w.Canary.finish()
		r.configFiles(w.Config)
	}
}

func (r *Runbook) configFiles(list []ConfigObject) {
	for i := range list {
		list[i].File = r.abs(list[i].File, "")
	}
}

// configKinds are the kinds of object that hold configuration.
var configKinds = []string{"ConfigMap", "Secret"}

func (b *binder) config(path string, list []ConfigObject, seen map[string]bool) {
	for i, c := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		kind, name, _ := strings.Cut(c.Name, "/")
		switch {
		case c.Name == "":
			b.fail(at, "%s needs a name: \"ConfigMap/app\" or \"Secret/app\"", at)
		case !slices.Contains(configKinds, kind) || name == "" || strings.Contains(name, "/"):
			b.fail(at+".name", "%s.name must be \"ConfigMap/name\" or \"Secret/name\", not %q", at, c.Name)
		case seen[c.Name]:
			b.fail(at+".name", "%s: %s is there twice", at, c.Name)
		}
		seen[c.Name] = true
	}
}

// workloads checks the further workloads: each needs the environment's strategy.
func (b *binder) workloads(path string, e Environment) {
	listed := map[string]bool{}
	b.config(path+".config", e.Config, listed)
	if len(e.Workloads) > 0 && e.Strategy == "script" {
		b.fail(path+".workloads", "%s.workloads: a script deploys them all by itself; they need another strategy", path)
		return
	}
	names := map[string]bool{}
	for i, w := range e.Workloads {
		at := fmt.Sprintf("%s.workloads[%d]", path, i)
		switch {
		case w.Name == "":
			b.fail(at, "%s needs a name", at)
		case strings.ContainsAny(w.Name, "/ \t\n"):
			b.fail(at+".name", "%s.name is one word without a slash", at)
		case names[w.Name]:
			b.fail(at+".name", "a workload %q is there twice", w.Name)
		}
		names[w.Name] = true
		if w.Image != "" && !strings.Contains(w.Image, "{version}") {
			b.fail(at+".image", "%s.image must hold {version}, which is replaced by the tag", at)
		}
		if w.URL != "" {
			b.url(at+".url", w.URL)
		}
		b.strategies(at, e.Workload(w))
		// Nobody lists what another one lists: two files for one object would have no order.
		b.config(at+".config", w.Config, listed)
	}
}
