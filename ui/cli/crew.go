package cli

import (
	"cmp"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mayday/state"
)

func (a *app) escalateCommand() *cobra.Command {
	var role string
	var dry bool
	c := &cobra.Command{Use: "escalate", SuggestFor: []string{"page", "call"}, Short: "Page the next level now", Args: args(cobra.NoArgs),
		Long:    "escalate pages the next level of the policy before it is due, or with --role any role, again too.",
		Example: "  mayday incident escalate\n  mayday incident escalate --role executives",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.act(c.Context(), state.Escalate{Role: role}, dry, "paged "+cmp.Or(role, "the next level"))
		}}
	c.Flags().BoolVar(&dry, "dry-run", false, dryHelp)
	c.Flags().StringVar(&role, "role", "", "the level, such as \"incident commander\" (default: the next)")
	return c
}

func (a *app) snoozeCommand() *cobra.Command {
	want := state.Snooze{For: state.Duration(10 * time.Minute)}
	var dry bool
	c := &cobra.Command{Use: "snooze", Short: "Put a level's next page off", Args: args(cobra.NoArgs),
		Example: "  mayday incident snooze --role \"senior engineer\" --for \"20 minutes\"",
		RunE: func(c *cobra.Command, _ []string) error {
			if want.Role == "" {
				return usage{&state.Problem{What: "say which level: --role", Do: "mayday show lists who is called."}}
			}
			return a.act(c.Context(), want, dry, want.Role+" snoozed for "+want.For.String())
		}}
	c.Flags().BoolVar(&dry, "dry-run", false, dryHelp)
	c.Flags().StringVar(&want.Role, "role", "", "the level, such as \"senior engineer\"")
	c.Flags().Var(span{&want.For}, "for", "how long, at most a day")
	return c
}

func (a *app) handOverCommand() *cobra.Command {
	var want state.HandOver
	var dry bool
	c := &cobra.Command{Use: "handover", Short: "Give a role to another person, who is paged for it", Args: args(cobra.NoArgs),
		Long: "handover gives a role from whoever has it to another person of the runbook and pages them:\n" +
			"whoever hands over has the page until they acknowledge it.",
		Example: "  mayday incident handover --role \"incident commander\" --to Carol --why \"my shift ends\"",
		RunE: func(c *cobra.Command, _ []string) error {
			if want.Role == "" || want.To == "" {
				return usage{&state.Problem{What: "say which role goes to whom", Do: "mayday incident handover --role driver --to Carol"}}
			}
			return a.act(c.Context(), want, dry, want.To+" is "+want.Role)
		}}
	f := c.Flags()
	f.BoolVar(&dry, "dry-run", false, dryHelp)
	f.StringVar(&want.Role, "role", "", "the role, such as \"incident commander\" or driver")
	f.StringVar(&want.To, "to", "", "the person, as the runbook names them")
	f.StringVar(&want.Why, "why", "", "why, for the timeline")
	return c
}

func (a *app) assignCommand() *cobra.Command {
	var want state.SetRole
	var dry bool
	c := &cobra.Command{Use: "assign", Short: "Give a role to a person, without a page", Args: args(cobra.NoArgs),
		Example: "  mayday incident assign --role scribe --to Dora",
		RunE: func(c *cobra.Command, _ []string) error {
			if want.Role == "" || want.Person == "" {
				return usage{&state.Problem{What: "say which role goes to whom", Do: "mayday incident assign --role scribe --to Dora"}}
			}
			return a.act(c.Context(), want, dry, want.Person+" is "+want.Role)
		}}
	c.Flags().BoolVar(&dry, "dry-run", false, dryHelp)
	c.Flags().StringVar(&want.Role, "role", "", "the role: incident commander, driver, reviewer, communications lead, scribe")
	c.Flags().StringVar(&want.Person, "to", "", "the person")
	return c
}

func (a *app) timelineCommand() *cobra.Command {
	var follow, every bool
	c := &cobra.Command{Use: "timeline", SuggestFor: []string{"log", "history"}, Short: "Print what happened, as a person reads it", Args: args(cobra.NoArgs),
		Long: "timeline prints the events that count, without the machinery's own (--all prints those too).\nWithout --incident it takes the only open one, else the one written last.",
		RunE: func(c *cobra.Command, _ []string) error {
			in := new(state.Incident)
			line := func(e state.Event) error {
				if err := in.Apply(e); err != nil {
					return err
				}
				if !every && in.Say(e).Tone == state.TonePast {
					return nil
				}
				return a.printEvent(in, e)
			}
			return a.tellEvents(c.Context(), follow, line)
		}}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is written from now on")
	c.Flags().BoolVar(&every, "all", false, "every event")
	return c
}

// stats are the means over the real incidents of this host. A mean counts those that
// got so far; drills are rehearsals, and count in nothing.
type stats struct {
	V         int     `json:"v"`
	Incidents int     `json:"incidents"`
	Acked     int     `json:"acknowledged"`
	Mitigated int     `json:"mitigated"`
	Resolved  int     `json:"resolved"`
	MTTA      float64 `json:"mtta"` // seconds from the declaration to the first ack
	MTTM      float64 `json:"mttm"` // to the mitigation
	MTTR      float64 `json:"mttr"` // to the end
}

// measure makes the means. The times come from the events: an ack may have lapsed
// since, and a mitigation been taken back; the last one counts.
func measure(list []found) stats {
	s := stats{V: shape}
	var acks, mitigations, ends time.Duration
	for _, f := range list {
		if f.in.ID == "" || f.in.Drill != "" {
			continue
		}
		s.Incidents++
		if at := firstAck(f.events); !at.IsZero() {
			s.Acked++
			acks += at.Sub(f.in.Declared)
		}
		if at := f.in.Mitigated; !at.IsZero() {
			s.Mitigated++
			mitigations += at.Sub(f.in.Declared)
		}
		if f.in.Status == state.Resolved {
			s.Resolved++
			ends += f.in.Ended.Sub(f.in.Declared)
		}
	}
	mean := func(sum time.Duration, n int) float64 {
		if n == 0 {
			return 0
		}
		return (sum / time.Duration(n)).Seconds()
	}
	s.MTTA, s.MTTM, s.MTTR = mean(acks, s.Acked), mean(mitigations, s.Mitigated), mean(ends, s.Resolved)
	return s
}

func firstAck(events []state.Event) time.Time {
	for _, e := range events {
		if _, ok := e.Fact.(state.LevelAcked); ok {
			return e.Time
		}
	}
	return time.Time{}
}

func (s stats) text() string {
	line := func(name, what string, seconds float64, n int) string {
		if n == 0 {
			return fmt.Sprintf("%s  none %s yet\n", name, what)
		}
		d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
		return fmt.Sprintf("%s  %s to be %s, over %d of %d\n", name, state.Duration(d), what, n, s.Incidents)
	}
	return line("MTTA", "acknowledged", s.MTTA, s.Acked) + line("MTTM", "mitigated", s.MTTM, s.Mitigated) + line("MTTR", "resolved", s.MTTR, s.Resolved)
}
