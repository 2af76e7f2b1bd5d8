package state

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Tone says how a line is meant, so that screen, plain stream and report colour
// and word it alike.
type Tone string

// The tones. Plain lines carry no judgement.
const (
	TonePlain   Tone = ""
	ToneGood    Tone = "good"    // done, passed, healthy
	ToneRunning Tone = "running" // under way
	ToneWarned  Tone = "warned"  // soon, or amber
	ToneBad     Tone = "bad"     // broken or destructive
	ToneUnknown Tone = "unknown" // not knowing: no data, stale, interrupted, asking
	TonePast    Tone = "past"    // housekeeping, secondary
)

// Saying is an event as a line of the timeline.
type Saying struct {
	Tag  string // one short word for the column: "gate", "rollout", "page"
	Text string // one line, cleaned
	Tone Tone
	Mark bool // a marker to jump to in a replay
}

// Say puts an event into words. It looks titles and names up in the incident,
// which may be the fold at any point at or after the event.
func (in *Incident) Say(e Event) Saying {
	if e.Fact == nil {
		return Saying{Tag: "unknown", Text: "an event without a fact", Tone: ToneUnknown}
	}
	s := e.Fact.say(in, e)
	s.Text = Clean(s.Text)
	return s
}

// Line is Say's tag and text without an incident: items are named by their ID and
// stages by their number.
func Line(e Event) (tag, text string) {
	s := new(Incident).Say(e)
	return s.Tag, s.Text
}

// Mark reports whether the event is a marker to jump to in a replay.
func Mark(e Event) bool { return new(Incident).Say(e).Mark }

// Weight gives the event's tone.
func Weight(e Event) Tone { return new(Incident).Say(e).Tone }

// ToneOf gives the tone of a verdict.
func ToneOf(v Verdict) Tone {
	switch v {
	case OK:
		return ToneGood
	case Warn:
		return ToneWarned
	case Crit:
		return ToneBad
	}
	return ToneUnknown
}

// ToneOfItem gives the tone of an item's, a step's or a stage's status.
func ToneOfItem(s ItemStatus) Tone {
	switch s {
	case ItemDone:
		return ToneGood
	case ItemRunning:
		return ToneRunning
	case ItemFailed, ItemOverridden:
		return ToneBad
	case ItemCancelled:
		return ToneWarned
	case ItemInterrupted, ItemAsking:
		return ToneUnknown
	case ItemNotNeeded:
		return TonePast
	}
	return TonePlain
}

// phrase adds the parts that are not empty to the head: "head: part, part".
func phrase(head string, parts ...string) string {
	var have []string
	for _, p := range parts {
		if p != "" {
			have = append(have, p)
		}
	}
	if len(have) == 0 {
		return head
	}
	return head + ": " + strings.Join(have, ", ")
}

// title names an item as the checklist does.
func (in *Incident) title(item string) string {
	if it := in.Item(item); it != nil && it.Title != "" {
		return it.Title
	}
	return item
}

// stage names a stage as the rollout's plan does.
func (in *Incident) stage(rollout string, i int) string {
	if r := in.Rollout(rollout); r != nil && i >= 0 && i < len(r.Stages) && r.Stages[i].Name != "" {
		return r.Stages[i].Name
	}
	return "stage " + strconv.Itoa(i+1)
}

// rollout names a rollout by what it brings where.
func (in *Incident) rollout(id string) string {
	if r := in.Rollout(id); r != nil {
		return r.Version + " to " + r.Environment
	}
	return "rollout " + id
}

func why(p *Problem) string {
	if p == nil {
		return ""
	}
	return phrase(p.What, p.Why)
}

func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}

// short cuts a commit or a hash to what people compare.
func short(hash string) string {
	if len(hash) > 7 {
		return hash[:7]
	}
	return hash
}

// clock writes a time of day as the timeline does.
func clock(t time.Time) string { return t.UTC().Format("15:04:05") }

// reading writes a sample: "error rate new 8.1 % (should be < 1 %)".
func (in *Incident) reading(x Sample) string {
	text := x.Probe
	p, _ := in.Probe(x.Probe)
	switch {
	case x.Verdict.Known() && x.Text != "" && p.Kind != "" && p.Kind != "prometheus":
		text += " " + x.Text // "6/6 ready" says more than its number
	case x.Verdict.Known():
		text += " " + Quantity(x.Value, p.Unit)
		if limit := p.Text(); limit != "" && x.Verdict != OK {
			text += fmt.Sprintf(" (should be %s)", limit)
		}
	case x.Text != "":
		text += " (" + x.Text + ")"
	}
	return text
}
