package keeper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// Server lets clients at an Engine. Safe for concurrent use.
type Server struct {
	engine   *steps.Engine
	rb       *runbook.Runbook
	actor    state.Actor
	listen   *net.UnixListener
	patience patience
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu      sync.Mutex
	conns   map[*net.UnixConn]struct{}
	leaving bool
}

// Serve listens on the incident's socket until Close. The caller holds the
// incident's lock, so a socket that is still there belongs to a dead keeper and is
// removed.
func Serve(engine *steps.Engine, rb *runbook.Runbook, actor state.Actor, socket string) (*Server, error) {
	return serve(engine, rb, actor, socket, usual)
}

func serve(engine *steps.Engine, rb *runbook.Runbook, actor state.Actor, socket string, p patience) (*Server, error) {
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
	if err := announce(socket); err != nil {
		_ = l.Close() // likewise
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{engine: engine, rb: rb, actor: actor, listen: l, patience: p, ctx: ctx, cancel: cancel, conns: map[*net.UnixConn]struct{}{}}
	s.wg.Add(1)
	go s.accept()
	return s, nil
}

// Close gives clients a moment to read the Engine's last words, then ends every
// connection and removes the socket. Close the Engine first, so that there are last
// words and the streams have an end. It takes at most about a second.
func (s *Server) Close() error {
	err := s.listen.Close()
	unannounce(s.listen.Addr().String())
	s.mu.Lock()
	if !s.leaving {
		s.leaving = true
		for c := range s.conns {
			_ = c.CloseRead() // what was asked is still answered
		}
	}
	s.mu.Unlock()
	force := time.AfterFunc(s.patience.last, func() {
		s.cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			_ = c.Close() // reading and writing end with their own errors
		}
	})
	s.wg.Wait()
	force.Stop()
	s.cancel()
	return err
}

// closing reports whether Close has begun.
func (s *Server) closing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaving
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
		if s.leaving {
			s.mu.Unlock()
			_ = c.Close() // too late
			return
		}
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
