package keeper

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"
	"sync"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// Bounds of one connection.
const (
	helloTime  = 5 * time.Second  // to say hello
	writeTime  = 10 * time.Second // a client that reads nothing for so long is gone
	maxPending = 16               // requests under way at once
)

// Server lets clients at an Engine. Safe for concurrent use.
type Server struct {
	engine *steps.Engine
	rb     *runbook.Runbook
	actor  state.Actor
	listen *net.UnixListener
	path   string
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	conns map[*net.UnixConn]struct{}
}

// Serve listens on the incident's socket until Close. The caller holds the
// incident's lock, so a socket that is still there belongs to a dead keeper and is
// removed.
func Serve(engine *steps.Engine, rb *runbook.Runbook, actor state.Actor, socket string) (*Server, error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the dead keeper's socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for other cockpits: %w", err)
	}
	// Anybody may knock; who is let in follows from the peer credentials.
	if err := os.Chmod(socket, 0o666); err != nil {
		_ = l.Close() // the error that counts is the one above
		return nil, fmt.Errorf("open the socket to colleagues: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{engine: engine, rb: rb, actor: actor, listen: l, path: socket, ctx: ctx, cancel: cancel, conns: map[*net.UnixConn]struct{}{}}
	s.wg.Add(1)
	go s.accept()
	return s, nil
}

// Close ends every connection and removes the socket. Close the Engine first, so
// that clients hear its last words.
func (s *Server) Close() error {
	err := s.listen.Close()
	s.cancel()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close() // reading and writing end with their own errors
	}
	s.mu.Unlock()
	s.wg.Wait()
	return err
}

func (s *Server) accept() {
	defer s.wg.Done()
	for {
		c, err := s.listen.AcceptUnix()
		if err != nil {
			if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of file descriptors, most likely: breathe, then go on.
			select {
			case <-s.ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		s.mu.Lock()
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			newConn(s, c).serve()
			_ = c.Close() // it is over either way
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		}()
	}
}

// conn is one client.
type conn struct {
	s     *Server
	c     *net.UnixConn
	actor state.Actor
	own   bool
	id    string

	mu  sync.Mutex // one line at a time
	enc *json.Encoder
}

func newConn(s *Server, c *net.UnixConn) *conn {
	return &conn{s: s, c: c, enc: json.NewEncoder(c)}
}

func (c *conn) write(r reply) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.c.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	return c.enc.Encode(r)
}

// serve talks to the client until either side goes away.
func (c *conn) serve() {
	lines := bufio.NewScanner(c.c)
	lines.Buffer(make([]byte, 0, 4096), maxRequest)
	h, problem := c.greet(lines)
	if problem != nil {
		_ = c.write(reply{Problem: problem}) // it goes away either way
		return
	}
	if c.write(reply{Ready: true}) != nil {
		return
	}
	ctx, cancel := context.WithCancel(c.s.ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if h.Watch {
		c.id = rand.Text()[:8]
		if h.Via == "cockpit" {
			c.tell(state.ClientJoined{ID: c.id})
			defer c.tell(state.ClientLeft{ID: c.id})
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			c.stream(ctx)
		}()
	}
	slots := make(chan struct{}, maxPending)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			_ = c.write(reply{Problem: &state.Problem{What: "not a request: " + state.Clean(err.Error())}})
			return
		}
		// The rollback never queues behind other requests.
		if r.Verb == (state.Arm{}).Verb() || r.Verb == (state.Fire{}).Verb() || r.Verb == (state.Disarm{}).Verb() {
			c.answer(ctx, r)
			continue
		}
		slots <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			c.answer(ctx, r)
		}()
	}
}

// tell journals presence; a journal that fails says so by itself.
func (c *conn) tell(f state.Fact) { _ = c.s.engine.RecordAs(c.actor, f) }

// greet reads the hello and finds out who is asking.
func (c *conn) greet(lines *bufio.Scanner) (hello, *state.Problem) {
	var h hello
	_ = c.c.SetReadDeadline(time.Now().Add(helloTime)) // a failure shows at the read
	if !lines.Scan() {
		return h, &state.Problem{What: "no hello came"}
	}
	_ = c.c.SetReadDeadline(time.Time{})
	if err := json.Unmarshal(lines.Bytes(), &h); err != nil || h.Protocol != protocol {
		return h, &state.Problem{Code: "protocol", What: "the keeper is a mayday of another version",
			Do: "Use the same binary on this host (mayday version), or wait until the keeper ends."}
	}
	uid, pid, err := peer(c.c)
	if err != nil {
		return h, state.AsProblem(err)
	}
	name := strconv.Itoa(uid)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	c.own = uid == os.Getuid()
	c.actor = state.Actor{User: name, Host: c.s.actor.Host, PID: pid, Via: state.Clean(h.Via)}
	if h.As != "" {
		if !c.own || c.s.engine.Incident().Drill == "" {
			return h, &state.Problem{Code: "as", What: "nobody speaks for " + state.Clean(h.As) + " in a real incident",
				Do: "They connect from their own account."}
		}
		c.actor.User, c.own = state.Clean(h.As), false
	}
	return h, allowed(c.s.rb, c.actor.User, c.own, state.Preview{})
}

// stream sends frames until the client or the keeper goes.
func (c *conn) stream(ctx context.Context) {
	you := state.Hello{You: c.actor, Client: c.id, Folder: "", Keeping: c.actor.PID == os.Getpid()}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for f := range c.s.engine.Subscribe(ctx, you) {
		if c.write(reply{Frame: &f}) != nil {
			_ = c.c.Close() // the reader ends too
			return
		}
	}
	_ = c.c.Close() // the Engine closed: the client looks for the next keeper
}

func (c *conn) answer(ctx context.Context, r request) {
	intent, err := state.DecodeIntent(r.Verb, r.Data)
	var a state.Answer
	if err == nil {
		if p := allowed(c.s.rb, c.actor.User, c.own, intent); p != nil {
			err = p
		} else {
			a, err = c.s.engine.Do(ctx, c.actor, intent)
		}
	}
	_ = c.write(reply{ID: r.ID, Answer: &a, Problem: state.AsProblem(err)}) // a client that is gone needs no answer
}
