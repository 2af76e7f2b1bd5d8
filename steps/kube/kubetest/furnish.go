package kubetest

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"
)

// Nodes are the two nodes. Each has room for 64 CPUs, 256 GiB and 1,000 pods.
var Nodes = []string{"node-1", "node-2"}

// fieldManager is who wrote what tests set up.
const fieldManager = "kubetest"

//go:embed stages
var stages embed.FS

//go:embed policy.yaml
var policy string

var (
	nodes      = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	policies   = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingadmissionpolicies"}
	bindings   = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingadmissionpolicybindings"}
	crds       = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

	// accessReviews ask what somebody may do.
	accessReviews = schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "subjectaccessreviews"}
)

// customResources are those that are installed: what a canary's route is made of.
// Each costs a part of the start.
var customResources = []string{"virtualservices.networking.istio.io", "destinationrules.networking.istio.io", "gateways.networking.istio.io",
	"httproutes.gateway.networking.k8s.io", "gateways.gateway.networking.k8s.io", "gatewayclasses.gateway.networking.k8s.io"}

// prepare writes the files that the parts are started with.
func (c *Cluster) prepare() error {
	var err error
	if c.ca, err = newAuthority(); err != nil {
		return err
	}
	server, err := c.ca.server()
	if err != nil {
		return err
	}
	c.token = rand.Text()
	text, err := c.stages()
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"ca.crt": c.ca.pem, "server.crt": server.cert, "server.key": server.key,
		"tokens.csv": fmt.Appendf(nil, "%s,admin,admin,system:masters\n", c.token), "stages.yaml": text,
		"egress.yaml": fmt.Appendf(nil, egressConfig, c.path("egress.sock"))} {
		if err := os.WriteFile(c.path(name), content, 0o600); err != nil {
			return err
		}
	}
	c.egress, err = newEgress(c.path("egress.sock"))
	return err
}

// stages puts kwok's own stages and those of this package into one text.
func (c *Cluster) stages() ([]byte, error) {
	kwoks, err := texts(os.DirFS(c.bed.file("stages")))
	if err != nil {
		return nil, err
	}
	dir, err := fs.Sub(stages, "stages")
	if err != nil {
		return nil, err
	}
	own, err := texts(dir)
	return append(kwoks, own...), err
}

// connect makes the clients and the administrator's kubeconfig.
func (c *Cluster) connect() error {
	cfg := c.Config()
	var err error
	if c.client, err = dynamic.NewForConfig(cfg); err != nil {
		return err
	}
	found, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return err
	}
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(found))
	c.Kubeconfig, err = c.kubeconfig("admin", "default", &clientcmdapi.AuthInfo{Token: c.token})
	return err
}

// kubeconfig writes the file of one user.
func (c *Cluster) kubeconfig(name, namespace string, who *clientcmdapi.AuthInfo) (string, error) {
	cfg := clientcmdapi.NewConfig()
	cfg.Clusters["testbed"] = &clientcmdapi.Cluster{Server: c.api, CertificateAuthorityData: c.ca.pem}
	cfg.AuthInfos[name] = who
	cfg.Contexts["testbed"] = &clientcmdapi.Context{Cluster: "testbed", AuthInfo: name, Namespace: namespace}
	cfg.CurrentContext = "testbed"
	path := c.path(name + ".kubeconfig")
	return path, clientcmd.WriteToFile(*cfg, path)
}

// furnish makes the nodes and custom resources and waits until they can be used.
func (c *Cluster) furnish(ctx context.Context) error {
	if err := c.makeCustomResources(ctx); err != nil {
		return err
	}
	if err := c.makePolicy(ctx); err != nil {
		return err
	}
	for i, name := range Nodes {
		if err := c.makeNode(ctx, name, fmt.Sprintf("10.96.0.%d", i+1)); err != nil {
			return err
		}
	}
	for _, name := range customResources {
		err := poll(ctx, name+" is established", func() error {
			return c.condition(ctx, crds, name, "Established")
		})
		if err != nil {
			return err
		}
	}
	for _, name := range Nodes {
		if err := poll(ctx, name+" is ready", func() error { return c.condition(ctx, nodes, name, "Ready") }); err != nil {
			return err
		}
	}
	return poll(ctx, "the namespace default exists", func() error {
		_, err := c.client.Resource(namespaces).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

func (c *Cluster) makeCustomResources(ctx context.Context) error {
	all, err := texts(os.DirFS(c.bed.file("crds")))
	if err != nil {
		return err
	}
	made := 0
	for doc := range strings.SplitSeq(string(all), "\n---\n") {
		// The whole text takes long to parse, and most of it is not wanted.
		wanted := slices.ContainsFunc(customResources, func(name string) bool { return strings.Contains(doc, "\n  name: "+name+"\n") })
		if !wanted {
			continue
		}
		u := new(unstructured.Unstructured)
		if err := yaml.Unmarshal([]byte(doc), &u.Object); err != nil {
			return err
		}
		if _, err := c.client.Resource(crds).Create(ctx, u, metav1.CreateOptions{FieldManager: fieldManager}); err != nil {
			return err
		}
		made++
	}
	if made != len(customResources) {
		return fmt.Errorf("the testbed has %d of the custom resources %v", made, customResources)
	}
	return nil
}

func (c *Cluster) makePolicy(ctx context.Context) error {
	one, two, _ := strings.Cut(policy, "\n---\n")
	for _, part := range []struct {
		gvr  schema.GroupVersionResource
		text string
	}{{policies, one}, {bindings, two}} {
		u := new(unstructured.Unstructured)
		if err := yaml.Unmarshal([]byte(part.text), &u.Object); err != nil {
			return err
		}
		if _, err := c.client.Resource(part.gvr).Create(ctx, u, metav1.CreateOptions{FieldManager: fieldManager}); err != nil {
			return err
		}
	}
	return nil
}

// texts joins all YAML files of a folder.
func texts(dir fs.FS) ([]byte, error) {
	names, err := fs.Glob(dir, "*.yaml")
	if err != nil {
		return nil, err
	}
	var all []byte
	for _, name := range names {
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		all = append(append(all, "\n---\n"...), text...)
	}
	return all, nil
}

func (c *Cluster) makeNode(ctx context.Context, name, address string) error {
	room := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourcePods: resource.MustParse("1000")}
	n := &corev1.Node{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}},
		Status: corev1.NodeStatus{Allocatable: room, Capacity: room,
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}, {Type: corev1.NodeHostName, Address: name}}}}
	o, err := runtime.DefaultUnstructuredConverter.ToUnstructured(n)
	if err != nil {
		return err
	}
	_, err = c.client.Resource(nodes).Create(ctx, &unstructured.Unstructured{Object: o}, metav1.CreateOptions{FieldManager: fieldManager})
	return err
}

// condition gives an error unless the object has the condition.
func (c *Cluster) condition(ctx context.Context, gvr schema.GroupVersionResource, name, kind string) error {
	u, err := c.client.Resource(gvr).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, item := range list {
		if cond, _ := item.(map[string]any); cond["type"] == kind && cond["status"] == "True" {
			return nil
		}
	}
	return errors.New(fmt.Sprint("not yet: ", list))
}

// mapping finds the resource of a kind, asking the server again if it is new.
func (c *Cluster) mapping(kind schema.GroupVersionKind) (*meta.RESTMapping, error) {
	m, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		c.mapper.Reset()
		m, err = c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	}
	return m, err
}
