package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"mayday/state/journal"
	"mayday/state/replay"
	"mayday/ui"
)

func (a *app) replayCommand() *cobra.Command {
	return &cobra.Command{Use: "replay", Short: "See a recorded incident again, forwards and backwards", Args: args(cobra.NoArgs),
		Long: "replay shows the screens as they were: space plays, arrows go by event, [ and ] by time,\nm and M by marker. Nothing can be changed. Without --incident it takes the only\nopen one, else the one written last.",
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := a.files("replay it")
			if err != nil {
				return err
			}
			show, err := replay.Open(f.folder)
			var damage *journal.Damage
			if err != nil && !errors.As(err, &damage) {
				return fmt.Errorf("replay %s: %w", f.id, err)
			}
			if damage != nil {
				fmt.Fprintln(a.err, "mayday: the journal is damaged; replaying what comes before: "+damage.Error())
			}
			if a.flags.plain || a.flags.json {
				return a.printEvents(f.events)
			}
			_, err = ui.Run(c.Context(), ui.Options{Film: show, Now: a.now, Color: a.flags.color})
			return err
		}}
}
