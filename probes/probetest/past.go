package probetest

import (
	"context"
	"strings"
	"testing"
	"time"

	"mayday/probes"
	"mayday/state"
)

// The stretch of time that RunPast asks about, up to the subject's time.
const (
	pastLong = time.Minute
	pastStep = 5 * time.Second
)

// RunPast runs the suite on what a probes.Historian remembers; Subject.Asker is one. As
// Run otherwise: Well is a source that knows at least one value of the last minute.
func RunPast(t *testing.T, world func(t *testing.T, w World) (s Subject, ok bool)) {
	for w, check := range map[World]func(t *testing.T, s Subject, all []probes.Reading, err error){
		Well: remembered, Refuses: forgotten, Fails: forgotten, Page: forgotten, Garbage: forgotten, Escapes: forgotten,
		Empty: blank, NotANum: unknown, Two: confused,
	} {
		t.Run(string(w), func(t *testing.T) {
			leakFree(t)
			s, ok := world(t, w)
			if !ok {
				return // nothing to test, and so nothing that is skipped
			}
			s.At = s.at()
			all, err := past(t, s, 5*time.Second)
			check(t, s, all, err)
		})
	}
	impatient(t, world, func(t *testing.T, s Subject) {
		all, err := past(t, s, 50*time.Millisecond)
		forgotten(t, s, all, err)
	}, func(ctx context.Context, s Subject) error {
		_, err := s.past(ctx)
		return err
	})
}

func (s Subject) past(ctx context.Context) ([]probes.Reading, error) {
	return s.Asker.(probes.Historian).Past(ctx, s.Probe, s.at().Add(-pastLong), s.at(), pastStep)
}

// past asks once.
func past(t *testing.T, s Subject, timeout time.Duration) (all []probes.Reading, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	within(t, timeout+2*time.Second, func() { all, err = s.past(ctx) })
	return all, err
}

// remembered wants values of the time that was asked about, at its steps, oldest first.
func remembered(t *testing.T, s Subject, all []probes.Reading, err error) {
	t.Helper()
	if err != nil || len(all) == 0 || len(all) > int(pastLong/pastStep)+1 {
		t.Fatalf("%d readings, error %v; want some", len(all), err)
	}
	for i, r := range all {
		if into := s.at().Sub(r.At); into < -time.Millisecond || into > pastLong+time.Millisecond {
			t.Errorf("reading %d is of %v before the end", i, into)
		}
		if i > 0 && r.At.Sub(all[i-1].At)%pastStep != 0 || i > 0 && !r.At.After(all[i-1].At) {
			t.Errorf("reading %d is %v after the one before", i, r.At.Sub(all[i-1].At))
		}
		if x := probes.Judge(s.Probe, r, nil, r.At, r.At); !x.Verdict.Known() {
			t.Errorf("reading %d: verdict %s (%s); want a known one", i, x.Verdict, x.Text)
		}
	}
}

func forgotten(t *testing.T, _ Subject, all []probes.Reading, err error) {
	t.Helper()
	if err == nil || len(all) > 0 {
		t.Fatalf("%d readings, error %v; want an error alone", len(all), err)
	}
	clean(t, state.Sample{Text: probes.Reason(err)}, err)
}

func blank(t *testing.T, _ Subject, all []probes.Reading, err error) {
	t.Helper()
	if err != nil || len(all) > 0 {
		t.Errorf("%d readings, error %v; want neither", len(all), err)
	}
}

// unknown wants nothing that could be taken for a value.
func unknown(t *testing.T, s Subject, all []probes.Reading, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
	for _, r := range all {
		if x := probes.Judge(s.Probe, r, nil, r.At, r.At); x.Verdict != state.NoData {
			t.Errorf("verdict %s, value %v; want no-data", x.Verdict, x.Value)
		}
	}
}

func confused(t *testing.T, s Subject, all []probes.Reading, err error) {
	t.Helper()
	forgotten(t, s, all, err)
	if text := probes.Reason(err); !strings.Contains(text, "first") || !strings.Contains(text, "second") {
		t.Errorf("%q does not name both series", text)
	}
}
