package kube

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"mayday/state"
	"mayday/state/runbook"
)

// callTimeout bounds one request to the API server, in real time.
const callTimeout = 5 * time.Second

// Cluster is a connection to one API server. Safe for concurrent use.
type Cluster struct {
	// Context is the kubeconfig context in use, resolved: never "" where a
	// kubeconfig was read.
	Context string
	// Kubeconfig is the file the connection came from, absolute; "" where several
	// files were merged or none was read.
	Kubeconfig string

	client      dynamic.Interface
	written     time.Time         // when Kubeconfig was, as far as known
	web         http.RoundTripper // what client sends by
	server      *url.URL
	credentials *credentials
	endpoint    string        // of the server's URL and CA: stands in for the UID where namespaces cannot be read
	patience    time.Duration // how long a write of forward work is tried again

	mu       sync.Mutex // held while the identity is read: who needs it meanwhile waits for that
	identity string

	ahead *ahead
}

// Connect opens the cluster of an environment. It makes no request; errors are
// *state.Problem about the kubeconfig. Exec credential plugins get no terminal.
func Connect(env runbook.Environment) (*Cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if env.Kubeconfig != "" {
		rules.ExplicitPath = env.Kubeconfig
	}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: env.Context})
	cfg, err := loader.ClientConfig()
	if err != nil {
		return nil, &state.Problem{What: "no cluster for environment " + env.Name, Why: state.Clean(err.Error()),
			Do: "Check kubeconfig and context of the environment in mayday.yaml: kubectl config get-contexts", Code: "kubeconfig"}
	}
	c, err := New(cfg)
	if err != nil {
		return nil, err
	}
	c.Context = env.Context
	if raw, err := loader.RawConfig(); err == nil && c.Context == "" {
		c.Context = raw.CurrentContext
	}
	c.Kubeconfig = single(rules)
	c.written = writtenAt(c.Kubeconfig)
	return c, nil
}

// outdated reports whether the kubeconfig was written since: somebody logged in again.
func (c *Cluster) outdated() bool {
	return c.Kubeconfig != "" && !writtenAt(c.Kubeconfig).Equal(c.written)
}

// writtenAt is when a file was last written, the zero time where that is not known.
func writtenAt(path string) time.Time {
	info, err := os.Stat(path)
	if path == "" || err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// client-go's own log would write over the cockpit; all that matters in it comes
// back as an error. klog takes a logger only before anything logs.
func init() { klog.SetLogger(logr.Discard()) }

// New opens the cluster of a client configuration, which it copies.
func New(cfg *rest.Config) (*Cluster, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1 // an emergency never waits for a client-side rate limit
	cfg.Timeout = 0
	cfg.WarningHandler = rest.NoWarnings{}
	cfg.UserAgent = "mayday"
	if cfg.ExecProvider != nil {
		cfg.ExecProvider.StdinUnavailable = true
		cfg.ExecProvider.StdinUnavailableMessage = "mayday runs credential plugins without a terminal: log in first in a shell of your own"
	}
	noticeSilence(cfg)
	creds := watchCredentials(cfg)
	client, web, server, err := clients(cfg)
	if err != nil {
		return nil, &state.Problem{What: "cannot set up a client for " + cfg.Host, Why: state.Clean(err.Error()),
			Do: "Check the kubeconfig's certificates and credentials.", Code: "kubeconfig"}
	}
	ca := cfg.CAData
	if len(ca) == 0 && cfg.CAFile != "" {
		ca, _ = os.ReadFile(cfg.CAFile) // unreadable: the client would have refused it
	}
	sum := sha256.Sum256(append([]byte(cfg.Host+"\n"), ca...))
	return &Cluster{client: client, web: web, server: server, credentials: creds, endpoint: "server+ca:" + hex.EncodeToString(sum[:8]),
		patience: forwardPatience, ahead: newAhead()}, nil
}

// clients gives the client and what it sends by, for requests that are no objects.
func clients(cfg *rest.Config) (dynamic.Interface, http.RoundTripper, *url.URL, error) {
	web, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, nil, nil, err
	}
	server, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, nil, nil, err
	}
	client, err := dynamic.NewForConfigAndClient(cfg, web)
	return client, web.Transport, server, err
}

// single gives the one file the rules read, "" where there are several.
func single(rules *clientcmd.ClientConfigLoadingRules) string {
	files := rules.GetLoadingPrecedence()
	if rules.ExplicitPath != "" {
		files = []string{rules.ExplicitPath}
	}
	if len(files) != 1 {
		return ""
	}
	path, err := filepath.Abs(files[0])
	if err != nil {
		return ""
	}
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// Identity names the cluster itself, whatever it is called in a kubeconfig: the
// UID of the kube-system namespace or, where namespaces may not be read, a hash
// of the server's URL and CA, which starts with "server+ca:". It is read once.
func (c *Cluster) Identity(ctx context.Context) (string, error) {
	id, err := c.identify(ctx)
	return id, problem(err, "cannot reach the cluster")
}

// identify is Identity with the API server's own error.
func (c *Cluster) identify(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.identity != "" {
		return c.identity, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ns, err := c.client.Resource(namespaces).Get(ctx, "kube-system", metav1.GetOptions{})
	switch {
	case err == nil && ns.GetUID() != "":
		c.identity = string(ns.GetUID())
	case err == nil, denied(err), absent(err):
		c.identity = c.endpoint
	default:
		return "", err
	}
	return c.identity, nil
}
