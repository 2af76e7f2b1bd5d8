package kube

import (
	"context"
	"errors"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mayday/state"
)

// code gives the HTTP status the API server answered, 0 where it did not.
func code(err error) int {
	var s apierrors.APIStatus
	if errors.As(err, &s) {
		return int(s.Status().Code)
	}
	return 0
}

func absent(err error) bool { return code(err) == http.StatusNotFound }
func denied(err error) bool { return code(err) == http.StatusForbidden }

// unsupported reports whether the server does not know the resource or the verb.
func unsupported(err error) bool {
	switch code(err) {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusNotAcceptable:
		return true
	}
	return false
}

// conflict reports whether a write lost against another one, or failed a test.
func conflict(err error) bool {
	c := code(err)
	return c == http.StatusConflict || c == http.StatusUnprocessableEntity
}

// transient reports whether the same request may succeed a moment later.
func transient(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	switch c := code(err); c {
	case 0:
		var p *state.Problem
		return !errors.As(err, &p)
	case http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented:
		return false
	default:
		return c >= 500
	}
}

// problem says what an API error means to a person. A Problem stays as it is.
func problem(err error, what string) error {
	if err == nil {
		return nil
	}
	var p *state.Problem
	if errors.As(err, &p) || errors.Is(err, context.Canceled) {
		return err
	}
	p = &state.Problem{What: what, Why: state.Clean(err.Error())}
	switch code(err) {
	case 0:
		p.Code, p.Do = "unreachable", "Check network, VPN and context: kubectl cluster-info"
	case http.StatusUnauthorized:
		p.Code, p.Do = "unauthorized", "Log in to the cluster again in another shell, then try again."
	case http.StatusForbidden:
		p.Code, p.Do = "forbidden", "Ask a cluster administrator for the right, or use another context: kubectl auth can-i --list"
	case http.StatusNotFound:
		p.Code, p.Do = "not-found", "Check namespace and names in mayday.yaml."
	default:
		if reason := apierrors.ReasonForError(err); reason != metav1.StatusReasonUnknown {
			p.Code = string(reason)
		}
	}
	return &explained{p, err}
}

// missed is problem for an object that was there when the plan was made.
func missed(err error, o ref, what string) error {
	if !absent(err) {
		return problem(err, what)
	}
	return &explained{&state.Problem{What: o.String() + " no longer exists", Code: "gone", Why: "somebody deleted it since the plan was made",
		Do: "Find out who and why. Make it again from its manifest, then go on or roll back."}, err}
}

// explained is a Problem that keeps the API error it explains.
type explained struct {
	*state.Problem
	cause error
}

func (e *explained) Unwrap() []error { return []error{e.Problem, e.cause} }
