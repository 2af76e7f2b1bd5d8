package ui

import (
	"strings"
	"testing"

	"mayday/state"
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
		r.shows("NOT DELIVERED, given up: call Carol +49 30 1")
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
