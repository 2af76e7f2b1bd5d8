package steps

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// tuesday waits for a Tuesday night in November, Berlin time.
func tuesday() { time.Sleep(time.Until(time.Date(2026, 11, 24, 3, 17, 0, 0, time.UTC))) }

// called waits until the roles are given and whom a SEV1 calls at once is called.
func (r *rig) called() {
	r.t.Helper()
	r.until("called", func(in *state.Incident) bool {
		paged := slices.ContainsFunc(in.Levels, func(l state.Level) bool { return l.Role == state.Manager && !l.Paged.IsZero() })
		return paged && in.Item("2.roles").Status == state.ItemDone
	})
}

// office is a team of which one has no address.
func office(r *rig, o *Options) {
	o.Runbook.People = []runbook.Person{
		{Name: "Alice", User: "alice", Roles: []string{state.Commander}, Email: "alice@example.com"},
		{Name: "Bob", User: "bob", Roles: []string{state.Senior}, Email: "bob@example.com"},
		{Name: "Carol", User: "carol", Roles: []string{state.Manager}, Contact: "pager 1003"},
		{Name: "Dora", User: "dora", Roles: []string{state.Scribe}, Contact: "dora@example.com"},
		{Name: "Nemo", Email: "nemo@example.com"},
	}
	o.Runbook.Review = runbook.ReviewHours{Zone: "Europe/Berlin", From: "09:00", Until: "17:00"}
}

// papers is what the command line would write.
type papers struct {
	mu    sync.Mutex
	wrote []*state.Incident
	err   error
}

func (p *papers) with(_ *rig, o *Options) {
	o.Papers = func(in *state.Incident, _ []state.Event) ([]state.Evidence, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.wrote = append(p.wrote, in)
		out := []state.Evidence{{Name: PaperReport, File: "report/report.md"}, {Name: PaperArticle, File: "report/article.md"}}
		if !in.Review.At.IsZero() {
			out = append(out, state.Evidence{Name: PaperInvitation, File: "report/review.ics"})
		}
		return out, p.err
	}
}

func (r *rig) events(kind string) []state.Event {
	return slices.DeleteFunc(slices.Clone(r.Events()), func(e state.Event) bool { return e.Fact.Kind() != kind })
}

func (r *rig) messages(purpose string) []state.Message {
	return slices.DeleteFunc(r.Incident().Messages, func(m state.Message) bool { return m.Purpose != purpose })
}

func evidence(it *state.Item, name string) state.Evidence {
	for _, e := range it.Evidence {
		if e.Name == name {
			return e
		}
	}
	return state.Evidence{}
}

// The end of an incident plans the review, invites who took part and writes the papers.
func TestResolvePlansTheReview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tuesday()
		var p papers
		r := newRig(t, office, p.with)
		defer r.bye()
		r.called()
		_, err := r.Do(t.Context(), state.Actor{User: "dora", Via: "cli"}, state.AddNote{Text: "customers call"})
		r.must(err)
		r.must(r.do(state.Resolve{RootCause: "a nil profile", ActionItems: []string{"test data @bob by 2026-12-01"}, Override: "test"}))
		in := r.Incident()
		review := in.Review
		if got := review.At.Format(time.RFC3339); got != "2026-11-25T08:00:00Z" || review.Sequence != 0 || review.Note != "" {
			t.Errorf("the review is at %s, %+v", got, review)
		}
		if got := guests(review.Guests); got != "Alice <alice@example.com>, Dora <dora@example.com>" || review.Organizer.Name != "Alice" {
			t.Errorf("%s by %s", got, review.Organizer)
		}
		if list(review.Absent) != "Carol" {
			t.Errorf("not invited, for want of an address: %q", review.Absent)
		}
		it := in.Item(itemReview)
		if it.Status != state.ItemDone || evidence(it, PaperInvitation).File != "report/review.ics" || evidence(it, "when").Value != "Wed 25 Nov 2026, 09:00 to 10:00 Europe/Berlin" ||
			evidence(it, "tell them another way").Value != "Carol" {
			t.Errorf("%s %s %+v", it.Status, it.Summary, it.Evidence)
		}
		if it := in.Item(itemReport); it.Status != state.ItemDone || evidence(it, PaperArticle).File == "" || evidence(it, PaperInvitation).File != "" {
			t.Errorf("%s %+v", it.Status, it.Evidence)
		}
		if n := len(r.messages("meeting")); n != 1 {
			t.Errorf("%d words of the meeting", n)
		}
		if len(p.wrote) != 1 || p.wrote[0].Open() || p.wrote[0].RootCause == "" {
			t.Errorf("the papers are of %d incidents, ended: %v", len(p.wrote), len(p.wrote) > 0 && !p.wrote[0].Open())
		}
	})
}

// A review that step 18 has planned stays in the calendars where it is, unless the end
// comes so late that it would be too early.
func TestThePlannedReviewStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tuesday()
		var p papers
		r := newRig(t, office, p.with)
		defer r.bye()
		r.called()
		r.must(r.do(state.PostUpdate{Status: state.Monitoring, Text: "mended"})) // nobody else is called
		plan := func() state.Review {
			r.must(r.do(state.Run{Item: itemReview}))
			return r.until("planned", func(in *state.Incident) bool { return in.Item(itemReview).Status == state.ItemDone }).Review
		}
		r.must(r.do(state.PassOver{Item: state.ItemMonitor, Reason: "test"}))
		first := plan()
		if first.At.IsZero() || len(r.messages("meeting")) != 1 {
			t.Fatalf("%+v", first)
		}
		time.Sleep(time.Hour)
		if again := plan(); again.Sequence != 0 || len(r.events("review.planned")) != 1 || len(r.messages("meeting")) != 1 {
			t.Errorf("the same meeting is planned again: %+v", again)
		}
		// 09:00 is less than a day from now then.
		time.Sleep(7 * time.Hour)
		r.must(r.do(state.Resolve{RootCause: "a nil profile", Override: "test"}))
		last := r.Incident().Review
		if last.Sequence != 1 || !last.At.After(first.At) || !last.First.Equal(first.First) || last.Organizer != first.Organizer || len(r.messages("meeting")) != 2 {
			t.Errorf("%+v, then %+v", first, last)
		}
		if after := last.At.Sub(r.Incident().Ended); after < state.ReviewFrom || after > state.ReviewTo {
			t.Errorf("%s after the end", after)
		}
	})
}

// Neither hours that make no sense nor a full disk keep an incident open; both are said.
func TestAnIncidentEndsWithoutItsPapers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := papers{err: errors.New("no space left on device")}
		r := newRig(t, office, p.with, func(_ *rig, o *Options) { o.Runbook.Review.Zone = "Mars/Olympus" })
		defer r.bye()
		r.must(r.do(state.Resolve{RootCause: "a nil profile", Override: "test"}))
		in := r.Incident()
		red := strings.Join(in.Warnings, "\n")
		if in.Open() || !in.Review.At.IsZero() || !strings.Contains(red, "Mars/Olympus") || !strings.Contains(red, "no space left") || !strings.Contains(red, "mayday report") {
			t.Errorf("open %v, %+v, warned of %q", in.Open(), in.Review, red)
		}
		if it := in.Item(itemReport); it.Status != state.ItemOpen {
			t.Errorf("the report is %s", it.Status)
		}
	})
}

// What is said of the end is said in its words: the cause, and what is still to be done.
func TestTheEndIsToldWithItsActionItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, office, func(_ *rig, o *Options) { o.Messenger = echo{} })
		defer r.bye()
		r.must(r.do(state.Resolve{RootCause: "a nil profile", ActionItems: []string{"test data @bob by 2026-12-01"}, Override: "test"}))
		told := map[string]string{}
		for _, m := range r.messages("resolved") {
			told[m.Audience] = m.Text
		}
		for _, audience := range []string{"team", "stakeholders", "customers", "executives"} {
			if want := "resolved, a nil profile, test data (bob, by 2026-12-01)"; told[audience] != want {
				t.Errorf("%s read %q", audience, told[audience])
			}
		}
	})
}

// echo says what the messages could say, each audience on a channel of its own.
type echo struct{ nothing }

func (echo) Channels(audience string) []string { return []string{"#" + audience} }
func (echo) Render(_, _ string, in *state.Incident, _ time.Time, _ map[string]string) (string, error) {
	return string(in.Status) + ", " + in.RootCause + ", " + strings.Join(in.ActionItems, "; "), nil
}
