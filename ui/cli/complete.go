package cli

import (
	"github.com/spf13/cobra"

	"mayday/state"
)

// completions tells the shell what values flags can have: incidents of this host,
// environments, strategies, roles and people of the near runbook, tags of the repository.
func (a *app) completions(root *cobra.Command) {
	words := func(list ...string) func() []string { return func() []string { return list } }
	near := map[string]func() []string{
		"incident": incidentIDs,
		"severity": words("sev0", "sev1", "sev2", "sev3", "critical", "high", "medium", "low"),
		"status":   words(string(state.Investigating), string(state.Identified), string(state.Fixing), string(state.Monitoring)),
		"audience": words(audiences...),
		"color":    words("auto", "always", "never"),
		"target":   environments,
		"from":     ofRunbook(func(r nearby) []string { return append([]string{"production"}, tags(r.rb)...) }),
		"strategy": ofRunbook(func(r nearby) []string { e, _ := r.rb.Production(); return e.Strategies() }),
		"version":  ofRunbook(func(r nearby) []string { return append([]string{"previous"}, tags(r.rb)...) }),
		"role":     ofRunbook(nearby.roles),
		"to":       ofRunbook(nearby.people),
	}
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		for name, values := range near {
			if c.Flags().Lookup(name) == nil && c.PersistentFlags().Lookup(name) == nil {
				continue
			}
			// The only error is that it is registered already.
			_ = c.RegisterFlagCompletionFunc(name, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
				return values(), cobra.ShellCompDirectiveNoFileComp
			})
		}
		for _, sub := range c.Commands() {
			each(sub)
		}
	}
	each(root)
}

func incidentIDs() []string {
	list, err := all()
	if err != nil {
		return nil // a shell that completes has no place for errors
	}
	var out []string
	for _, f := range list {
		out = append(out, f.id+"\t"+state.Clean(f.in.Title))
	}
	return out
}
