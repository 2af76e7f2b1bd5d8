package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mayday/state"
	"mayday/state/journal"
	"mayday/steps"
	"mayday/steps/comms"
	"mayday/ui/report"
)

// paper is one file of an incident's report folder.
type paper struct {
	name string // as evidence names it
	key  string // as --show does
	file string
	text []byte // empty: there is none yet
}

// papersOf makes what remains of an incident from its journal and samples: the same each
// time, whoever asks.
func papersOf(folder string, in *state.Incident, events []state.Event) ([]paper, error) {
	r := report.NewReadings(in)
	if err := journal.EachSample(folder, r.Add); err != nil {
		return nil, err
	}
	return []paper{
		{steps.PaperReport, "report", "report.md", report.Markdown(in, events)},
		{steps.PaperArticle, "article", "article.md", report.Article(in, events, r)},
		{steps.PaperAlerts, "alerts", "alerts.md", report.Alerts(in, events, r)},
		{steps.PaperInvitation, "invitation", comms.InvitationName, comms.Invitation(in)},
	}, nil
}

// writePapers writes them into the incident's folder, each as a whole or not at all.
func writePapers(folder string, in *state.Incident, events []state.Event) ([]state.Evidence, error) {
	list, err := papersOf(folder, in, events)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(folder, journal.ReportDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("write the report: %w", err)
	}
	var out []state.Evidence
	for _, p := range list {
		if len(p.text) == 0 {
			continue
		}
		if err := replaceFile(filepath.Join(dir, p.file), p.text); err != nil {
			return nil, fmt.Errorf("write the %s: %w", p.name, err)
		}
		out = append(out, state.Evidence{Name: p.name, Value: fmt.Sprintf("%d bytes", len(p.text)), File: filepath.Join(journal.ReportDir, p.file)})
	}
	return out, nil
}

// replaceFile puts a new file in the place of an old one: whoever reads it meanwhile, or
// writes it too, sees one of them whole.
func replaceFile(name string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func (a *app) reportCommand() *cobra.Command {
	var show string
	c := &cobra.Command{Use: "report", Short: "Write the report, the knowledge-base article, the alert-tuning list and the invitation", Args: args(cobra.NoArgs),
		Long: "report makes an incident's papers from its journal and recorded samples, and writes them into\n" +
			"its report/ folder: report.md, article.md (for the knowledge base), alerts.md (what to change about\n" +
			"the alerts, each with its figure) and review.ics (the invitation, once a review is planned). Step 16\n" +
			"and incident resolve do the same. The same incident gives the same papers. Without --incident it\n" +
			"takes the only open one, else the one written last.",
		Example: "  mayday report\n  mayday report --incident INC-20261122-01 --show alerts",
		RunE: func(*cobra.Command, []string) error {
			f, err := a.files("write its report")
			if err != nil {
				return err
			}
			if show != "" {
				return errors.Join(a.showPaper(f, show), f.err)
			}
			written, err := writePapers(f.folder, f.in, f.events)
			if err != nil {
				return explain(err, f.folder)
			}
			return errors.Join(a.listPapers(f, written), f.err)
		}}
	c.Flags().StringVar(&show, "show", "", "print one instead: report, article, alerts or invitation")
	return c
}

// showPaper prints one as it is; its text was cleaned as it was made.
func (a *app) showPaper(f found, key string) error {
	list, err := papersOf(f.folder, f.in, f.events)
	if err != nil {
		return err
	}
	var keys []string
	for _, p := range list {
		keys = append(keys, p.key)
		if p.key != key {
			continue
		}
		if len(p.text) == 0 {
			return &state.Problem{What: "no review meeting is planned yet", Do: "Step 18 plans it, or the end of the incident does."}
		}
		if a.flags.json {
			return json.NewEncoder(a.out).Encode(map[string]any{"v": shape, "incident": f.id, "name": p.name, "text": string(p.text)})
		}
		_, err := a.out.Write(p.text)
		return err
	}
	return usage{&state.Problem{What: fmt.Sprintf("there is no %q to show", state.Clean(key)), Do: "Choose " + strings.Join(keys, ", ") + "."}}
}

func (a *app) listPapers(f found, written []state.Evidence) error {
	if a.flags.json {
		return json.NewEncoder(a.out).Encode(struct {
			V        int              `json:"v"`
			Incident string           `json:"incident"`
			Folder   string           `json:"folder"`
			Papers   []state.Evidence `json:"papers"`
		}{shape, f.id, f.folder, written})
	}
	for _, p := range written {
		fmt.Fprintf(a.out, "%-24s %s\n", p.Name, filepath.Join(f.folder, p.File))
	}
	return nil
}

// resolved says how an incident ended: who is told, when the review is, where the papers
// are. id is the incident's.
func (a *app) resolved(id string) error {
	f, err := a.named(id)
	if err != nil {
		return err
	}
	in := f.in
	fields := map[string]string{"done": "resolved", "incident": f.id, "folder": f.folder, "confirmed": confirmedBy(f.events)}
	lines := []string{"resolved", "confirmed by " + fields["confirmed"]}
	for _, item := range in.ActionItems {
		lines = append(lines, "to do: "+item)
	}
	if r := in.Review; !r.At.IsZero() {
		fields["review"] = r.At.Format(time.RFC3339)
		text := fmt.Sprintf("review on %s, %s after the end", r.When(), state.Duration(r.At.Sub(in.Ended).Round(time.Hour)))
		if r.Note != "" {
			fields["review_note"], text = r.Note, text+": "+r.Note
		}
		lines = append(lines, text)
		if len(r.Absent) > 0 {
			fields["not_invited"] = strings.Join(r.Absent, ", ")
			lines = append(lines, "not invited, for want of an e-mail address: "+fields["not_invited"])
		}
	}
	for _, name := range []string{"report.md", "article.md", "alerts.md", comms.InvitationName} {
		file := filepath.Join(f.folder, journal.ReportDir, name)
		if fileExists(file) {
			fields[strings.TrimSuffix(strings.TrimSuffix(name, ".md"), ".ics")+"_file"] = file
			lines = append(lines, file)
		}
	}
	return a.result(fields, state.CleanLines(strings.Join(lines, "\n")))
}

func fileExists(name string) bool { _, err := os.Stat(name); return err == nil }

// confirmedBy is what the last end was confirmed by.
func confirmedBy(events []state.Event) string {
	text := ""
	for _, e := range events {
		if f, ok := e.Fact.(state.IncidentResolved); ok {
			if text = f.Confirmed; f.Override != "" {
				text = "nobody (" + f.Confirmed + "), overridden: " + f.Override
			}
		}
	}
	return text
}

// resolve ends the open incident and says how. Whom the messages did not reach is said
// behind that.
func (a *app) resolve(ctx context.Context, want state.Resolve) error {
	f, _, err := a.theOpen()
	if err != nil {
		return err
	}
	answer, err := a.tell(ctx, want)
	if answer.Seq == 0 {
		return err
	}
	return errors.Join(a.resolved(f.id), err)
}
