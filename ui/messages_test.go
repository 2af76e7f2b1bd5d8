package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"mayday/state"
	"mayday/ui/theme"
	"mayday/ui/uitest"
)

func TestAMessageThatDidNotArriveIsRedAndNamesWhomToCall(t *testing.T) {
	with(t, uitest.Canary(), func(r *rig) {
		if strings.Contains(strip(r.m.frame()), "did not arrive") {
			t.Fatal("the story begins with a dead letter")
		}
		r.tell(state.Mayday, state.MessageQueued{ID: "m900-0", Channel: "pager", Audience: "pages", Purpose: "page", Text: "PAGE\nyou are needed"})
		r.tell(state.Mayday, state.MessageTried{ID: "m900-0", Tries: 20, Err: "connection refused", Dead: true, Call: "Carol +49 30 1"})
		r.shows("page to pager did not arrive: call Carol +49 30 1")
		r.keys("i")
		r.shows("call Carol +49 30 1: ")
		r.shows("NOT DELIVERED, given up")
		r.shows("connection refused")
		r.keys("enter", "enter")
		r.shows("Message, as it will be sent")
		r.keys("tab", "enter")
		r.want("message.correct")
		if got := r.desk.last(); got != (state.Correct{ID: "m900-0", Text: "PAGE\nyou are needed"}) {
			t.Errorf("%+v", got)
		}
		// It is sent again, and arrives.
		r.tell("bob", state.MessageCorrected{ID: "m900-0", Text: "PAGE\nyou are needed"})
		if strings.Contains(strip(r.m.frame()), "did not arrive") {
			t.Error("still red, though it is on its way")
		}
	})
}

func TestALaterMessageMakesALostOneGood(t *testing.T) {
	in := &state.Incident{Messages: []state.Message{{ID: "m1", Channel: "ops", Purpose: "update", Dead: true}, {ID: "m2", Channel: "ops", Purpose: "page", Dead: true, Call: "Bob"},
		{ID: "m3", Channel: "team", Purpose: "update", Dead: true}}}
	if got := unheard(in); got != "update to team did not arrive (and 2 more: i)" {
		t.Errorf("%q", got)
	}
	in.Messages = append(in.Messages, state.Message{ID: "m4", Channel: "ops", Purpose: "update", Sent: uitest.Now}, state.Message{ID: "m5", Channel: "team", Purpose: "update", Sent: uitest.Now})
	if got := unheard(in); got != "page to ops did not arrive: call Bob" {
		t.Errorf("%q", got)
	}
}

// Every message can be read, whatever became of it; one that was delivered by a service
// that cannot change it offers nothing else.
func TestMessagesAreRead(t *testing.T) {
	with(t, uitest.Canary(), func(r *rig) {
		r.keys("i")
		r.shows("03:14:00 update to slack (stakeholders)")
		r.shows("delivered 03:14:01, at try 2")
		r.keys("enter")
		r.shows("A fix is being rolled out.")
		if strings.Contains(strip(r.m.frame()), "correct it") {
			t.Error("it offers to correct what cannot be")
		}
		r.keys("esc")
		r.want("")
	})
}

func TestMessagesGolden(t *testing.T) {
	for _, s := range sizes {
		story := uitest.Canary()
		for i, x := range []state.MessageQueued{{ID: "a", Channel: "pager", Audience: "pages", Purpose: "page", Text: "PAGE SEV1"}, {ID: "b", Channel: "status", Audience: "customers", Purpose: "update", Text: "We are looking into it."},
			{ID: "c", Channel: "board", Audience: "executives", Purpose: "update", Text: "SEV1"}} {
			story.Tell(story.Last()+time.Second, state.Mayday, x)
			story.Tell(story.Last(), state.Mayday, []state.MessageTried{{ID: "a", Tries: 20, Dead: true, Err: "dial tcp 192.0.2.7:443: connection refused", Call: "alice +49 30 1234"}, {ID: "b", Tries: 3, Err: "429 Too Many Requests"},
				{ID: "c", OK: true, Tries: 1, Ref: "x1"}}[i])
		}
		m := still(story, s.w, s.h)
		m.restyle(theme.New(theme.Options{NoColor: true}))
		m.Update(press("i"))
		uitest.Golden(t, fmt.Sprintf("messages-%dx%d-plain.golden", s.w, s.h), m.frame())
	}
}

// A page whose channel fails is red long before it is given up, with all that wait
// behind it, and how a message fares is seen whatever the person is called.
func TestAPageThatDoesNotArriveIsRedBeforeItIsGivenUp(t *testing.T) {
	with(t, early(), func(r *rig) {
		long := "Bartholomäus Wolfeschlegelsteinhausenbergerdorff 王小明"
		r.tell(state.Mayday, state.MessageQueued{ID: "p1", Channel: "pager", Audience: "pages", Purpose: "page", Who: long, Text: "PAGE"})
		r.tell(state.Mayday, state.MessageQueued{ID: "p2", Channel: "pager", Audience: "pages", Purpose: "page", Who: "root", Text: "PAGE"})
		r.tell(state.Mayday, state.MessageQueued{ID: "u1", Channel: "pager", Audience: "team", Purpose: "update", Text: "We look into it"})
		r.tell(state.Mayday, state.MessageTried{ID: "p1", Tries: stuckAfter - 1, Err: "connection refused"})
		if s := strip(r.m.frame()); strings.Contains(s, "not arrive") {
			t.Errorf("red after a hiccup:\n%s", s)
		}
		r.tell(state.Mayday, state.MessageTried{ID: "p1", Tries: stuckAfter, Err: "connection refused"})
		r.shows("! 2 pages do not arrive, pager failed 4 times (i says why): call " + long + ", root")
		r.send(tea.WindowSizeMsg{Width: 80, Height: 24})
		r.keys("i")
		r.shows("waits after try 4")
		r.shows("call root: page to pager does not arrive, it is tried again")
		r.keys("esc")
		for _, id := range []string{"p1", "p2"} {
			r.tell(state.Mayday, state.MessageTried{ID: id, Tries: stuckAfter + 1, OK: true})
		}
		if s := strip(r.m.frame()); strings.Contains(s, "not arrive") {
			t.Errorf("still red, though all arrived:\n%s", s)
		}
	})
}
