package health

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// Bounds of a check that is asked many times.
const (
	checkConns = 8
	checkTimes = 10_000
	// giveUp is how many requests in a row may get no answer before the rest of
	// them is not tried.
	giveUp = 5
)

// Result is what a check saw, whether it passed or not.
type Result struct {
	Asked, Passed int
	Text          string        // "10/10 passed, 200 12ms" or "46/50 passed: 500, want 2xx"
	Slowest       time.Duration // of those that were answered
	Statuses      map[int]int   // answers by status
	Evidence      []state.Evidence
}

// Check asks one of the runbook's checks as often as it says. A nil error means
// that every request passed. Otherwise it is a *state.Problem with code
// "check-failed" (answers came and were wrong) or "check-unasked" (no answers, or
// the check cannot be asked), or it wraps ctx's error; the Result holds what was
// seen until then. Up to eight requests run at once.
func Check(ctx context.Context, env runbook.Environment, c runbook.Check) (Result, error) {
	address, err := join(env.URL, c.Path)
	if err != nil {
		return Result{}, &state.Problem{
			What: fmt.Sprintf("check %q cannot be asked", c.Name), Why: err.Error(),
			Do: "Set the environment's url, or write the check's path as a whole URL", Code: "check-unasked",
		}
	}
	times := min(max(c.Times, 1), checkTimes)
	cl := client(Options{}, checkConns)
	defer cl.CloseIdleConnections()
	t := tally{check: c, req: request{strings.ToUpper(c.Method), address, c.Headers, c.Body}}
	each(ctx, min(times, checkConns), times, func(ctx context.Context) bool {
		rctx, cancel := context.WithTimeout(ctx, timeout(c))
		defer cancel()
		ans, err := send(rctx, cl, t.req)
		if ctx.Err() != nil {
			return false
		}
		return t.add(ans, err)
	})
	return t.result(ctx, times)
}

func timeout(c runbook.Check) time.Duration {
	if c.Timeout > 0 {
		return c.Timeout.D()
	}
	return 5 * time.Second
}

// join makes a check's path a whole URL.
func join(base, path string) (string, error) {
	if strings.HasPrefix(path, "http://") || strings.HasPrefix(path, "https://") {
		return path, nil
	}
	if base == "" {
		return "", errors.New("the environment has no url")
	}
	ref, err := url.Parse("/" + strings.TrimPrefix(path, "/"))
	if err != nil {
		return "", err
	}
	u, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	u = u.JoinPath(ref.Path)
	u.RawQuery = ref.RawQuery
	return u.String(), nil
}

// each calls f n times from several goroutines and waits for them; it stops early
// when f says false or ctx ends.
func each(ctx context.Context, workers, n int, f func(context.Context) bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	turns := make(chan struct{})
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range turns {
				if !f(ctx) {
					cancel()
				}
			}
		})
	}
	for range n {
		select {
		case turns <- struct{}{}:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(turns)
	wg.Wait()
}

// tally counts a check's answers.
type tally struct {
	check runbook.Check
	req   request

	mu       sync.Mutex
	asked    int
	passed   int
	row      int // unanswered in a row
	last     answer
	slowest  time.Duration
	statuses map[int]int
	wrong    string // the first wrong answer, in words
	err      error  // the first missing answer
}

// add books one answer and says whether to go on.
func (t *tally) add(ans answer, err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked++
	wrong := lacks(ans.body, t.check.Contains, t.check.JSON)
	if err == nil && wrong != "" && ans.cut && expected(ans.status, t.check.Status) {
		err = beyond(t.req.line())
	}
	if err != nil {
		if t.err == nil {
			t.err = err
		}
		t.row++
		return t.row < giveUp
	}
	t.row, t.last = 0, ans
	t.slowest = max(t.slowest, ans.took)
	if t.statuses == nil {
		t.statuses = map[int]int{}
	}
	t.statuses[ans.status]++
	switch {
	case !expected(ans.status, t.check.Status):
		wrong = fmt.Sprintf("%d, want %s", ans.status, wanted(t.check.Status))
	case wrong != "":
		wrong = fmt.Sprintf("%d, but %s", ans.status, wrong)
	default:
		t.passed++
	}
	if wrong != "" && t.wrong == "" {
		t.wrong = wrong
		if start := state.Clean(string(ans.body[:min(len(ans.body), 200)])); start != "" {
			t.wrong += " (" + start + ")"
		}
	}
	return true
}

func (t *tally) result(ctx context.Context, times int) (Result, error) {
	r := Result{Asked: t.asked, Passed: t.passed, Slowest: t.slowest, Statuses: t.statuses}
	r.Text = fmt.Sprintf("%d/%d passed", t.passed, times)
	if times == 1 && t.passed == 1 {
		r.Text = t.last.String()
	} else if t.slowest > 0 {
		r.Text += ", slowest " + round(t.slowest)
	}
	why := t.wrong
	if why == "" && t.err != nil {
		why = state.Clean(t.err.Error())
	}
	if why != "" {
		r.Text += ": " + why
	}
	name := t.check.Name
	if name == "" {
		name = t.req.line()
	}
	r.Evidence = []state.Evidence{{Name: name, Value: t.req.line() + ": " + r.Text}}
	switch {
	case t.passed == times:
		return r, nil
	case ctx.Err() != nil:
		return r, fmt.Errorf("check %q: %w", name, ctx.Err())
	case t.wrong == "":
		p := &state.Problem{What: fmt.Sprintf("check %q could not be asked", name), Why: why, Code: "check-unasked"}
		var cause *state.Problem
		if errors.As(t.err, &cause) {
			p.Why, p.Do = cause.What+": "+cause.Why, cause.Do
		}
		return r, p
	}
	return r, &state.Problem{What: fmt.Sprintf("check %q failed", name), Why: r.Text, Code: "check-failed"}
}
