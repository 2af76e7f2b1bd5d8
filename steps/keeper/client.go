package keeper

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"mayday/state"
)

// ErrGone means that the connection to the keeper ended before the answer came:
// whether the intent was carried out is in the journal. Test with errors.Is.
var ErrGone = errors.New("the keeper is gone")

// errUnsent is ErrGone where it is certain that the keeper did not get the intent.
var errUnsent = fmt.Errorf("%w: nothing was sent", ErrGone)

// dialTime bounds the connection and the hello (real time).
const dialTime = 2 * time.Second

// Client is one connection to a keeper. Safe for concurrent use.
type Client struct {
	c      *net.UnixConn
	frames chan state.Frame
	gone   chan struct{}
	stop   chan struct{} // closed by Close: nobody reads frames any more
	once   sync.Once

	mu      sync.Mutex
	enc     *json.Encoder
	next    uint64
	waiting map[uint64]chan reply
}

// Dial connects to a keeper's socket. via says what the client is (cockpit, cli,
// auto); watch asks for frames, which must then be read; as plays another person
// in a drill. It fails at once where nobody listens.
func Dial(ctx context.Context, socket, via, as string, watch bool) (*Client, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("connect to the keeper: %w", err)
	}
	c := &Client{c: raw.(*net.UnixConn), frames: make(chan state.Frame), gone: make(chan struct{}), stop: make(chan struct{}),
		enc: json.NewEncoder(raw), waiting: map[uint64]chan reply{}}
	in := bufio.NewReaderSize(raw, 64<<10)
	if err := c.greet(ctx, in, hello{Protocol: protocol, Via: via, Watch: watch, As: as}); err != nil {
		_ = raw.Close() // the greeting's error says it all
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err) // ctx's own, seen by the socket first
		}
		return nil, err
	}
	go c.read(in)
	return c, nil
}

func (c *Client) greet(ctx context.Context, in *bufio.Reader, h hello) error {
	deadline, _ := ctx.Deadline()
	if err := c.c.SetDeadline(deadline); err != nil {
		return fmt.Errorf("connect to the keeper: %w", err)
	}
	if err := c.enc.Encode(h); err != nil {
		return fmt.Errorf("greet the keeper: %w", err)
	}
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("greet the keeper: %w", err)
	}
	var r reply
	if err := json.Unmarshal(line, &r); err != nil {
		return fmt.Errorf("greet the keeper: %w", err)
	}
	if r.Problem != nil {
		return r.Problem
	}
	return c.c.SetDeadline(time.Time{})
}

// read sorts what comes: frames to the stream, answers to who waits.
func (c *Client) read(in *bufio.Reader) {
	defer close(c.frames)
	defer close(c.gone)
	dec := json.NewDecoder(in)
	for {
		var r reply
		if err := dec.Decode(&r); err != nil {
			return
		}
		if r.Frame != nil {
			select {
			case c.frames <- *r.Frame:
			case <-c.stop:
				return
			}
			continue
		}
		c.mu.Lock()
		w := c.waiting[r.ID]
		delete(c.waiting, r.ID)
		c.mu.Unlock()
		if w != nil {
			w <- r
		}
	}
}

// Frames gives what the keeper tells, in order; closed when the keeper is gone.
func (c *Client) Frames() <-chan state.Frame { return c.frames }

// Gone is closed when the connection ended.
func (c *Client) Gone() <-chan struct{} { return c.gone }

// Do sends an intent and waits for the answer: a *state.Problem where the Engine
// refused, ErrGone where the connection ended first.
func (c *Client) Do(ctx context.Context, intent state.Intent) (state.Answer, error) {
	data, err := json.Marshal(intent)
	if err != nil {
		return state.Answer{}, fmt.Errorf("send %s: %w", intent.Verb(), err)
	}
	if len(data) > maxRequest-envelope {
		return state.Answer{}, tooLong()
	}
	w := make(chan reply, 1)
	id, err := c.send(intent.Verb(), data, w)
	if err != nil {
		return state.Answer{}, fmt.Errorf("send %s: %w", intent.Verb(), err)
	}
	select {
	case r := <-w:
		return r.outcome()
	case <-c.gone:
		select {
		case r := <-w: // it came first
			return r.outcome()
		default:
			return state.Answer{}, ErrGone
		}
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
		return state.Answer{}, ctx.Err()
	}
}

// envelope is more than what a request puts around an intent, in bytes.
const envelope = 256

// send writes a request. A line that did not go out whole is none, and nothing may
// follow it.
func (c *Client) send(verb string, data []byte, w chan reply) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	id := c.next
	c.waiting[id] = w
	_ = c.c.SetWriteDeadline(time.Now().Add(dialTime)) // a failure shows at the write
	if err := c.enc.Encode(request{ID: id, Verb: verb, Data: data}); err != nil {
		delete(c.waiting, id)
		_ = c.c.Close() // the write's error counts
		return 0, errors.Join(errUnsent, err)
	}
	return id, nil
}

func (r reply) outcome() (state.Answer, error) {
	switch {
	case r.Problem != nil:
		return state.Answer{}, r.Problem
	case r.Answer != nil:
		return *r.Answer, nil
	}
	return state.Answer{}, nil
}

// Close ends the connection. More than once is fine.
func (c *Client) Close() error {
	c.once.Do(func() { close(c.stop) })
	return c.c.Close()
}
