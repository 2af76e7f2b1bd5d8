package cli

import (
	"maps"
	"slices"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/repo"
)

// nearby is the runbook of this folder, for completion.
type nearby struct{ rb *runbook.Runbook }

func ofRunbook(values func(nearby) []string) func() []string {
	return func() []string {
		rb, err := nearRunbook()
		if err != nil {
			return nil // nothing to complete from
		}
		return values(nearby{rb})
	}
}

func (r nearby) roles() []string {
	rota := r.rb.Rota()
	for _, role := range []string{state.Driver, state.Reviewer, state.CommsLead, state.Scribe} {
		rota[role] = nil // no level, but handed over and assigned
	}
	for _, p := range r.rb.Policies() {
		for _, role := range p.AtOnce {
			rota[role] = nil
		}
		for _, l := range p.Levels {
			rota[l.Role] = nil
		}
	}
	return slices.Sorted(maps.Keys(rota))
}

func (r nearby) people() []string {
	var out []string
	for _, p := range r.rb.People {
		out = append(out, p.Name)
	}
	return out
}

// tags gives the newest versions of the repository.
func tags(rb *runbook.Runbook) []string { return repo.New(rb).Tags(20) }
