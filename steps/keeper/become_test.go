package keeper

import (
	"context"
	"testing"

	"mayday/state"
)

// TestBecomingOutlastsTheCaller: what a keeper was made for has begun when it stands. A
// caller whose time is over by then, or who was told to end, still gets the session, and
// the keeper is not closed under what it does.
func TestBecomingOutlastsTheCaller(t *testing.T) {
	for _, watch := range []bool{false, true} {
		in := newIncident(t)
		ctx, end := context.WithCancel(t.Context())
		settings := in.settings(watch)
		settings.Become = func(ctx context.Context) (Keeping, error) {
			end()
			<-ctx.Done()
			return in.become(ctx)
		}
		s, err := Open(ctx, settings)
		if err != nil {
			t.Fatalf("watching %v: %v", watch, err)
		}
		if _, err := s.Do(t.Context(), state.AddNote{Text: "it keeps"}); err != nil || !s.Keeping() {
			t.Errorf("watching %v: keeping %v, %v", watch, s.Keeping(), err)
		}
		if err := s.Close("the test is over"); err != nil {
			t.Error(err)
		}
	}
}
