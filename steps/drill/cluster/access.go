package cluster

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/rest"
)

// user is who a token belongs to.
type user struct {
	name  string
	admin bool
	rules []rbacv1.PolicyRule
}

// As gives a client-go configuration of a user of that name who may do what the rules
// say, in every namespace, and nothing else. Reviews of the user's own rights are
// always allowed, as in a real cluster.
func (c *Cluster) As(name string, rules ...rbacv1.PolicyRule) *rest.Config {
	cfg := c.Config()
	cfg.BearerToken = rand.Text()
	c.server.admit(cfg.BearerToken, user{name: name, rules: rules})
	return cfg
}

func (s *server) admit(token string, u user) {
	s.usersMu.Lock()
	defer s.usersMu.Unlock()
	s.users[token] = u
}

// userOf knows who sends a request; false where the token is nobody's.
func (s *server) userOf(r *http.Request) (user, bool) {
	s.usersMu.RLock()
	defer s.usersMu.RUnlock()
	u, ok := s.users[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	return u, ok
}

// may reports whether a rule allows what the attributes say. A subresource is written
// "pods/proxy" in a rule.
func (u user) may(a authorizationv1.ResourceAttributes) bool {
	resource := a.Resource
	if a.Subresource != "" {
		resource += "/" + a.Subresource
	}
	has := func(list []string, x string) bool { return slices.Contains(list, x) || slices.Contains(list, "*") }
	return u.admin || slices.ContainsFunc(u.rules, func(p rbacv1.PolicyRule) bool {
		return has(p.Verbs, a.Verb) && has(p.APIGroups, a.Group) && has(p.Resources, resource) &&
			(len(p.ResourceNames) == 0 || a.Name != "" && slices.Contains(p.ResourceNames, a.Name))
	})
}

// authorize refuses a request that the user's rules do not allow.
func (s *server) authorize(u user, r *request) error {
	if r.row.res == nil {
		return nil
	}
	a := authorizationv1.ResourceAttributes{Verb: r.verb, Group: r.row.Group, Resource: r.row.res.plural, Subresource: r.row.sub, Namespace: r.ns, Name: r.name}
	if f, err := fields.ParseSelector(r.q.Get("fieldSelector")); err == nil && a.Name == "" {
		a.Name, _ = f.RequiresExactMatch("metadata.name") // a list or a watch of one object
	}
	if u.may(a) {
		return nil
	}
	what := fmt.Sprintf("User %q cannot %s resource %q in API group %q", u.name, a.Verb, r.row.Resource, a.Group)
	if r.row.Namespaced && r.ns != "" {
		what += fmt.Sprintf(" in the namespace %q", r.ns)
	} else {
		what += " at the cluster scope"
	}
	return apierrors.NewForbidden(r.row.res.gr(), r.name, fmt.Errorf("%s", what)) //nolint:err113 // the real server's words
}

// reviewAccess says what the user may do.
func (s *server) reviewAccess(w http.ResponseWriter, r *request) error {
	body, err := r.body(w)
	if err != nil {
		return err
	}
	review := &authorizationv1.SelfSubjectAccessReview{}
	if err := r.decode(w, body, review); err != nil {
		return err
	}
	review.TypeMeta = metav1.TypeMeta{APIVersion: r.row.GroupVersion(), Kind: r.row.Kind}
	if (review.Spec.ResourceAttributes == nil) == (review.Spec.NonResourceAttributes == nil) {
		return apierrors.NewBadRequest("spec.resourceAttributes: exactly one of nonResourceAttributes or resourceAttributes must be specified")
	}
	review.Status = authorizationv1.SubjectAccessReviewStatus{Allowed: r.user.admin}
	if a := review.Spec.ResourceAttributes; a != nil {
		review.Status.Allowed = r.user.may(*a)
	}
	switch {
	case r.user.admin:
		review.Status.Reason = "the practice cluster allows its administrator everything"
	case review.Status.Allowed:
		review.Status.Reason = fmt.Sprintf("RBAC: allowed by the rules of User %q", r.user.name)
	}
	return writeJSON(w, http.StatusCreated, review)
}
