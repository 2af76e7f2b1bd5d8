package keeper

import (
	"testing"

	"mayday/state"
	"mayday/state/runbook"
)

func TestRights(t *testing.T) {
	rb := &runbook.Runbook{People: []runbook.Person{
		{Name: "Olga", User: "olga", Roles: []string{state.OnCall}},
		{Name: "Dan", User: "dan", Roles: []string{state.Driver}},
		{Name: "Sue", User: "sue", Roles: []string{state.Senior}},
		{Name: "Mel", User: "mel", Roles: []string{state.Manager}},
		{Name: "Ike", User: "ike", Roles: []string{state.Commander}},
		{Name: "Lea", User: "lea", Roles: []string{state.CommsLead}},
		{Name: "Rex", User: "rex", Roles: []string{state.Reviewer}},
		{Name: "Eve", User: "eve", Roles: []string{state.Executives}},
		{Name: "Non", User: "non"},
	}}
	everybody := []string{"olga", "dan", "sue", "mel", "ike", "lea", "rex", "eve", "non"}
	doers := []string{"olga", "dan", "sue", "mel", "ike"}
	for _, c := range []struct {
		intents []state.Intent
		may     []string
	}{
		{[]state.Intent{state.Arm{}, state.Fire{}, state.Disarm{}}, everybody},
		{[]state.Intent{state.Preview{}, state.DraftUpdate{}, state.Ack{}, state.AddNote{}, state.Sign{}, state.Remark{}}, everybody},
		{[]state.Intent{state.PostUpdate{}}, append([]string{"lea"}, doers...)},
		{[]state.Intent{state.Run{}, state.Cancel{}, state.Tick{}, state.Untick{}, state.PassOver{}, state.GoOn{}, state.Decide{}, state.SetSeverity{},
			state.SetRole{}, state.HandOver{}, state.Snooze{}, state.Escalate{}, state.NewAttempt{}, state.Resolve{}}, doers},
		{[]state.Intent{state.Arm{WithDatabase: true}, state.Fire{WithDatabase: true}}, doers},
	} {
		for _, i := range c.intents {
			may := map[string]bool{}
			for _, who := range c.may {
				may[who] = true
			}
			for _, who := range everybody {
				p := allowed(rb, who, false, i)
				if (p == nil) != may[who] {
					t.Errorf("%s by %s: %v", i.Verb(), who, p)
				}
				if p != nil && (p.Code != "role" || p.Do == "") {
					t.Errorf("%s by %s is refused as %+v", i.Verb(), who, p)
				}
			}
			if p := allowed(rb, "mallory", false, i); p == nil || p.Code != "stranger" {
				t.Errorf("%s by a stranger: %v", i.Verb(), p)
			}
			if p := allowed(rb, "whoever", true, i); p != nil {
				t.Errorf("%s by the keeper's own account: %v", i.Verb(), p)
			}
		}
	}
}
