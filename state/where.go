package state

import "fmt"

// Where is the step that is under way, in words, for somebody who comes from
// outside: "step 10 Production deployment: canary 25 %".
func (in *Incident) Where() string {
	if !in.Open() {
		return string(in.Status)
	}
	if in.Rollback.Status == RollbackRunning {
		return "step 14 Rollback: running"
	}
	var at *Step
	var now *Item
	for i := range in.Steps {
		s := &in.Steps[i]
		for j := range s.Items {
			it := &s.Items[j]
			busy := it.Status == ItemAsking || it.Status == ItemRunning && it.ID != ItemMonitor && !it.Auto
			if busy && (now == nil || it.Status == ItemAsking) {
				at, now = s, it
			}
		}
	}
	if now == nil {
		if now = in.Next(); now == nil {
			return ""
		}
		for i := range in.Steps {
			for j := range in.Steps[i].Items {
				if in.Steps[i].Items[j].ID == now.ID {
					at = &in.Steps[i]
				}
			}
		}
	}
	text := now.Title
	if r := in.Current(); r != nil && r.Item == now.ID && r.Status.Active() && r.Stage() < len(r.Stages) {
		text = r.Stages[r.Stage()].Name
	}
	switch now.Status {
	case ItemAsking:
		text += ", waits for a person"
	case ItemFailed, ItemInterrupted:
		text += ", " + string(now.Status)
	}
	return fmt.Sprintf("step %d %s: %s", at.No, at.Title, text)
}

// Failing is the worst reading that was journaled last, in words; "" while none is
// worse than ok.
func (in *Incident) Failing() string {
	var worst Sample
	for _, p := range in.Probes {
		x, ok := in.Verdicts[p.Name]
		if ok && p.Role != RoleDisplay && x.Verdict.Worse() > worst.Verdict.Worse() {
			worst = x
		}
	}
	if worst.Verdict.Worse() == 0 {
		return ""
	}
	return in.reading(worst) + " is " + string(worst.Verdict)
}

// WayBack says what R would do, or did, in a few words.
func (in *Incident) WayBack() string {
	rb := &in.Rollback
	switch rb.Status {
	case RollbackArmed:
		return "armed"
	case RollbackRunning:
		return "running"
	case RollbackFailed:
		return "FAILED, a person must finish it"
	case RollbackDone:
		return "done: " + rb.Verified
	}
	r, p := in.TakesBack(), rb.Proof
	if r != nil && r.ID == UndoID {
		p = in.Release.Proof
	}
	if r == nil || p.Ready == "" {
		return "no way back is known yet"
	}
	text := "R leads to " + r.Target + ", " + string(p.Ready)
	if p.Ready != Ready && p.Why != "" {
		text += ": " + p.Why
	}
	return text
}
