package keeper

import (
	"bufio"
	"bytes"
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
	"sync/atomic"
	"time"

	"mayday/state"
)

// Bounds of one connection.
const (
	maxPending = 16  // requests under way at once
	maxReplies = 256 // answers that a client has not read
)

// patience is how long a server waits for a client (real time).
type patience struct {
	hello time.Duration // to say hello
	write time.Duration // a client that reads nothing for so long is gone
	last  time.Duration // to read what was said last, in Close
}

var usual = patience{hello: 5 * time.Second, write: 10 * time.Second, last: time.Second}

// conn is one client. One goroutine reads it, one writes to it; requests are
// answered beside them, so that neither ever waits for the Engine.
type conn struct {
	s       *Server
	c       *net.UnixConn
	actor   state.Actor
	own     bool
	id      string
	replies chan reply
	over    atomic.Bool // the Engine's stream has ended
}

func newConn(s *Server, c *net.UnixConn) *conn {
	return &conn{s: s, c: c, replies: make(chan reply, maxReplies)}
}

// serve talks to the client until either side goes away.
func (c *conn) serve() {
	lines := bufio.NewScanner(c.c)
	lines.Buffer(make([]byte, 0, 4096), maxRequest)
	lines.Split(wholeLines)
	h, problem := c.greet(lines)
	enc := json.NewEncoder(c.c)
	if problem != nil {
		_ = c.write(enc, reply{Problem: problem}) // it goes away either way
		return
	}
	if c.write(enc, reply{Ready: true}) != nil {
		return
	}
	ctx, cancel := context.WithCancel(c.s.ctx)
	defer cancel()
	var frames <-chan state.Frame
	if h.Watch {
		c.id = rand.Text()[:8]
		if h.Via == "cockpit" {
			c.tell(state.ClientJoined{ID: c.id})
		}
		frames = c.s.engine.Subscribe(ctx, state.Hello{You: c.actor, Client: c.id, Keeping: c.actor.PID == os.Getpid()})
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.pass(enc, frames)
	}()
	var asked sync.WaitGroup
	c.read(ctx, lines, &asked)
	if !c.s.closing() {
		if h.Via == "cockpit" && h.Watch && !c.over.Load() {
			c.tell(state.ClientLeft{ID: c.id})
		}
		cancel() // the client is gone: nobody waits for its answers and frames
	}
	asked.Wait()
	close(c.replies)
	<-written
}

// wholeLines is bufio.ScanLines without what a dying client left unfinished: it was
// told that nothing was sent.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if atEOF && bytes.IndexByte(data, '\n') < 0 {
		return len(data), nil, nil
	}
	return bufio.ScanLines(data, atEOF)
}

// read takes requests until the client is gone, or writes what is none. It never
// waits: a rollback must not queue behind requests that hang.
func (c *conn) read(ctx context.Context, lines *bufio.Scanner, asked *sync.WaitGroup) {
	slots := make(chan struct{}, maxPending)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			c.reply(reply{Problem: &state.Problem{Code: "protocol", What: "not a request: " + state.Clean(err.Error())}})
			return
		}
		switch r.Verb {
		case state.Arm{}.Verb(), state.Fire{}.Verb(), state.Disarm{}.Verb():
			// In the order they came, and at once: the Engine never makes them wait.
			c.answer(ctx, r)
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			c.reply(reply{ID: r.ID, Problem: &state.Problem{Code: "busy", What: "nothing was done: the keeper is busy with " +
				strconv.Itoa(maxPending) + " requests of yours", Do: "Try again when one of them has been answered. R works all the same."}})
			continue
		}
		asked.Add(1)
		go func() {
			defer asked.Done()
			defer func() { <-slots }()
			c.answer(ctx, r)
		}()
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		c.reply(reply{Problem: tooLong()})
	}
}

func tooLong() *state.Problem {
	return &state.Problem{Code: "protocol", What: fmt.Sprintf("a request must not be longer than %d KiB", maxRequest>>10), Do: "Say it in fewer words."}
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
	c.reply(reply{ID: r.ID, Answer: &a, Problem: state.AsProblem(err)})
}

// reply hands an answer to the writer. A client that leaves so many unread that
// there is no room for one more is let go.
func (c *conn) reply(r reply) {
	select {
	case c.replies <- r:
	default:
		_ = c.c.Close() // reading and writing end with their own errors
	}
}

// pass writes answers and frames, answers first: R's must not wait behind a long
// history. It ends when neither comes any more, or the client does not read.
func (c *conn) pass(enc *json.Encoder, frames <-chan state.Frame) {
	replies := c.replies
	watched := frames != nil
	for replies != nil || frames != nil {
		var r reply
		var ok bool
		select {
		case r, ok = <-replies:
			if !ok {
				replies = nil
			}
		default:
			select {
			case r, ok = <-replies:
				if !ok {
					replies = nil
				}
			case f, more := <-frames:
				if ok = more; !ok {
					frames = nil
				}
				r = reply{Frame: &f}
			}
		}
		if !ok {
			if watched && frames == nil {
				c.over.Store(true)
				_ = c.c.CloseRead() // what is in the socket is still read, then the reader ends
			}
			continue
		}
		if c.write(enc, r) != nil {
			break
		}
	}
	_ = c.c.Close() // the reader ends too; the client looks for the next keeper
	for range c.replies {
		// Nobody reads them.
	}
}

func (c *conn) write(enc *json.Encoder, r reply) error {
	if err := c.c.SetWriteDeadline(time.Now().Add(c.s.patience.write)); err != nil {
		return err
	}
	return enc.Encode(r)
}

// tell journals presence; a journal that fails says so by itself.
func (c *conn) tell(f state.Fact) { _ = c.s.engine.RecordAs(c.actor, f) }

// greet reads the hello and finds out who is asking.
func (c *conn) greet(lines *bufio.Scanner) (hello, *state.Problem) {
	var h hello
	_ = c.c.SetReadDeadline(time.Now().Add(c.s.patience.hello)) // a failure shows at the read
	if !lines.Scan() {
		return h, &state.Problem{Code: "protocol", What: "no hello came"}
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
