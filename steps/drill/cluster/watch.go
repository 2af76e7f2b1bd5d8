package cluster

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// How long a watch lasts unless it asks for less, and how often it is told a newer
// version when nothing it watches changes.
const (
	watchLasts     = 30 * time.Minute
	bookmarksEvery = time.Minute
)

// stream is one running watch. It holds no queue: it reads the store's history from
// its cursor on, so that a slow client costs nothing and one that is too slow is
// told 410.
type stream struct {
	s       *server
	r       *request
	w       http.ResponseWriter
	form    form
	filter  *filter
	cursor  uint64
	columns bool // the table's columns have been sent
}

type frame struct {
	Type   watch.EventType `json:"type"`
	Object any             `json:"object"`
}

func (s *server) watch(w http.ResponseWriter, r *request) error {
	st := &stream{s: s, r: r, w: w}
	var err error
	if st.form, err = r.wants(); err != nil {
		return err
	}
	if st.filter, err = r.filter(); err != nil {
		return err
	}
	initial, err := st.begin()
	if err != nil {
		return err
	}
	lasts := watchLasts
	if n, err := strconv.Atoi(r.q.Get("timeoutSeconds")); err == nil && n > 0 {
		lasts = time.Duration(n) * time.Second
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	if err := st.first(initial); err != nil {
		return errAnswered
	}
	end := time.NewTimer(lasts)
	defer end.Stop()
	if err := st.follow(end.C); err != nil {
		return errAnswered // the client is gone: nobody to tell
	}
	return nil
}

// begin finds where the watch starts, and which objects it shows first.
func (st *stream) begin() ([]*item, error) {
	asked, all := st.r.q.Get("resourceVersion"), st.r.q.Get("sendInitialEvents") == "true"
	if all && st.r.q.Get("allowWatchBookmarks") != "true" {
		return nil, apierrors.NewBadRequest("sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless allowWatchBookmarks is set")
	}
	items, rv := st.s.store.list(st.r.row.res, st.r.ns)
	st.cursor = rv
	if asked == "" || asked == "0" || all {
		if asked != "" && asked != "0" {
			if n, err := parseVersion(asked); err != nil {
				return nil, err
			} else if n > rv {
				return nil, tooLarge(n, rv)
			}
		}
		if st.r.q.Get("sendInitialEvents") == "false" {
			return nil, nil
		}
		return items, nil
	}
	n, err := parseVersion(asked)
	if err != nil {
		return nil, err
	}
	if n > rv {
		return nil, tooLarge(n, rv)
	}
	st.cursor = n
	return nil, nil
}

// first sends the objects there are, and the bookmark that ends them if asked.
func (st *stream) first(initial []*item) error {
	for _, it := range initial {
		if st.filter.matches(it) {
			if err := st.send(watch.Added, it); err != nil {
				return err
			}
		}
	}
	if st.r.q.Get("sendInitialEvents") == "true" {
		if err := st.bookmark(map[string]string{metav1.InitialEventsAnnotationKey: "true"}); err != nil {
			return err
		}
	}
	return st.flush()
}

// follow sends changes until the client goes, the server stops or time is up.
func (st *stream) follow(end <-chan time.Time) error {
	var tick <-chan time.Time
	if st.r.q.Get("allowWatchBookmarks") == "true" {
		t := time.NewTicker(bookmarksEvery)
		defer t.Stop()
		tick = t.C
	}
	told := st.cursor
	for {
		changes, now, wake, ok := st.s.store.after(st.r.row.res, st.cursor)
		if !ok {
			gone := asStatus(apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", st.cursor, now)))
			if err := st.write(frame{Type: watch.Error, Object: gone}); err != nil {
				return err
			}
			return st.flush()
		}
		st.cursor = now
		for _, c := range changes {
			if err := st.change(c); err != nil {
				return err
			}
		}
		if len(changes) > 0 {
			if err := st.flush(); err != nil {
				return err
			}
			told = now
		}
		select {
		case <-wake:
		case <-tick:
			if told != st.cursor {
				told = st.cursor
				if err := st.bookmark(nil); err != nil {
					return err
				}
				if err := st.flush(); err != nil {
					return err
				}
			}
		case <-end:
			return nil
		case <-st.r.Context().Done():
			return nil
		case <-st.s.ctx.Done():
			return nil
		}
	}
}

// change sends what one change means to this watch: an object that begins to match
// is added to it, one that ends to match is deleted from it.
func (st *stream) change(c change) error {
	was := st.filter.matches(c.prev)
	is := c.kind != watch.Deleted && st.filter.matches(c.cur)
	switch {
	case is && was:
		return st.send(watch.Modified, c.cur)
	case is:
		return st.send(watch.Added, c.cur)
	case was && c.kind == watch.Deleted:
		return st.send(watch.Deleted, c.cur)
	case was: // as it last matched, with the version of the change
		last, err := encode(clone(c.prev.obj), c.rv)
		if err != nil {
			return err
		}
		return st.send(watch.Deleted, last)
	}
	return nil
}

func (st *stream) send(kind watch.EventType, it *item) error {
	body, err := st.s.show(st.r, st.form, it)
	if err != nil {
		return err
	}
	switch b := body.(type) {
	case []byte:
		body = json.RawMessage(b)
	case *metav1.Table:
		if st.columns {
			b.ColumnDefinitions = nil
		}
		st.columns = true
	}
	return st.write(frame{Type: kind, Object: body})
}

// bookmark tells the client the version it has reached.
func (st *stream) bookmark(annotations map[string]string) error {
	meta := map[string]any{"resourceVersion": strconv.FormatUint(st.cursor, 10), "creationTimestamp": nil}
	if annotations != nil {
		meta["annotations"] = annotations
	}
	body := map[string]any{"kind": st.r.row.Kind, "apiVersion": st.r.row.GroupVersion(), "metadata": meta}
	switch st.form {
	case formPartial:
		body["kind"], body["apiVersion"] = "PartialObjectMetadata", "meta.k8s.io/v1"
	case formTable:
		row := map[string]any{"cells": []any{}, "object": map[string]any{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta}}
		body = map[string]any{"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": map[string]any{"resourceVersion": meta["resourceVersion"]},
			"columnDefinitions": nil, "rows": []any{row}}
	}
	return st.write(frame{Type: watch.Bookmark, Object: body})
}

func (st *stream) write(f frame) error {
	raw, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_, err = st.w.Write(append(raw, '\n'))
	return err
}

func (st *stream) flush() error { return http.NewResponseController(st.w).Flush() }
