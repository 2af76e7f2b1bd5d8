package runbook

import (
	"reflect"
	"testing"
)

const several = `
service: shop
environments:
  production:
    image: r/shop:{version}
    container: app
    url: http://shop
    rolling: {deployment: app}
    checks: [{path: /health}]
    config: [{name: ConfigMap/app, file: deploy/config.yaml}, {name: Secret/keys}]
    workloads:
    - {name: worker, image: "r/worker:{version}", rolling: {deployment: worker, batch: 2}, config: [{name: ConfigMap/worker, file: /etc/w.yaml}]}
    - {name: mail, canary: {stable: m, canary: n, route: HTTPRoute/m}, rolling: {deployment: mail}, url: http://mail}
`

func TestWorkloads(t *testing.T) {
	p := parseOK(t, several).Environments["production"]
	if want := []ConfigObject{{Name: "ConfigMap/app", File: "/srv/shop/deploy/config.yaml"}, {Name: "Secret/keys"}}; !reflect.DeepEqual(p.Config, want) {
		t.Errorf("config %+v", p.Config)
	}
	if m := p.Workloads[1]; m.Canary.StableService != "m" || len(m.Canary.Weights) != 5 || m.Rolling.Batch != 1 {
		t.Errorf("defaults of a workload: %+v", m)
	}
	w := p.Workload(p.Workloads[0])
	want := Environment{Name: "production/worker", Production: true, Namespace: "default", Image: "r/worker:{version}", Strategy: "rolling",
		Rolling: &Rolling{Deployment: "worker", Batch: 2, Hold: 30 * second},
		Config:  []ConfigObject{p.Config[0], p.Config[1], {Name: "ConfigMap/worker", File: "/etc/w.yaml"}}}
	if !reflect.DeepEqual(w, want) {
		t.Errorf("as the worker sees it:\n%+v\nwant\n%+v", w, want)
	}
	if m := p.Workload(p.Workloads[1]); m.Image != "" || m.URL != "http://mail" || len(m.Config) != 2 {
		t.Errorf("as mail sees it: %+v", m)
	}
}
