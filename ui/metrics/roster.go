package metrics

import (
	"slices"

	"mayday/state"
	"mayday/ui/theme"
)

// roster is what follows from the probes alone, for as long as no event comes.
type roster struct {
	incident *state.Incident
	seq      uint64
	first    *state.Probe
	n        int

	index   map[string]int
	partner []int // of an old version's probe the new one's, of a new one's the old; -1: none
	old     []bool
	order   []int // the runbook's, an old version's probe right below the new one's
	width   int   // of the longest name
}

// of reports whether the roster still holds for an incident.
func (r *roster) of(in *state.Incident) bool {
	return r != nil && r.incident == in && r.seq == in.Seq && r.n == len(in.Probes) && (r.n == 0 || r.first == &in.Probes[0])
}

func newRoster(in *state.Incident) *roster {
	n := len(in.Probes)
	r := &roster{incident: in, seq: in.Seq, n: n, index: make(map[string]int, n), partner: make([]int, n), old: make([]bool, n), order: make([]int, 0, n)}
	for i := range in.Probes {
		r.index[in.Probes[i].Name], r.partner[i] = i, -1
		r.width = max(r.width, theme.Width(theme.Safe(in.Probes[i].Name)))
	}
	if n > 0 {
		r.first = &in.Probes[0]
	}
	for i := range in.Probes {
		if o, ok := r.index[in.Probes[i].Compare]; ok && in.Probes[i].Compare != "" && o != i {
			r.partner[i], r.partner[o], r.old[o] = o, i, true
		}
	}
	placed := make([]bool, n)
	put := func(i int) {
		if !placed[i] {
			placed[i], r.order = true, append(r.order, i)
		}
	}
	for i := range in.Probes {
		if r.old[i] && !r.old[r.partner[i]] {
			continue // it comes with its partner
		}
		put(i)
		if o := r.partner[i]; o >= 0 && !r.old[i] {
			put(o)
		}
	}
	for i := range in.Probes {
		put(i) // what is compared in a ring
	}
	r.order = slices.Clip(r.order)
	return r
}
