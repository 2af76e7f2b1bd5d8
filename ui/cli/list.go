package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mayday/state"
)

// row is an incident as list prints it for machines.
type row struct {
	ID       string         `json:"id"`
	Title    string         `json:"title"`
	Severity state.Severity `json:"severity"`
	Status   state.Status   `json:"status"`
	Open     bool           `json:"open"`
	Drill    string         `json:"drill,omitempty"`
	Declared time.Time      `json:"declared"`
	Steps    int            `json:"steps_done"`
	Events   uint64         `json:"events"`
	Folder   string         `json:"folder"`
	Problem  string         `json:"problem,omitempty"`
}

func rowOf(f found) row {
	r := row{ID: f.id, Title: f.in.Title, Severity: f.in.Severity, Status: f.in.Status, Open: f.in.Open(), Drill: f.in.Drill,
		Declared: f.in.Declared, Steps: f.in.Done(), Events: f.in.Seq, Folder: f.folder}
	if f.err != nil {
		r.Problem = state.Clean(f.err.Error())
	}
	return r
}

func (a *app) listCommand() *cobra.Command {
	var means bool
	c := &cobra.Command{Use: "list", Short: "List the incidents of this host", Args: args(cobra.NoArgs),
		Long: "list prints every incident that was declared on this host, the one written last first:\nits severity, status and how many of the 18 steps are done. --stats prints the mean times to\nacknowledge, mitigate and resolve instead; drills do not count.",
		RunE: func(*cobra.Command, []string) error {
			list, err := all()
			if err != nil {
				return err
			}
			if means && a.flags.json {
				return json.NewEncoder(a.out).Encode(measure(list))
			} else if means {
				_, err := fmt.Fprint(a.out, measure(list).text())
				return err
			}
			if a.flags.json {
				rows := []row{}
				for _, f := range list {
					rows = append(rows, rowOf(f))
				}
				return json.NewEncoder(a.out).Encode(map[string]any{"v": shape, "incidents": rows})
			}
			if len(list) == 0 {
				fmt.Fprintln(a.out, "no incident on this host; mayday drill rehearses one")
			}
			for _, f := range list {
				r := rowOf(f)
				kind := ""
				if r.Drill != "" {
					kind = "drill " + r.Drill
				}
				fmt.Fprintf(a.out, "%-18s %s  %-13s %2d/18  %s  %s %s%s\n", r.ID, r.Severity, r.Status, r.Steps,
					r.Declared.Format("2006-01-02 15:04"), state.Clean(r.Title), kind, problemSuffix(r.Problem))
			}
			return nil
		}}
	c.Flags().BoolVar(&means, "stats", false, "mean times over the real incidents")
	return c
}

func problemSuffix(s string) string {
	if s == "" {
		return ""
	}
	return "  PROBLEM: " + s
}

func (a *app) showCommand() *cobra.Command {
	return &cobra.Command{Use: "show", SuggestFor: []string{"status", "info"}, Short: "Show where an incident stands, step by step", Args: args(cobra.NoArgs),
		Long: "show prints the checklist with what each item found. It changes nothing. Without --incident\nit takes the only open one, else the one written last.",
		RunE: func(c *cobra.Command, _ []string) error {
			f, s, err := a.seen(c.Context())
			if err != nil {
				return err
			}
			err = a.showFound(f)
			if s != nil {
				err = errors.Join(err, s.Close("the command is done"))
			}
			return err
		}}
}

func (a *app) showFound(f found) error {
	if !a.flags.json {
		a.showText(f)
		return nil
	}
	due, _ := f.in.NextUpdate()
	return json.NewEncoder(a.out).Encode(struct {
		V int `json:"v"`
		row
		Roles     map[string]string `json:"roles"`
		Levels    []levelRow        `json:"levels"`
		UpdateDue time.Time         `json:"update_due,omitzero"`
		Untold    []letterRow       `json:"not_delivered"`
		Steps     []stepRow         `json:"steps"`
		Playbook  []phaseRow        `json:"playbook"`
		Facts     map[string]string `json:"facts"`
	}{shape, rowOf(f), f.in.Roles, levelRows(f.in), due, letterRows(f.in), stepRows(f.in), phaseRows(f.in), f.in.Facts})
}

// stepRow and itemRow are an incident's checklist for machines.
type stepRow struct {
	No     int              `json:"no"`
	Title  string           `json:"title"`
	Status state.ItemStatus `json:"status"`
	Items  []itemRow        `json:"items"`
}

type itemRow struct {
	ID       string           `json:"id"`
	Kind     state.ItemKind   `json:"kind"`
	Title    string           `json:"title"`
	Status   state.ItemStatus `json:"status"`
	By       string           `json:"by,omitempty"`
	Value    string           `json:"value,omitempty"`
	Summary  string           `json:"summary,omitempty"`
	Evidence []state.Evidence `json:"evidence,omitempty"`
	Problem  *state.Problem   `json:"problem,omitempty"`
}

func stepRows(in *state.Incident) []stepRow {
	var out []stepRow
	for i := range in.Steps {
		s := &in.Steps[i]
		r := stepRow{No: s.No, Title: s.Title, Status: s.Status()}
		r.Items = itemRows(s.Items)
		out = append(out, r)
	}
	return out
}

func itemRows(items []state.Item) []itemRow {
	var out []itemRow
	for _, it := range items {
		out = append(out, itemRow{it.ID, it.Kind, it.Title, it.Status, it.By, it.Value, it.Summary, it.Evidence, it.Problem})
	}
	return out
}

// phaseRow is a phase of the playbook for machines.
type phaseRow struct {
	Name  string    `json:"name"`
	From  time.Time `json:"from"`
	Due   time.Time `json:"due,omitzero"`
	Items []itemRow `json:"items"`
}

func phaseRows(in *state.Incident) []phaseRow {
	out := []phaseRow{}
	for _, p := range in.Playbook {
		out = append(out, phaseRow{p.Name, p.From, p.Due, itemRows(p.Items)})
	}
	return out
}

func (a *app) showText(f found) {
	in := f.in
	fmt.Fprintf(a.out, "%s  %s  %s  %s\n", in.ID, in.Severity, in.Status, state.Clean(in.Title))
	fmt.Fprintf(a.out, "declared %s by %s, attempt %d, %d of 18 steps done, rollback plan %s\n", in.Declared.Format(time.RFC3339),
		state.Clean(in.By.User), in.Attempt, in.Done(), orNone(string(in.Rollback.Proof.Ready)))
	var roles []string
	for _, role := range slices.Sorted(maps.Keys(in.Roles)) {
		roles = append(roles, role+" "+in.Roles[role])
	}
	if len(roles) > 0 {
		fmt.Fprintln(a.out, state.Clean(strings.Join(roles, ", ")))
	}
	a.showCalls(in)
	if says := in.Release.Says(); says != "" && in.OwnRollout() == nil {
		fmt.Fprintln(a.out, state.Clean(says))
	}
	for _, p := range phaseRows(in) {
		due := "from " + p.From.Format("15:04")
		if !p.Due.IsZero() {
			due += " to " + p.Due.Format("15:04")
		}
		fmt.Fprintf(a.out, " P %-26s %s\n", state.Clean(p.Name), due)
		for _, it := range p.Items {
			fmt.Fprintf(a.out, "     %-16s %-12s %s  %s\n", it.ID, it.Status, state.Clean(it.Title), state.Clean(it.Summary))
		}
	}
	for _, s := range stepRows(in) {
		fmt.Fprintf(a.out, "%2d %-26s %s\n", s.No, s.Title, s.Status)
		for _, it := range s.Items {
			extra := strings.TrimSpace(it.Summary + " " + it.Value)
			if it.Problem != nil {
				extra = it.Problem.What
			}
			fmt.Fprintf(a.out, "     %-16s %-12s %s  %s\n", it.ID, it.Status, it.Title, state.Clean(extra))
		}
	}
	if f.err != nil {
		fmt.Fprintf(a.out, "PROBLEM: %s\n", state.Clean(f.err.Error()))
	}
}

func orNone(s string) string {
	if s == "" {
		return "none yet"
	}
	return s
}
