package cluster

import (
	"encoding/json"
	"sort"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/watch"
)

// firstVersion is where the counter of resource versions begins.
const firstVersion = 1000

// keptChanges is how many changes are kept at least for watches to resume from.
// Up to twice as many are held, some 10 MB for Pods of ordinary size.
const keptChanges = 1024

// item is one object as stored: never changed, only replaced.
type item struct {
	obj object
	raw []byte // obj as JSON
	rv  uint64
}

// change is one step of the store's history.
type change struct {
	kind watch.EventType
	res  *resource
	rv   uint64
	prev *item // nil when added
	cur  *item // for a deletion the object as it last was, with the deletion's version
}

// store keeps all objects behind one lock and counts every write in one counter,
// so that a resource version orders everything. It is safe for concurrent use.
type store struct {
	now  func() time.Time
	kept int

	mu      sync.Mutex
	rv      uint64
	objects map[*resource]map[string]*item
	history []change
	pruned  uint64        // changes up to this version are forgotten
	wake    chan struct{} // closed at the next change
	lastIP  int           // of the Services' cluster addresses
}

func newStore(now func() time.Time) *store {
	return &store{now: now, kept: keptChanges, rv: firstVersion, pruned: firstVersion,
		objects: map[*resource]map[string]*item{}, wake: make(chan struct{})}
}

func storeKey(ns, name string) string { return ns + "/" + name }

// get gives a stored object.
func (s *store) get(res *resource, ns, name string) (*item, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it, ok := s.objects[res][storeKey(ns, name)]
	return it, ok
}

// list gives the objects of a namespace ("" for all), by name, and the version
// of the store at that moment.
func (s *store) list(res *resource, ns string) ([]*item, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sorted(res, ns), s.rv
}

// sorted is list with the lock held.
func (s *store) sorted(res *resource, ns string) []*item {
	all := s.objects[res]
	keys := make([]string, 0, len(all))
	for k, it := range all {
		if ns == "" || it.obj.GetNamespace() == ns {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	out := make([]*item, len(keys))
	for i, k := range keys {
		out[i] = all[k]
	}
	return out
}

// version gives the store's current version.
func (s *store) version() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rv
}

// after gives the changes of one resource (nil: of all) later than version rv, the
// version they bring the caller to, and a channel that closes at the next change.
// It is false when the history no longer reaches back to rv.
func (s *store) after(res *resource, rv uint64) (changes []change, now uint64, wake <-chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rv < s.pruned {
		return nil, s.rv, s.wake, false
	}
	i := sort.Search(len(s.history), func(i int) bool { return s.history[i].rv > rv })
	for _, c := range s.history[i:] {
		if res == nil || c.res == res {
			changes = append(changes, c)
		}
	}
	return changes, s.rv, s.wake, true
}

// commit gives obj the next version and stores it. The lock is held.
func (s *store) commit(res *resource, obj object) (*item, error) {
	cur := s.objects[res][storeKey(obj.GetNamespace(), obj.GetName())]
	it, err := encode(obj, s.rv+1)
	if err != nil {
		return nil, err
	}
	if s.objects[res] == nil {
		s.objects[res] = map[string]*item{}
	}
	s.objects[res][storeKey(obj.GetNamespace(), obj.GetName())] = it
	kind := watch.Added
	if cur != nil {
		kind = watch.Modified
	}
	s.record(change{kind: kind, res: res, rv: it.rv, prev: cur, cur: it})
	return it, nil
}

// drop removes an object for good. The lock is held.
func (s *store) drop(res *resource, cur *item) error {
	last, err := encode(clone(cur.obj), s.rv+1)
	if err != nil {
		return err
	}
	delete(s.objects[res], storeKey(cur.obj.GetNamespace(), cur.obj.GetName()))
	s.record(change{kind: watch.Deleted, res: res, rv: last.rv, prev: cur, cur: last})
	return nil
}

// encode sets the object's version and prepares it for the store.
func encode(obj object, rv uint64) (*item, error) {
	obj.SetResourceVersion(strconv.FormatUint(rv, 10))
	raw, err := json.Marshal(obj)
	if err != nil {
		return nil, err
	}
	return &item{obj: obj, raw: raw, rv: rv}, nil
}

// record appends to the history, forgets what is too old and wakes who waits.
func (s *store) record(c change) {
	s.rv = c.rv
	if len(s.history) >= 2*s.kept {
		old := len(s.history) - s.kept
		s.pruned = s.history[old-1].rv
		s.history = append(make([]change, 0, 2*s.kept), s.history[old:]...)
	}
	s.history = append(s.history, c)
	close(s.wake)
	s.wake = make(chan struct{})
}

// trim removes the oldest objects of a resource beyond its limit. The lock is held.
func (s *store) trim(res *resource) error {
	for res.limit > 0 && len(s.objects[res]) > res.limit {
		var oldest *item
		for _, it := range s.objects[res] {
			if oldest == nil || it.rv < oldest.rv {
				oldest = it
			}
		}
		if err := s.drop(res, oldest); err != nil {
			return err
		}
	}
	return nil
}
