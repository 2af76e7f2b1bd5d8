package comms_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
	"mayday/state/journal"
	"mayday/state/runbook"
	"mayday/steps/comms"
	"mayday/steps/comms/webhook"
)

const (
	letters   = 10_000
	incidents = 50
	channels  = 5 // of an incident
)

// flaky is a service that fails three times of ten: it refuses, asks for a rest, cuts
// the line before it took the letter, or after.
type flaky struct {
	mu     sync.Mutex
	rand   *rand.Rand
	texts  map[string][]string // by key: what came with it
	order  map[string][]int    // by incident, channel and lane: its letters as they first came
	failed int
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	way := f.rand.IntN(100)
	if way < 30 {
		f.failed++
	}
	switch {
	case way < 8:
		w.WriteHeader(http.StatusInternalServerError)
	case way < 12:
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(http.StatusTooManyRequests)
	case way < 20:
		cut(w)
	case way < 30:
		f.take(r, body)
		cut(w) // who sent it cannot know that it arrived
	default:
		f.take(r, body)
	}
}

func cut(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

func (f *flaky) take(r *http.Request, body []byte) {
	var m struct{ Text string }
	_ = json.Unmarshal(body, &m) // an empty one is missed below
	key := r.Header.Get("Idempotency-Key")
	var n int
	var lane string
	if _, err := fmt.Sscanf(m.Text, "letter %d of %s", &n, &lane); err == nil && len(f.texts[key]) == 0 {
		f.order[lane] = append(f.order[lane], n)
	}
	f.texts[key] = append(f.texts[key], m.Text)
}

// memory is a network without sockets, so that its waits are synctest's.
type memory struct {
	conns chan net.Conn
	done  chan struct{}
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}
func (m *memory) Close() error   { return nil }
func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }
func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case m.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// unsynced is the real file system, without its slowest part: a process that dies
// loses nothing of what it wrote, and power cuts are the journal's own tests.
type unsynced struct{ journal.FS }

func (u unsynced) OpenFile(name string, flag int, perm fs.FileMode) (journal.File, error) {
	f, err := u.FS.OpenFile(name, flag, perm)
	return unsyncedFile{f}, err
}

type unsyncedFile struct{ journal.File }

func (unsyncedFile) Sync() error { return nil }

// kept is an incident in its journal, as the Engine keeps it.
type kept struct {
	journal *journal.Journal
	mu      sync.Mutex
	in      *state.Incident
	changed chan struct{}
}

func reopen(folder string) (*kept, error) {
	j, events, err := journal.OpenOn(unsynced{journal.OS}, folder)
	if err != nil {
		return nil, err
	}
	k := &kept{journal: j, in: &state.Incident{}, changed: make(chan struct{})}
	for _, e := range events {
		if err := k.in.Apply(e); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func (k *kept) Incident() *state.Incident { k.mu.Lock(); defer k.mu.Unlock(); return k.in.Clone() }
func (k *kept) Changed() <-chan struct{}  { k.mu.Lock(); defer k.mu.Unlock(); return k.changed }
func (k *kept) Now() time.Time            { return time.Now().UTC() }
func (k *kept) Record(f state.Fact) error { return k.record(f) }
func (k *kept) record(facts ...state.Fact) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	events, err := k.journal.Append(k.Now(), state.Actor{User: state.Mayday}, 0, facts...)
	if err != nil {
		return err
	}
	for _, e := range events {
		if err := k.in.Apply(e); err != nil {
			return err
		}
	}
	close(k.changed)
	k.changed = make(chan struct{})
	return nil
}

func (k *kept) waiting() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for _, m := range k.in.Messages {
		if m.Sent.IsZero() && !m.Dead {
			n++
		}
	}
	return n
}

// declare writes an incident with all its letters.
func declare(t *testing.T, folder string) {
	j, err := journal.CreateOn(unsynced{journal.OS}, folder)
	if err != nil {
		t.Fatal(err)
	}
	facts := []state.Fact{state.Declared{ID: filepath.Base(folder), Title: "x", Severity: 1, Policy: state.DefaultPolicy(1)}}
	count := map[string]int{}
	for i := range letters / incidents {
		m := state.MessageQueued{ID: fmt.Sprintf("m%d-0", i), Channel: fmt.Sprintf("ch%d", i%channels), Purpose: "update", Audience: "team"}
		if i%9 == 0 {
			m.Purpose, m.Audience = "page", "pages"
		}
		lane := filepath.Base(folder) + "/" + m.Channel + "/" + m.Purpose
		m.Text = fmt.Sprintf("letter %d of %s", count[lane], lane)
		count[lane]++
		facts = append(facts, m)
	}
	if _, err := j.Append(time.Now().UTC(), state.Actor{User: "alice"}, 0, facts...); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// keep runs keepers of an incident, one after the other, until nothing waits. Each is
// stopped in the middle of what it does.
func keep(t *testing.T, folder string, post *comms.Post, r *rand.Rand) (restarts int, last *state.Incident) {
	for ; ; restarts++ {
		k, err := reopen(folder)
		if err != nil {
			t.Error(err)
			return restarts, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+r.IntN(40))*time.Second)
		done := make(chan struct{})
		go func() { defer close(done); _ = comms.NewOutbox(post).Run(ctx, k) }()
		for k.waiting() > 0 && ctx.Err() == nil {
			select {
			case <-k.Changed():
			case <-ctx.Done():
			}
		}
		left := k.waiting()
		cancel()
		<-done
		if err := k.journal.Close(); err != nil {
			t.Error(err)
		}
		if left == 0 || restarts > 500 {
			return restarts, k.Incident()
		}
	}
}

func TestTenThousandLettersThroughAFlakyServer(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{rand: rand.New(rand.NewPCG(1, 2)), texts: map[string][]string{}, order: map[string][]int{}}
		network := &memory{make(chan net.Conn), make(chan struct{})}
		srv := &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
		stopped := make(chan error, 1)
		go func() { stopped <- srv.Serve(network) }()
		transport := &http.Transport{DialContext: network.dial}
		before := http.DefaultTransport
		http.DefaultTransport = transport // which the channels use
		defer func() {
			http.DefaultTransport = before
			close(network.done)
			_ = srv.Close()
			<-stopped
			transport.CloseIdleConnections()
		}()
		rb := &runbook.Runbook{}
		for i := range channels {
			rb.Channels = append(rb.Channels, runbook.Channel{Name: fmt.Sprintf("ch%d", i), Kind: webhook.Kind, URL: "http://memory/"})
		}
		post, err := comms.New(rb, map[string]comms.Make{webhook.Kind: webhook.New}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		restarts, ends := make([]int, incidents), make([]*state.Incident, incidents)
		for i := range incidents {
			folder := filepath.Join(dir, fmt.Sprintf("INC-%02d", i))
			declare(t, folder)
			wg.Go(func() { restarts[i], ends[i] = keep(t, folder, post, rand.New(rand.NewPCG(3, uint64(i)))) })
		}
		wg.Wait()
		judge(t, f, restarts, ends)
	})
}

// judge wants every letter delivered, in order, and repeated under its own key only.
func judge(t *testing.T, f *flaky, restarts []int, ends []*state.Incident) {
	again, times, sent := 0, 0, 0
	for i, in := range ends {
		times += restarts[i]
		for _, m := range in.Messages {
			texts := f.texts[in.Name()+"/"+m.ID]
			if m.Sent.IsZero() || len(texts) == 0 {
				t.Fatalf("%s %s is lost: %+v", in.ID, m.ID, m)
			}
			sent++
			again += len(texts) - 1
			if slices.ContainsFunc(texts, func(s string) bool { return s != m.Text }) {
				t.Errorf("%s %s came as %q", in.ID, m.ID, texts)
			}
		}
	}
	if sent != letters || len(f.texts) != letters {
		t.Errorf("%d letters were sent under %d keys", sent, len(f.texts))
	}
	for lane, order := range f.order {
		if !slices.IsSorted(order) {
			t.Errorf("%s came in the order %v", lane, order)
		}
	}
	if again == 0 || times < incidents || f.failed < letters/4 || len(f.order) != incidents*channels*2 {
		t.Errorf("the test tried too little: %d repetitions, %d restarts, %d failures, %d lanes", again, times, f.failed, len(f.order))
	}
	t.Logf("%d letters, %d failures, %d restarts, %d repetitions, %s", sent, f.failed, times, again, strings.TrimSpace(time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).String()))
}
