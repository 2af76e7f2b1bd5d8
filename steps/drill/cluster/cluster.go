package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// ContextName is the context in the kubeconfig.
const ContextName = "drill"

// NodeName is the one node that every Pod is bound to.
const NodeName = "drill-node"

// Options say what the cluster begins with. The zero value is an empty cluster on
// real time.
type Options struct {
	// Objects are created in order, as a client would: typed objects or
	// *unstructured.Unstructured of the kinds in Verbs. The namespaces default and
	// kube-system are there already; any other must come before its objects.
	Objects []runtime.Object
	// Now gives the time for timestamps and deadlines. Nil means time.Now. Timers
	// run in real time, so it must pass at that pace.
	Now func() time.Time
}

// Cluster is a running API server with its controllers. Its methods are safe for
// concurrent use.
type Cluster struct {
	url        string
	token      string
	ca         []byte // PEM
	kubeconfig []byte
	server     *server
	http       *http.Server
	cancel     context.CancelFunc
	done       sync.WaitGroup
	once       sync.Once
}

// Start creates the initial objects, listens on a free port of 127.0.0.1 and runs
// until ctx ends or Close is called. An error names the object that was refused.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	now := o.Now
	if now == nil {
		now = time.Now
	}
	st := newStore(now)
	if err := seed(st, o.Objects); err != nil {
		return nil, err
	}
	ca, pair, err := certificates(time.Now())
	if err != nil {
		return nil, fmt.Errorf("certificate of the practice cluster: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("practice cluster: %w", err)
	}
	c := &Cluster{url: "https://" + listener.Addr().String(), token: rand.Text(), ca: ca}
	if c.kubeconfig, err = kubeconfig(c.url, c.token, ca); err != nil {
		return nil, errors.Join(fmt.Errorf("kubeconfig of the practice cluster: %w", err), listener.Close())
	}
	ctx, c.cancel = context.WithCancel(ctx)
	c.server = newServer(ctx, st, c.token)
	c.http = &http.Server{Handler: c.server, TLSConfig: tlsConfig(pair), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute,
		ErrorLog: log.New(io.Discard, "", 0)} // a client that hangs up must not write over the cockpit
	c.done.Go(func() { newControllers(st).run(ctx) })
	c.done.Go(func() {
		if err := c.http.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			c.cancel()
		}
	})
	c.done.Go(func() {
		<-ctx.Done()
		c.http.Close() //nolint:errcheck // everything it holds is closed either way
	})
	return c, nil
}

// seed creates what a fresh cluster has, and then the caller's objects.
func seed(st *store, objects []runtime.Object) error {
	w := write{manager: "mayday-drill"}
	all := []runtime.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system"}},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: NodeName}, Status: corev1.NodeStatus{
			NodeInfo:   corev1.NodeSystemInfo{KubeletVersion: serverVersion.GitVersion},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}}}},
	}
	for _, given := range append(all, objects...) {
		o, ok := given.(object)
		if !ok {
			return fmt.Errorf("initial object %T has no metadata", given)
		}
		res, err := resourceOf(o)
		if err != nil {
			return err
		}
		if o, err = owned(res, o); err != nil {
			return err
		}
		if _, err := st.create(res, o, w); err != nil {
			return fmt.Errorf("initial %s %s/%s: %w", res.kind, o.GetNamespace(), o.GetName(), err)
		}
	}
	return nil
}

// URL is the server's address, https://127.0.0.1:<port>.
func (c *Cluster) URL() string { return c.url }

// Config is a client-go configuration with the rights of an administrator and no
// limit on the rate of requests. Each call gives a new one.
func (c *Cluster) Config() *rest.Config {
	return &rest.Config{Host: c.url, BearerToken: c.token, QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAData: c.ca}}
}

// Kubeconfig is the same as a kubeconfig file, with the context "drill" in the
// namespace "shop".
func (c *Cluster) Kubeconfig() []byte { return bytes.Clone(c.kubeconfig) }

func kubeconfig(url, token string, ca []byte) ([]byte, error) {
	cfg := clientcmdapi.NewConfig()
	cfg.Clusters[ContextName] = &clientcmdapi.Cluster{Server: url, CertificateAuthorityData: ca}
	cfg.AuthInfos[ContextName] = &clientcmdapi.AuthInfo{Token: token}
	cfg.Contexts[ContextName] = &clientcmdapi.Context{Cluster: ContextName, AuthInfo: ContextName, Namespace: "shop"}
	cfg.CurrentContext = ContextName
	return clientcmd.Write(*cfg)
}

// Close stops the server and its controllers, ends every watch and waits for all of
// them. It may be called more than once.
func (c *Cluster) Close() {
	c.once.Do(c.cancel)
	c.done.Wait()
	c.server.wait()
}
