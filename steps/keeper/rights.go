package keeper

import (
	"mayday/state"
	"mayday/state/runbook"
)

// allowed says whether an account may send an intent. The keeper's own account
// may do everything; people of the runbook what their roles are for; strangers
// nothing. Taking production back needs no role: whoever was let in may press R. The
// database is another matter: data is lost.
func allowed(rb *runbook.Runbook, user string, own bool, intent state.Intent) *state.Problem {
	if own {
		return nil
	}
	p, known := rb.Person(user)
	if !known {
		return &state.Problem{Code: "stranger", What: "you are not in this incident", Why: "the runbook names nobody with the account " + user,
			Do: "Ask whoever keeps the incident to add you under people in the runbook."}
	}
	switch v := intent.(type) {
	case state.Preview, state.DraftUpdate, state.Recall, state.Ack, state.AddNote, state.Sign, state.NoteWatch, state.Remark, state.Disarm:
		return nil
	case state.Arm:
		if !v.WithDatabase {
			return nil
		}
	case state.Fire:
		if !v.WithDatabase {
			return nil
		}
	}
	for _, role := range p.Roles {
		switch role {
		case state.OnCall, state.Driver, state.Senior, state.Manager, state.Commander:
			return nil
		}
	}
	_, posts := intent.(state.PostUpdate)
	_, corrects := intent.(state.Correct)
	if posts || corrects {
		for _, role := range p.Roles {
			if role == state.CommsLead {
				return nil
			}
		}
	}
	return &state.Problem{Code: "role", What: "your role does not do this", Why: p.Name + " may approve, acknowledge, note and roll back",
		Do: "Ask the driver, or have your role changed in the runbook."}
}
