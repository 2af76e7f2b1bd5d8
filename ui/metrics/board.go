package metrics

import (
	"fmt"
	"strings"
	"time"

	"mayday/state"
	"mayday/ui/theme"
)

// board is what all rows need of a scene at a time.
type board struct {
	*roster
	s       *state.Scene
	version uint64
	now     time.Time
	probes  []state.Probe
	read    []reading
	newest  bool // a new version goes out: its own probes come first
}

// reading is what a probe says now.
type reading struct {
	state.Sample
	has  bool
	word string // the verdict's word; "red before" for what was ill before the rollout
	idle string // why having nothing to say is as it should be; empty: it is not
}

// Words for verdicts that are no news: production was broken when mayday opened.
const (
	redBefore   = "red before"
	amberBefore = "amber before"
)

// board gives the board, that of last time where nothing has changed since: a key must
// not cost what a thousand probes do.
func (p *Pane) board(s *state.Scene, now time.Time) *board {
	if b := p.last; b != nil && b.s == s && b.version == s.Version && b.now.Equal(now) && b.of(s.Incident) {
		return b
	}
	b := &board{s: s, version: s.Version, now: now, probes: s.Incident.Probes}
	if p.last != nil && p.last.of(s.Incident) {
		b.roster = p.last.roster
	} else {
		b.roster = newRoster(s.Incident)
	}
	r := s.Incident.Production()
	b.newest = r != nil && r.Status.Active()
	b.read = make([]reading, len(b.probes))
	for i := range b.probes {
		b.read[i] = b.look(&b.probes[i])
	}
	p.last = b
	return b
}

func (b *board) look(p *state.Probe) reading {
	x, ok := b.s.Reading(*p, b.now)
	r := reading{Sample: x, has: ok, word: string(x.Verdict)}
	r.idle = b.idle(p, r)
	if !ok || x.Verdict != state.Crit && x.Verdict != state.Warn {
		return r
	}
	was, ok := b.s.Incident.Before[p.Name]
	if ok && was.Verdict.Worse() >= x.Verdict.Worse() && was.Verdict.Known() && p.NoWorse(was, x) {
		r.word = redBefore
		if x.Verdict == state.Warn {
			r.word = amberBefore
		}
	}
	return r
}

// idle says why a version's probe has nothing to say, where that is as it should
// be: the version does not serve, or does no longer. "" where it should.
func (b *board) idle(p *state.Probe, r reading) string {
	if !r.has || r.Verdict != state.NoData {
		return ""
	}
	in := b.s.Incident
	x := in.Production()
	switch {
	case p.Role == state.RoleNew && (x == nil || x.Started.IsZero()):
		return "not deployed yet"
	case p.Role == state.RoleNew && x.Status == state.RolloutRolledBack:
		return theme.Safe(x.Version) + " was taken back"
	case p.Role == state.RoleOld && x != nil && x.Status == state.RolloutDone:
		return theme.Safe(x.Target) + " serves no more"
	}
	return ""
}

// rank orders worst first; what was ill before comes after what is news.
func (r reading) rank() int {
	if r.word == redBefore || r.word == amberBefore {
		return 1
	}
	if r.idle != "" {
		return 0
	}
	return 2 * r.Verdict.Worse()
}

// weight orders by what matters most just now: while a version goes out its own
// probes, which the gate looks at, then the worst.
func (b *board) weight(i int) int {
	if b.newest && b.probes[i].Role == state.RoleNew {
		return 100 + b.read[i].rank()
	}
	return b.read[i].rank()
}

// age is how old the reading is.
func (b *board) age(r reading) time.Duration { return b.now.Sub(r.At) }

// named finds a probe and its reading by name.
func (b *board) named(name string) (*state.Probe, reading, bool) {
	if i, ok := b.index[name]; ok && name != "" {
		return &b.probes[i], b.read[i], true
	}
	return nil, reading{}, false
}

// pair gives the probe of the new version and of the old one that belong together
// with the i-th; old is -1 where it stands alone.
func (b *board) pair(i int) (main, old int) {
	switch {
	case b.partner[i] < 0:
		return i, -1
	case b.old[i]:
		return b.partner[i], i
	}
	return i, b.partner[i]
}

// value writes a reading for the value column. Health probes bring words of their
// own: the first is the value, the rest a note.
func value(p *state.Probe, r reading) string {
	if !r.has {
		return theme.Dash
	}
	if head, _ := worded(p, r); head != "" {
		return head
	}
	if !r.Verdict.Known() {
		return theme.Dash
	}
	return theme.Safe(state.Quantity(r.Value, p.Unit))
}

func worded(p *state.Probe, r reading) (head, rest string) {
	if counted(p) || !r.Verdict.Known() || r.Text == "" {
		return "", ""
	}
	head, rest, _ = strings.Cut(theme.Safe(r.Text), " ")
	return head, rest
}

// counted reports whether a probe's value is what matters, and its course: of the
// others, which ask whether something is well, it is what was answered.
func counted(p *state.Probe) bool {
	switch p.Kind {
	case "http", "rollout", "tcp", "tls", "grpc", "dns":
		return false
	}
	return true
}

// logged reports whether a probe counts the lines of a log.
func logged(p *state.Probe) bool { return p.Kind == "log" || p.Kind == "pod-log" }

// notes are what stands between sparkline and verdict, the weightiest first.
func (b *board) notes(i int) []string {
	p, r := &b.probes[i], b.read[i]
	var out []string
	add := func(s string) {
		if s != "" {
			out = append(out, s)
		}
	}
	switch {
	case !r.has:
	case r.idle != "":
		return []string{r.idle}
	case r.Verdict == state.Stale:
		add(theme.Span(b.age(r)) + " old")
	case !r.Verdict.Known():
		add(theme.Safe(r.Text))
	case logged(p) && r.Value == 0:
		add(theme.Safe("none with " + p.Pattern))
	case counted(p):
		add(theme.Safe(r.Text))
	default:
		_, rest := worded(p, r)
		add(rest)
	}
	if o, x, ok := b.named(p.Compare); ok && x.has && x.Verdict.Known() {
		add(suffix(o, p) + " " + theme.Safe(state.Quantity(x.Value, o.Unit)))
	} else if old, ok := r.Part(p.Old); ok && p.New != "" && old.Verdict.Known() {
		add(theme.Safe(p.Old + " " + state.Quantity(old.Value, p.Unit)))
	} else if was, ok := b.s.Incident.Before[p.Name]; ok && was.Verdict.Known() && p.Kind == "prometheus" {
		add("before " + theme.Safe(state.Quantity(was.Value, p.Unit)))
	}
	now, _, _ := b.against(i)
	add(theme.Safe(now.Text()))
	return out
}

// suffix names a probe beside its partner: "old" for "error rate old".
func suffix(p, other *state.Probe) string {
	a, b := theme.Safe(p.Name), theme.Safe(other.Name)
	if i := strings.LastIndexByte(a, ' '); i >= 0 && strings.HasPrefix(b, a[:i+1]) {
		return a[i+1:]
	}
	if p.Role == state.RoleOld {
		return "old"
	}
	return a
}

// source says how Prometheus does, as far as the probes that ask it can tell.
func (b *board) source() string {
	var n, bad, waiting, stale, mute int
	for i := range b.probes {
		if b.probes[i].Kind != "prometheus" {
			continue
		}
		n++
		switch r := b.read[i]; {
		case !r.has:
			waiting++
		case r.Verdict == state.Error:
			bad++
		case r.Verdict == state.Stale:
			stale++
		case r.Verdict == state.NoData && r.idle == "":
			mute++
		}
	}
	switch {
	case n == 0:
		return ""
	case bad == n:
		return "prometheus error"
	case bad > 0:
		return fmt.Sprintf("prometheus %d of %d in error", bad, n)
	case waiting == n:
		return "prometheus waiting"
	case stale == n:
		return "prometheus silent"
	case mute == n:
		return "prometheus has no data"
	}
	return "prometheus ok"
}
