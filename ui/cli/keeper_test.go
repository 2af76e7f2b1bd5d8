package cli

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"

	"mayday/state"
)

// takingOver is a session that has just become the keeper, after another one died, and has
// not yet heard a word of itself.
type takingOver struct {
	frames chan state.Frame
	told   []string
}

func (s *takingOver) Frames() <-chan state.Frame { return s.frames }

func (s *takingOver) endKeeping(string) (bool, error) {
	s.told = append(s.told, "the keeper ends")
	return true, nil
}

func (s *takingOver) Close(string) error {
	s.told = append(s.told, "the session ends")
	close(s.frames)
	return nil
}

// TestStandbyToldToEndWhileItTakesOver: it ends, though it never hears its own last words.
func TestStandbyToldToEndWhileItTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		s := &takingOver{frames: make(chan state.Frame)}
		a := &app{out: new(bytes.Buffer), err: new(bytes.Buffer)}
		ended := make(chan error, 1)
		go func() { ended <- a.stand(ctx, s) }()
		s.frames <- state.Frame{Hello: &state.Hello{Incident: "INC-1", Keeper: state.Actor{PID: 7}}}
		s.frames <- state.Frame{Lost: "the keeper is gone; looking for the next one"}
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if len(s.told) != 2 || s.told[0] != "the keeper ends" {
			t.Errorf("it ended so: %q", s.told)
		}
	})
}
