package cluster

import (
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// addressKey is the annotation by which the range's node says where a pod's server
// listens; pods of other nodes are reached by address and port.
const addressKey = "drill.mayday.dev/address"

// proxy passes a request on to a pod or to one behind a Service, as the API server
// does for people who can reach it but not the pods:
// /api/v1/namespaces/shop/pods/app-1:8080/proxy/health.
func (s *server) proxy(w http.ResponseWriter, r *request) error {
	scheme, name, port, err := proxied(r.name)
	if err != nil {
		return err
	}
	var address string
	if r.row.res == services {
		address, err = s.serviceAddress(r.ns, name, port)
	} else {
		address, err = s.podAddress(r.ns, name, port)
	}
	if err != nil {
		return err
	}
	to := &url.URL{Scheme: scheme, Host: address}
	p := &httputil.ReverseProxy{
		Transport: &http.Transport{DisableKeepAlives: true}, // and no proxy of the environment's: pods are near
		ErrorLog:  log.New(io.Discard, "", 0),
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL.Path, pr.Out.URL.RawPath = "/"+r.rest, ""
			pr.SetURL(to)
			pr.SetXForwarded()
			pr.Out.Header.Del("Authorization") // it was for the API server
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			writeError(w, apierrors.NewServiceUnavailable("error trying to reach service: "+err.Error()))
		},
	}
	p.ServeHTTP(w, r.Request)
	return nil
}

// proxied takes "name", "name:port" and "scheme:name:port" apart.
func proxied(s string) (scheme, name, port string, err error) {
	parts := strings.Split(s, ":")
	switch len(parts) {
	case 1:
		return "http", parts[0], "", nil
	case 2:
		return "http", parts[0], parts[1], nil
	case 3:
		switch parts[0] {
		case "", "http":
			return "http", parts[1], parts[2], nil
		case "https":
			return "https", parts[1], parts[2], nil
		}
	}
	return "", "", "", apierrors.NewBadRequest(fmt.Sprintf("invalid proxy request %q", s))
}

func (s *server) podAddress(ns, name, port string) (string, error) {
	p, ok := stored[*corev1.Pod](s.store, pods, ns, name)
	if !ok {
		return "", apierrors.NewNotFound(pods.gr(), name)
	}
	if a := p.Annotations[addressKey]; a != "" {
		return a, nil
	}
	if p.Status.PodIP == "" {
		return "", apierrors.NewBadRequest("address not allowed")
	}
	if port == "" {
		port = "80"
		for _, c := range p.Spec.Containers {
			if len(c.Ports) > 0 {
				port = strconv.Itoa(int(c.Ports[0].ContainerPort))
				break
			}
		}
	}
	return net.JoinHostPort(p.Status.PodIP, port), nil
}

// serviceAddress picks one of the pods that are ready behind a Service.
func (s *server) serviceAddress(ns, name, port string) (string, error) {
	svc, ok := stored[*corev1.Service](s.store, services, ns, name)
	if !ok {
		return "", apierrors.NewNotFound(services.gr(), name)
	}
	wanted := ""
	for _, sp := range svc.Spec.Ports {
		if port == "" && len(svc.Spec.Ports) == 1 || port == sp.Name || port == strconv.Itoa(int(sp.Port)) {
			wanted = sp.Name
			port = strconv.Itoa(int(sp.Port))
		}
	}
	var found [][2]string // pod and port
	items, _ := s.store.list(endpointSlices, ns)
	for _, it := range items {
		slice := it.obj.(*discoveryv1.EndpointSlice)
		if slice.Labels[serviceLabel] != name {
			continue
		}
		for _, ep := range slice.Endpoints {
			if ep.TargetRef == nil || ep.Conditions.Ready == nil || !*ep.Conditions.Ready {
				continue
			}
			for _, sp := range slice.Ports {
				if sp.Name != nil && *sp.Name == wanted && sp.Port != nil {
					found = append(found, [2]string{ep.TargetRef.Name, strconv.Itoa(int(*sp.Port))})
				}
			}
		}
	}
	if len(found) == 0 {
		return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", name))
	}
	one := found[rand.IntN(len(found))]
	return s.podAddress(ns, one[0], one[1])
}
