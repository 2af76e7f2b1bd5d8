package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// server answers HTTP requests from the store.
type server struct {
	store *store
	rows  map[string]Verb // by rowKey

	usersMu sync.RWMutex
	users   map[string]user // by token

	ctx     context.Context // ends every watch
	serving sync.RWMutex    // read-held by every request: who gets it for writing has waited for all
}

func newServer(ctx context.Context, st *store, token string) *server {
	s := &server{store: st, ctx: ctx, rows: map[string]Verb{}, users: map[string]user{token: {name: "admin", admin: true}}}
	for _, v := range Verbs() {
		s.rows[rowKey(v.Group, v.Version, v.Resource)] = v
	}
	return s
}

// wait waits for the requests being served. The context must have ended: requests
// that still come are turned away.
func (s *server) wait() {
	s.serving.Lock()
	defer s.serving.Unlock()
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.serving.RLock()
	defer s.serving.RUnlock()
	w.Header().Set("Cache-Control", "no-cache, private")
	if err := s.serve(w, r); err != nil {
		writeError(w, err)
	}
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) error {
	if s.ctx.Err() != nil {
		return apierrors.NewServiceUnavailable("the practice cluster is shutting down")
	}
	switch strings.TrimSuffix(r.URL.Path, "/") {
	case "/healthz", "/livez", "/readyz":
		_, err := w.Write([]byte("ok"))
		return err
	case "/version":
		return writeJSON(w, http.StatusOK, serverVersion)
	}
	who, ok := s.userOf(r)
	if !ok {
		return apierrors.NewUnauthorized("Unauthorized")
	}
	if r.Method == http.MethodGet {
		if doc, ok := s.discovery(r); ok {
			return writeAs(w, http.StatusOK, doc.mediaType, doc.body)
		}
		if doc, ok := openAPI(r); ok {
			return writeJSON(w, http.StatusOK, doc)
		}
	}
	req, err := s.parse(r)
	if err != nil {
		return err
	}
	if err := s.authorize(who, req); err != nil {
		return err
	}
	req.user = who
	return s.dispatch(w, req)
}

func (s *server) dispatch(w http.ResponseWriter, r *request) error {
	switch {
	case r.row.res == nil:
		return s.reviewAccess(w, r)
	case r.row.sub == "scale":
		return s.serveScale(w, r)
	case r.row.sub == "proxy":
		return s.proxy(w, r)
	}
	switch r.verb {
	case "get":
		return s.get(w, r)
	case "list":
		return s.listAll(w, r)
	case "watch":
		return s.watch(w, r)
	case "create":
		return s.create(w, r)
	case "update":
		return s.replace(w, r)
	case "patch":
		return s.patch(w, r)
	default: // parse let only known verbs pass
		return s.remove(w, r)
	}
}

func writeJSON(w http.ResponseWriter, code int, v any) error {
	return writeAs(w, code, "application/json", v)
}

func writeAs(w http.ResponseWriter, code int, mediaType string, v any) error {
	raw, ok := v.([]byte)
	if !ok {
		var err error
		if raw, err = json.Marshal(v); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(code)
	_, err := w.Write(slices.Concat(raw, []byte{'\n'}))
	if err != nil {
		return errAnswered // the client is gone, and so is the header
	}
	return nil
}

// errAnswered says that the response has begun: an error can no longer be sent.
var errAnswered = errors.New("the response has begun")

func statusOf(code int32, reason metav1.StatusReason, message string) metav1.Status {
	return metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}
}

// writeError answers with a Status, as every failure of the API is told.
func writeError(w http.ResponseWriter, err error) {
	if errors.Is(err, errAnswered) {
		return
	}
	status := asStatus(err)
	if seconds := retryAfter(status); seconds != "" {
		w.Header().Set("Retry-After", seconds)
	}
	raw, err := json.Marshal(status)
	if err != nil {
		raw = nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(status.Code))
	w.Write(raw) //nolint:errcheck // a client that is gone needs no answer
}

func retryAfter(s metav1.Status) string {
	if s.Details != nil && s.Details.RetryAfterSeconds > 0 {
		return "1"
	}
	return ""
}

func asStatus(err error) metav1.Status {
	var known apierrors.APIStatus
	if !errors.As(err, &known) {
		known = apierrors.NewInternalError(err)
	}
	st := known.Status()
	st.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	return st
}
