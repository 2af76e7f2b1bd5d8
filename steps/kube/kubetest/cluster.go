// Package kubetest gives tests a real Kubernetes control plane: etcd, API server,
// controllers and scheduler in their released versions, started on loopback within
// seconds and gone with the test process. It is built by "make testbed".
//
//	c := kubetest.Shared(t)               // one for all tests of a package
//	ns := c.Namespace(t)
//	plane := c.Serve(t, ns)               // only where answers matter
//	c.Apply(t, ns, deploymentYAML)
//	url := plane.Route(t, ns, "Service/app").URL
//
// There are no machines: the pods are pretence, played by kwok on two nodes. They
// become ready within a fraction of a second and end as fast. The tag of a pod's
// image says otherwise, so that a rollout that only sets images can fail:
//
//	…-notready   runs and never becomes ready
//	…-crash      CrashLoopBackOff, one restart more each second
//	…-nopull     ImagePullBackOff
//
// A pod that no node has room for is made with Cluster.Room. With Cluster.Serve
// the practice range's app answers for each pod that runs.
package kubetest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// startTime is the most that the control plane may take to start: four seconds on
// an idle machine with two cores, and many times that where others use them, too.
const startTime = 3 * time.Minute

// Cluster is a running control plane. Its methods are safe for concurrent use; those
// that take a test fail it where they cannot do what they say.
type Cluster struct {
	// Kubeconfig is a file with an administrator's rights.
	Kubeconfig string
	// Kubectl is the kubectl of the same release, built as it is released.
	Kubectl string
	// Dir holds the logs of the parts, <part>.log. It goes with the cluster.
	Dir string

	bed       testbed
	processes *processes
	ca        *authority
	token     string
	api       string // "https://127.0.0.1:20123"
	apiArgs   []string
	client    dynamic.Interface
	mapper    *restmapper.DeferredDiscoveryRESTMapper
	egress    *egress
	ports     []port // of etcd for clients and peers, of the API server
	names     names
}

// Start starts a control plane of the test's own, for tests that stop its parts or
// change its nodes. It is killed when the test ends.
//
// Without a built testbed the test is skipped; it fails if the environment says
// CI=true.
func Start(t testing.TB) *Cluster {
	t.Helper()
	c, err := start(t.Context(), installed(t))
	if err != nil {
		t.Fatalf("start the control plane: %v", err)
	}
	t.Cleanup(func() {
		for _, part := range parts {
			if t.Failed() {
				t.Logf("the end of the log of %s:\n%s", part, c.processes.tail(part))
			}
		}
		if err := c.close(); err != nil {
			t.Errorf("stop the control plane: %v", err)
		}
	})
	return c
}

var shared struct {
	sync.Mutex
	cluster *Cluster
	err     error
}

// Shared gives the control plane that all tests of this process share; the first
// call starts it. It ends with the process. Tests keep to namespaces of their own,
// and leave its parts and nodes alone.
//
// Without a built testbed the test is skipped; it fails if the environment says
// CI=true.
func Shared(t testing.TB) *Cluster {
	t.Helper()
	bed := installed(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil && shared.err == nil {
		// The test that happens to be first must not take it along when it ends.
		shared.cluster, shared.err = start(context.WithoutCancel(t.Context()), bed)
	}
	if shared.err != nil {
		t.Fatalf("start the control plane: %v", shared.err)
	}
	return shared.cluster
}

// Config is a client-go configuration with an administrator's rights and no limit on
// the rate of requests. Each call gives a new one.
func (c *Cluster) Config() *rest.Config {
	return &rest.Config{Host: c.api, BearerToken: c.token, QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAData: c.ca.pem}}
}

// Pid gives the process of a part, for signals such as SIGSTOP. It changes when
// the part is started again.
func (c *Cluster) Pid(part Part) int { return c.processes.get(part).cmd.Process.Pid }

// Signal sends a signal to a part: SIGSTOP freezes it, SIGCONT lets it go on.
func (c *Cluster) Signal(t testing.TB, part Part, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(c.Pid(part), s); err != nil {
		t.Fatalf("signal %s: %v", part, err)
	}
}

// StopAPIServer kills the API server: connections to it are refused from now on.
func (c *Cluster) StopAPIServer(t testing.TB) {
	t.Helper()
	if err := c.processes.kill(APIServer); err != nil {
		t.Fatal(err)
	}
}

// StartAPIServer starts it again at the same address, and returns when it is ready.
func (c *Cluster) StartAPIServer(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	if err := c.processes.start(APIServer, c.apiArgs...); err != nil {
		t.Fatal(err)
	}
	if err := c.ready(ctx); err != nil {
		t.Fatal(err)
	}
}

// start brings the parts up, with the nodes and custom resources that tests expect.
func start(ctx context.Context, bed testbed) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	dir, err := os.MkdirTemp("", "kubetest-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{Kubectl: bed.file("kubectl"), Dir: dir, bed: bed,
		processes: &processes{program: bed.file("testbed"), dir: dir, running: map[Part]*process{}}}
	if err := c.bringUp(ctx); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// close kills the parts and removes all that was theirs.
func (c *Cluster) close() error {
	if c.egress != nil {
		c.egress.close()
	}
	err := c.processes.close()
	for _, p := range c.ports {
		err = errors.Join(err, p.held.Close())
	}
	return err
}

func (c *Cluster) bringUp(ctx context.Context) error {
	if err := c.prepare(); err != nil {
		return err
	}
	if err := c.startAPI(ctx); err != nil {
		return err
	}
	if err := c.connect(); err != nil {
		return err
	}
	// The other parts start while the objects are made that they need.
	if err := c.startOthers(); err != nil {
		return err
	}
	if err := c.furnish(ctx); err != nil {
		for _, part := range parts {
			err = errors.Join(err, c.processes.ended(part))
		}
		return err
	}
	return nil
}

func (c *Cluster) path(name string) string { return filepath.Join(c.Dir, name) }

// startAPI starts etcd and the API server and waits until that is ready.
func (c *Cluster) startAPI(ctx context.Context) error {
	for range 3 {
		p, err := newPort()
		if err != nil {
			return err
		}
		c.ports = append(c.ports, p)
	}
	clients, peers := fmt.Sprintf("http://127.0.0.1:%d", c.ports[0].number), fmt.Sprintf("http://127.0.0.1:%d", c.ports[1].number)
	c.api = fmt.Sprintf("https://127.0.0.1:%d", c.ports[2].number)
	err := c.processes.start(Etcd, "--name=kubetest", "--data-dir="+c.path("etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+clients, "--advertise-client-urls="+clients,
		"--listen-peer-urls="+peers, "--initial-advertise-peer-urls="+peers, "--initial-cluster=kubetest="+peers)
	if err != nil {
		return err
	}
	c.apiArgs = []string{"--etcd-servers=" + clients, "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.ports[2].number),
		"--tls-cert-file=" + c.path("server.crt"), "--tls-private-key-file=" + c.path("server.key"), "--client-ca-file=" + c.path("ca.crt"),
		"--token-auth-file=" + c.path("tokens.csv"), "--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + c.path("server.key"),
		"--service-account-signing-key-file=" + c.path("server.key"), "--service-cluster-ip-range=10.32.0.0/16",
		"--endpoint-reconciler-type=none", "--egress-selector-config-file=" + c.path("egress.yaml")}
	if err := c.processes.start(APIServer, c.apiArgs...); err != nil {
		return err
	}
	return c.ready(ctx)
}

func (c *Cluster) startOthers() error {
	kubeconfig := "--kubeconfig=" + c.Kubeconfig
	leader := []string{kubeconfig, "--leader-elect=false", "--secure-port=0", "--kube-api-qps=1000", "--kube-api-burst=2000"}
	return errors.Join(
		// The nodes are pretence: an API server that was away must not make the controllers
		// think that they died, and evict their pods.
		c.processes.start(ControllerManager, append(leader, "--node-monitor-grace-period=10m", "--controllers="+strings.Join(controllers, ","))...),
		c.processes.start(Scheduler, leader...),
		c.processes.start(Kwok, kubeconfig, "--config="+c.path("stages.yaml"), "--manage-all-nodes", "--cidr=10.64.0.1/14",
			"--node-lease-duration-seconds=40"))
}

// ready waits until the API server says that it is.
func (c *Cluster) ready(ctx context.Context) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.ca.pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	return poll(ctx, "the API server is ready", func() error {
		for _, part := range []Part{Etcd, APIServer} {
			if err := c.processes.ended(part); err != nil {
				return stop{err}
			}
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.api+"/readyz", nil)
		if err != nil {
			return stop{err}
		}
		req.Header.Set("Authorization", "Bearer "+c.token)
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

// stop is an error that waiting does not mend.
type stop struct{ error }

// poll looks until there is no error. Other processes bring about what it waits
// for, and tell nobody: there is nothing to be woken by.
func poll(ctx context.Context, what string, look func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := look()
		if err == nil {
			return nil
		}
		if _, final := errors.AsType[stop](err); final || ctx.Err() != nil {
			return fmt.Errorf("never: %s: %w", what, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}
