package theme

import (
	"fmt"
	"time"

	"mayday/state"
)

// Status gives the glyph, the word and the style of an item's or a step's status.
func (t *Theme) Status(s state.ItemStatus) (glyph, word string, st Style) {
	switch s {
	case state.ItemRunning:
		return Play, "running", t.Running
	case state.ItemDone:
		return Check, "done", t.Good
	case state.ItemFailed:
		return Cross, "failed", t.Bad
	case state.ItemCancelled:
		return Dash, "cancelled", t.Past
	case state.ItemInterrupted:
		return Pause, "interrupted", t.Warn
	case state.ItemOverridden:
		return Bang, "overridden", t.Bad
	case state.ItemNotNeeded:
		return Dash, "not needed", t.Past
	case state.ItemAsking:
		return Question, "asking", t.Warn
	}
	return Circle, "open", t.Faint
}

// Rollout gives the word and the style of a rollout's status.
func (t *Theme) Rollout(s state.RolloutStatus) (word string, st Style) {
	switch s {
	case state.RolloutRunning:
		return "running", t.Running
	case state.RolloutAsking:
		return "asking", t.Warn
	case state.RolloutInterrupted:
		return "interrupted", t.Warn
	case state.RolloutStopped:
		return "stopped", t.Warn
	case state.RolloutFailed:
		return "failed", t.Bad
	case state.RolloutDone:
		return "done", t.Good
	case state.RolloutRolledBack:
		return "rolled back", t.Warn
	}
	return "planned", t.Past
}

// Verdict gives the word and the style of a verdict. Not knowing is violet,
// whatever the reason: it is neither healthy nor ill.
func (t *Theme) Verdict(v state.Verdict) (word string, st Style) {
	switch v {
	case state.OK:
		return "ok", t.GoodStrong
	case state.Warn:
		return "warn", t.WarnStrong
	case state.Crit:
		return "crit", t.BadStrong
	case state.NoData, state.Stale, state.Error:
		return string(v), t.UnknownStrong
	}
	return "waiting", t.Faint // no reading yet
}

// Readiness gives the word and the style of the rollback plan's state.
func (t *Theme) Readiness(r state.Readiness) (word string, st Style) {
	switch r {
	case state.Ready:
		return string(r), t.GoodStrong
	case state.Doubtful:
		return string(r), t.WarnStrong
	case state.NotReady:
		return string(r), t.BadStrong
	}
	return "not proven", t.Past
}

// Clock writes a countdown or a duration: "11:18", from an hour on "1:11:18". A
// negative one is overdue and gets a minus.
func Clock(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	s := int(d / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%s%d:%02d:%02d", sign, s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%s%02d:%02d", sign, s/60, s%60)
}

// Elapsed writes how long an incident lasts: always "00:18:42".
func Elapsed(d time.Duration) string {
	s := int(max(d, 0) / time.Second)
	return fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60)
}

// Age writes how old a reading is, in at most four cells: "2s", "41s", "3m", "2h", "9d".
func Age(d time.Duration) string {
	switch {
	case d < time.Second:
		return "0s"
	case d < 100*time.Second:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 100*time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 100*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", min(d/(24*time.Hour), 999))
}

// Span writes a duration as people say it: "1.8 s", "25 s", "4 min", "2 h".
func Span(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	case d < 10*time.Second && d%time.Second != 0:
		return fmt.Sprintf("%.1f s", float64(d)/float64(time.Second))
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d h", d/time.Hour)
}

// Within writes a worst case, never less than it is: "25 s", "3 min 10 s", "12 min".
func Within(d time.Duration) string {
	s := int((d + time.Second - 1) / time.Second)
	switch {
	case s < 120:
		return fmt.Sprintf("%d s", s)
	case s < 600 && s%60 > 0:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	case s < 7200:
		return fmt.Sprintf("%d min", (s+59)/60)
	}
	return fmt.Sprintf("%d h", (s+3599)/3600)
}

// Reaction says how late gates may notice, by thresholds and by rank tests; "" where
// nothing is pulled by them. Brief is for where there is little room.
func Reaction(in *state.Incident, brief bool) string {
	by, rank := in.Reaction.D(), in.RankReaction().D()
	head, also := "worst-case reaction ", ", by rank "
	if brief {
		head, also = "reaction ", ", rank "
	}
	switch {
	case by > 0 && rank > 0:
		return head + Within(by) + also + Within(rank)
	case by > 0:
		return head + Within(by)
	case rank > 0:
		return head + "by rank " + Within(rank)
	}
	return ""
}

// Tone gives the style of a line of the timeline.
func (t *Theme) Tone(tone state.Tone) Style {
	switch tone {
	case state.ToneGood:
		return t.Good
	case state.ToneRunning:
		return t.Running
	case state.ToneWarned:
		return t.Warn
	case state.ToneBad:
		return t.Bad
	case state.ToneUnknown:
		return t.Unknown
	case state.TonePast:
		return t.Past
	}
	return t.Text
}
