package probes

import "context"

// past is what a source remembers of a task's probe.
type past struct {
	t   *task
	all []Reading
}

// lookBack asks for the past of probes that have just become known, a few at a time: so
// that what they show, and what a rollout is compared with, begins before mayday did.
// What goes wrong is not told: the questions about now say it.
func (s *scheduler) lookBack(ctx context.Context) {
	for s.looking < pastAsks && len(s.lookers) > 0 && len(s.old) < pastAsks*pastReadings {
		t := s.lookers[0]
		s.lookers = s.lookers[1:]
		h, ok := s.h.opt.Askers[t.p.Kind].(Historian)
		if !ok {
			continue
		}
		s.looking++
		p, every := t.p, t.p.Every.D()
		to := t.at.Add(-every)
		s.asks.Go(func() {
			out := past{t: t}
			defer func() {
				_ = recover() // as for a question, and as quiet
				s.pasts <- out
			}()
			pctx, cancel := context.WithTimeout(ctx, pastTime)
			defer cancel()
			all, err := h.Past(pctx, p, to.Add(-(pastReadings-1)*every), to, every)
			if err == nil {
				out.all = all[max(len(all)-pastReadings, 0):]
			}
		})
	}
}

// fill queues a past's samples, if its probe is still asked.
func (s *scheduler) fill(p past) {
	s.looking--
	if s.tasks[p.t.p.Name] != p.t {
		return
	}
	got := s.incident()
	for _, r := range p.all {
		// Judged as it would have been then: it is not stale for being of the past.
		if x := Judge(p.t.p, r, nil, r.At, r.At); x.Verdict.Known() {
			x.Got, x.Past = got, true
			s.old = append(s.old, x)
		}
	}
}
