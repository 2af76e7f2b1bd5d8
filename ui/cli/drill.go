package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/drill"
	"mayday/steps/drill/cluster"
	"mayday/ui"
)

// drillFlags are the flags of mayday drill.
type drillFlags struct {
	list  bool
	trend bool
	auto  string
	serve string
	speed float64
}

func (a *app) drillCommand() *cobra.Command {
	var f drillFlags
	c := &cobra.Command{
		Use:   "drill [scenario]",
		Short: "Rehearse an emergency on the built-in practice range",
		Long: "drill opens the cockpit on a practice range: real git, real traffic, real PromQL and a\n" +
			"cluster API, all on this machine, in a temporary folder, gone on exit. At the end there\n" +
			"is a score card, which is kept: --trend shows them all. With --serve DIR the range alone\n" +
			"runs until it is interrupted, and mayday, git and kubectl work against it from other terminals.",
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, list []string) error {
			name := "good"
			if len(list) == 1 {
				name = list[0]
			}
			if f.auto != "" {
				name = f.auto
			}
			return a.drill(c.Context(), name, f)
		},
	}
	fl := c.Flags()
	fl.BoolVar(&f.list, "list", false, "explain the scenarios and what the range can do")
	fl.BoolVar(&f.trend, "trend", false, "show the scores of all drills so far, and where they go")
	fl.StringVar(&f.auto, "auto", "", "let a scripted operator play this scenario, without a terminal")
	fl.StringVar(&f.serve, "serve", "", "keep the range in this folder (empty or new), for other terminals")
	fl.Float64Var(&f.speed, "speed", 1, "how many times faster than real the incident clock runs, 1 to 100")
	return c
}

func (a *app) drill(ctx context.Context, name string, f drillFlags) error {
	if f.list {
		return a.listScenarios()
	}
	if f.trend {
		return a.drillTrend()
	}
	if f.speed < 1 || f.speed > 100 {
		return usage{fmt.Errorf("--speed %g: it must lie between 1 and 100", f.speed)}
	}
	scenario, err := drill.Find(name)
	if err != nil {
		return usage{err}
	}
	var clock state.Clock
	if f.speed > 1 {
		now := a.now()
		clock = state.Clock{Origin: now.UTC(), Base: now.UTC(), Speed: f.speed}
	}
	silenceClients()
	r, err := drill.Start(ctx, drill.Options{Dir: f.serve, Scenario: scenario, Clock: clock})
	if err != nil {
		return err
	}
	switch {
	case f.auto != "":
		err = a.playByItself(ctx, r, clock)
	case f.serve != "":
		err = a.serveRange(ctx, r)
	default:
		err = a.playByHand(ctx, r)
	}
	return errors.Join(err, r.Close())
}

func (a *app) listScenarios() error {
	if a.flags.json {
		type row struct {
			Name    string `json:"name"`
			Title   string `json:"title"`
			Story   string `json:"story"`
			Teaches string `json:"teaches"`
			Exit    int    `json:"exit"` // of a drill that ends as it should
		}
		var rows []row
		for _, s := range drill.Scenarios() {
			rows = append(rows, row{s.Name, s.Title, s.Story, s.Teaches, s.ExitCode()})
		}
		return json.NewEncoder(a.out).Encode(map[string]any{"v": shape, "scenarios": rows})
	}
	for _, s := range drill.Scenarios() {
		fmt.Fprintf(a.out, "%-12s %s\n", s.Name, s.Title)
		for _, line := range wrap(s.Story+" Teaches: "+s.Teaches, 76) {
			fmt.Fprintf(a.out, "             %s\n", line)
		}
		fmt.Fprintf(a.out, "             mayday drill %s, or by itself: mayday drill --auto %s --speed 60 (exit %d)\n\n", s.Name, s.Name, s.ExitCode())
	}
	fmt.Fprintln(a.out, "The range's cluster API answers these, and 501 to anything else:")
	_, err := fmt.Fprint(a.out, cluster.VerbTable())
	return err
}

// wrap breaks text at spaces.
func wrap(text string, width int) []string {
	var out []string
	line := ""
	for _, w := range strings.Fields(text) {
		if line != "" && len(line)+1+len(w) > width {
			out = append(out, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + w)
	}
	return append(out, line)
}

// serveRange keeps the range up for other terminals.
func (a *app) serveRange(ctx context.Context, r *drill.Range) error {
	fmt.Fprintf(a.out, "The range is live: %s\n", r.Scenario.Title)
	fmt.Fprintf(a.out, "  cd %s && mayday                      the cockpit\n", r.Clone)
	fmt.Fprintf(a.out, "  KUBECONFIG=%s kubectl get pods -A\n", r.Kubeconfig)
	fmt.Fprintf(a.out, "  curl %s/health                        production\n  curl %s                               the messages sent\n", r.AppURL, r.SinkURL)
	fmt.Fprintf(a.out, "  mayday approve --as %s                play the reviewer\n", drill.Reviewer)
	fmt.Fprintln(a.out, "Ctrl-C ends it.")
	<-ctx.Done()
	return nil
}

// begin declares a drill's incident.
func (a *app) begin(r *drill.Range) (string, *runbook.Runbook, error) {
	rb, err := runbook.Load(r.Clone + "/" + runbook.FileName)
	if err != nil {
		return "", nil, err
	}
	folder, err := declare(rb, ui.DeclareForm{Title: "About one login in twelve fails", Severity: 1, Issue: r.Scenario.Issue,
		Impact: "customers without a profile cannot sign in since v1.2.3"},
		a.now())
	return folder, rb, err
}

// playByHand is the drill in the cockpit, with a colleague who reviews.
func (a *app) playByHand(ctx context.Context, r *drill.Range) error {
	folder, rb, err := a.begin(r)
	if err != nil {
		return err
	}
	s, err := a.connect(ctx, folder, rb, "cockpit", true)
	if err != nil {
		return err
	}
	side, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	// The card is on the screen as soon as the incident ends, not only after it.
	scored := func(scene *state.Scene) {
		if k := s.keeper(); k != nil {
			_ = k.engine.Record(state.DrillScored{Score: drill.Score(scene.Incident, scene.Events, r.Scenario)}) // else at the end
		}
	}
	go func() { done <- a.colleague(side, folder, rb, clockOf(rb), scored) }()
	scene, err := a.show(ctx, s)
	stop()
	err = errors.Join(err, <-done)
	var score state.Score
	if scene != nil {
		score = drill.Score(scene.Incident, scene.Events, r.Scenario)
		if known := scene.Incident.Score; known != nil {
			score = *known
		}
		if k := s.keeper(); k != nil && scene.Incident.Score == nil {
			err = errors.Join(err, k.engine.Record(state.DrillScored{Score: score}))
		}
	}
	err = errors.Join(err, s.Close(whyEnded(ctx)))
	if scene != nil {
		a.keepScore(scene.Incident, score, false)
		a.printScore(score, scene.Incident.ID)
	}
	return err
}

// reviewTime is how long the colleague of a drill reads before signing (incident time).
const reviewTime = 20 * time.Second

// colleague plays the reviewer: somebody else must sign the change off.
func (a *app) colleague(ctx context.Context, folder string, rb *runbook.Runbook, clock state.Clock, ended func(*state.Scene)) error {
	other := *a
	other.flags.as = drill.Reviewer
	s, err := other.connect(ctx, folder, rb, "auto", true)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("the colleague could not join: %w", err)
	}
	var signing sync.WaitGroup
	defer signing.Wait()
	defer func() { _ = s.Close("the drill is over") }() // it keeps nothing
	scene := state.NewScene()
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case f, ok := <-s.Frames():
			if !ok {
				return nil
			}
			if err := scene.Fold(f); err != nil {
				return err
			}
			if in := scene.Incident; ended != nil && !in.Ended.IsZero() {
				say, last := ended, &state.Scene{Incident: in.Clone(), Events: slices.Clone(scene.Events)}
				ended = nil
				signing.Go(func() { say(last) })
			}
			it := scene.Incident.Item("6.signoff")
			req := scene.Incident.Item("6.request")
			asked := it != nil && req != nil && it.Status == state.ItemOpen && req.Status.Settled() && scene.Incident.Blocker(it) == nil
			if asked && due == nil {
				due = time.After(clock.Real(reviewTime))
			}
			if !asked {
				due = nil
			}
		case <-due:
			due = nil
			// Beside the reading: the answer comes behind the frames. Refused if the driver
			// overrode it meanwhile: then there is nothing to sign.
			signing.Go(func() { _, _ = s.Do(ctx, state.Sign{Item: "6.signoff", Comment: "small, tested, does one thing"}) })
		}
	}
}

// playByItself is drill --auto.
func (a *app) playByItself(ctx context.Context, r *drill.Range, clock state.Clock) error {
	folder, rb, err := a.begin(r)
	if err != nil {
		return err
	}
	s, err := a.connect(ctx, folder, rb, "auto", true)
	if err != nil {
		return err
	}
	frames := make(chan state.Frame)
	ended := make(chan *state.Scene, 1)
	over, stop := context.WithCancel(ctx)
	go func() { ended <- a.tee(over, s.Frames(), frames) }()
	op := &drill.Operator{Scenario: r.Scenario, Team: &team{a, s, folder, rb}, Frames: frames, Clock: clock}
	outcome, err := op.Run(ctx)
	stop()
	scene := <-ended
	score := drill.Score(scene.Incident, scene.Events, r.Scenario)
	if k := s.keeper(); k != nil {
		err = errors.Join(err, k.engine.Record(state.DrillScored{Score: score}))
	}
	a.keepScore(scene.Incident, score, true)
	answers, aerr := r.Answers(context.WithoutCancel(ctx), 50)
	err = errors.Join(err, aerr, s.Close("the drill is over"))
	if a.flags.json {
		err = errors.Join(err, json.NewEncoder(a.out).Encode(map[string]any{"v": shape, "incident": scene.Incident.ID, "score": score, "points": score.Points(),
			"answers": answers, "outcome": outcome.Text, "exit": outcome.Code, "steps": stepRows(scene.Incident)}))
	} else {
		a.printScore(score, scene.Incident.ID)
		fmt.Fprintf(a.out, "production answers: %v\n%s\n", answers, outcome.Text)
	}
	if err == nil && outcome.Code != exitDone {
		return exit{outcome.Code}
	}
	return err
}

// tee prints events as they come and hands every frame on. It gives the last scene.
func (a *app) tee(ctx context.Context, in <-chan state.Frame, out chan<- state.Frame) *state.Scene {
	defer close(out)
	scene := state.NewScene()
	for {
		select {
		case <-ctx.Done():
			return scene
		case f, ok := <-in:
			if !ok {
				return scene
			}
			known := scene.Incident.Seq
			if err := scene.Fold(f); err != nil {
				fmt.Fprintln(a.err, "mayday: "+err.Error())
			}
			if f.Event != nil && f.Event.Seq > known {
				if err := a.printEvent(scene.Incident, *f.Event); err != nil {
					return scene
				}
			}
			select {
			case out <- f:
			case <-ctx.Done():
				return scene
			}
		}
	}
}

// team lets the scripted operator act in the names of others too.
type team struct {
	a      *app
	s      *session
	folder string
	rb     *runbook.Runbook
}

func (t *team) Do(ctx context.Context, i state.Intent) (state.Answer, error) { return t.s.Do(ctx, i) }

func (t *team) As(user string) drill.Doer {
	other := *t.a
	other.flags.as = user
	return &stranger{&other, t}
}

// stranger is another person of the team: a connection for each intent.
type stranger struct {
	a *app
	t *team
}

func (s *stranger) Do(ctx context.Context, i state.Intent) (state.Answer, error) {
	c, err := s.a.connect(ctx, s.t.folder, s.t.rb, "auto", false)
	if err != nil {
		return state.Answer{}, err
	}
	answer, err := c.Do(ctx, i)
	return answer, errors.Join(err, c.Close("done"))
}

func (a *app) printScore(s state.Score, id string) {
	result := "not as it should end"
	if s.Passed {
		result = "passed"
	}
	fmt.Fprintf(a.out, "\nScore card of %s (%s): %s, %s, %d of 100 points\n", id, s.Scenario, result, s.Outcome, s.Points())
	fmt.Fprintf(a.out, "  acknowledge %s · decide %s · mitigate %s · detect %s · roll back %s\n", took(s.Acknowledge), took(s.Decide), took(s.Mitigate), took(s.Detect), took(s.Rollback))
	fmt.Fprintf(a.out, "  %d of 18 steps · updates missed %d · escalations missed %d · overridden %d\n", s.Done, s.MissedUpd, s.MissedEsc, s.Overridden)
	fmt.Fprintf(a.out, "  see it again: mayday replay --incident %s; how it went so far: mayday drill --trend\n", id)
}
