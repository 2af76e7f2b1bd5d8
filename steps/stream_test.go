package steps

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// A client that reads nothing for an hour loses no event, and the newest samples.
func TestASlowClientLosesNoEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		frames := r.Subscribe(ctx, state.Hello{Client: "slow"})
		if f := <-frames; f.Hello == nil || f.Hello.Grace != 3*time.Second || f.Hello.Incident != "INC-1" {
			t.Fatalf("first came %+v", f)
		}
		for i := range 2000 {
			r.must(r.do(state.AddNote{Text: fmt.Sprint("note ", i)}))
		}
		for i := range 2 * state.SeriesLength {
			r.Observe([]state.Sample{{Probe: r.probe.Name, At: r.Now(), Value: float64(i), Verdict: state.Crit}})
		}
		for i := range 2 * pendingOutput {
			r.tellOutput(state.Output{Item: "5.focused", Text: fmt.Sprintf("line %d\n", i)})
		}
		r.bye()
		var next uint64 = 1
		var samples, lines int
		var last float64
		for f := range frames {
			switch {
			case f.Event != nil:
				if f.Event.Seq != next {
					t.Fatalf("event %d after %d", f.Event.Seq, next-1)
				}
				next++
			case f.Samples != nil:
				samples += len(f.Samples)
				last = f.Samples[len(f.Samples)-1].Value
			case f.Output != nil:
				lines++
			}
		}
		if int(next-1) != len(r.Events()) {
			t.Errorf("%d of %d events", next-1, len(r.Events()))
		}
		if samples > 2*state.SeriesLength || last != 2*state.SeriesLength-1 {
			t.Errorf("%d samples, the last is %v", samples, last)
		}
		if lines > pendingOutput+1 {
			t.Errorf("%d pieces of output waited", lines)
		}
		late := r.Subscribe(ctx, state.Hello{})
		for range late { // ends by itself: nothing more will be said
		}
	})
}

func TestOutputIsCleanBoundedAndWithoutSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, masked)
		defer r.bye()
		var file bytes.Buffer
		o := &output{e: r.Engine, item: "5.focused", run: "5.focused-1", file: closing{&file}}
		for _, part := range []string{"pass \x1b[3", "1mred\x1b[0m\npass", "word=hun", "ter2\r\n", "half a line"} {
			if _, err := o.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := o.Write(bytes.Repeat([]byte("x"), 10*maxLine)); err != nil {
			t.Fatal(err)
		}
		if len(o.rest) > maxLine {
			t.Errorf("%d bytes without a line end wait in memory", len(o.rest))
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		got := file.String()
		for _, bad := range []string{"\x1b", "\r", "hunter2"} {
			if strings.Contains(got, bad) {
				t.Errorf("%q is in the file", bad)
			}
		}
		if !strings.HasPrefix(got, "pass red\npassword=•••\nhalf a line") {
			t.Errorf("%.60q", got)
		}
	})
}

// What people and actions say reaches the journal without control sequences and secrets.
func TestTheJournalHoldsNoSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, masked)
		defer r.feed(well)()
		bad := "token \x1b[31mhunter2"
		r.act("10.channels", func(context.Context, Job) (Outcome, error) {
			return Outcome{Summary: bad, Evidence: []state.Evidence{{Name: bad, Value: bad}}, Facts: map[string]string{"x": bad}},
				&state.Problem{What: bad, Why: bad, Do: bad}
		})
		r.must(r.do(state.Run{Item: "10.channels"}))
		r.until("failed", func(in *state.Incident) bool { return in.Item("10.channels").Status == state.ItemFailed })
		r.deploy()
		for _, i := range []state.Intent{state.AddNote{Text: bad}, state.Remark{Text: bad}, state.SetRole{Role: state.Scribe, Person: bad},
			state.SetSeverity{To: 2, Reason: bad}, state.Tick{Item: "1.impact", Value: bad}, state.PassOver{Item: "1.time", Reason: bad},
			state.PostUpdate{Audience: "stakeholders", Text: bad, ETA: bad}} {
			if err := r.do(i); err != nil {
				t.Errorf("%s: %v", i.Verb(), err)
			}
		}
		r.must(r.do(state.Fire{Trigger: bad}))
		r.rolledBack()
		r.bye()
		for _, e := range r.journal.all() {
			b, err := e.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), "hunter2") || strings.Contains(string(b), `\u001b`) {
				t.Errorf("%s", b)
			}
		}
	})
}

// A keeper that takes over knows what was seen before it: the first reading of its
// own is news only where it differs.
func TestATakeOverRemembersWhatWasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newRig(t)
		stop := first.feed(well)
		synctest.Wait()
		first.bye()
		stop()
		history := first.journal.all()
		laid, name := history[len(history)-1].Time, first.probe.Name
		past := []state.Sample{{Probe: name, Got: laid.Add(-time.Hour), Value: 9, Verdict: state.Crit}, // of other probes
			{Probe: name, At: laid, Got: laid, Value: 0.1, Verdict: state.OK}, {Probe: "gone", Got: laid, Verdict: state.OK}}
		r := newRigOn(t, history, func(_ *rig, o *Options) { o.Past = past })
		defer r.bye()
		before := r.Incident().Seq
		r.Observe([]state.Sample{{Probe: name, At: r.Now(), Value: 0.2, Verdict: state.OK}})
		for _, e := range r.Events()[before:] {
			if j, ok := e.Fact.(state.ProbeJudged); ok {
				t.Errorf("news: %+v", j)
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if n := r.series[name].Len(); n != 2 || r.series["gone"] != nil {
			t.Errorf("%d readings, want the recorded one and the new one", n)
		}
	})
}
