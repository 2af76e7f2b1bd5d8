package shell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// database is what a plan remembers of the schema. Taking it back loses what was
// written since, so it happens only when somebody asks for it, after a backup that
// was looked at, and it is checked; where that fails, what is there is dumped before
// anybody tries to mend it.
type database struct {
	Hooks      hooks  `json:"hooks"`
	Migration  string `json:"migration,omitempty"` // before the rollout; "" not known
	Unknown    string `json:"unknown,omitempty"`   // why
	Compatible bool   `json:"compatible,omitempty"`
	BackupFile string `json:"backup_file,omitempty"`
	DumpFile   string `json:"dump_file,omitempty"`
}

func (a *after) rememberDatabase(ctx context.Context, d *runbook.Database, v values) (*database, error) {
	m := &database{Compatible: d.Compatible, BackupFile: v.replace(d.BackupFile)[0], DumpFile: v.replace(d.DumpFile)[0]}
	var err error
	if m.Hooks, err = remember(d.Hooks(), a.redact); err != nil {
		return nil, err
	}
	if m.Migration, err = m.Hooks["version"].answer(ctx, v, d.Version, a.redact); err != nil {
		m.Migration, m.Unknown = "", state.Clean(err.Error()) // the database may be what is broken; the rollout is not held up
	}
	return m, ctx.Err()
}

// title stands in the plan: what happens to the database, and what does not.
func (d *database) title() string {
	switch {
	case d.Migration == "":
		return "database (stays as it is)"
	case !d.Hooks.have("rollback"):
		return "database (stays as it is, at migration " + d.Migration + ")"
	}
	return "database, only with --with-database: back to migration " + d.Migration
}

// with adds what the database's hooks are told.
func (d *database) with(v values) values {
	return v.with("target_migration", d.Migration).with("backup_file", d.BackupFile).with("dump_file", d.DumpFile)
}

func (a *after) now(key string) *runbook.Command {
	if d := a.rollback.Database; d != nil {
		return d.Hooks()[key]
	}
	return nil
}

func (a *after) migration(ctx context.Context, d *database, v values) (string, error) {
	return d.Hooks["version"].answer(ctx, d.with(v), a.now("version"), a.redact)
}

// proveDatabase looks whether the old version would find the schema that it knows.
func (a *after) proveDatabase(ctx context.Context, p *proof, d *database, plan state.Plan, v values, started bool) {
	const name = "database"
	for _, key := range sortedKeys(d.Hooks) {
		if key != "version" {
			a.program(p, d.Hooks[key], "database."+key, d.with(v), a.now(key), state.Doubtful)
		}
	}
	live, err := a.migration(ctx, d, v)
	if err == nil && d.Migration == "" {
		err = errors.New("what it was before the rollout is not known: " + d.Unknown)
	}
	switch {
	case err == nil && live == d.Migration:
		p.yes(name, "migration "+live+", as before the rollout")
	case d.Compatible && err != nil:
		p.Checks = append(p.Checks, state.Finding{Name: name, OK: true, Warn: true, Text: "declared compatible; its migration version is not known: " + state.Clean(err.Error())})
	case d.Compatible:
		p.Checks = append(p.Checks, state.Finding{Name: name, OK: true, Warn: true,
			Text: fmt.Sprintf("migrated from %s to %s; the runbook declares that %s runs on it", d.Migration, live, plan.Target)})
	case err != nil:
		p.no(name, state.Doubtful, fmt.Errorf("its migration version is not known: %w", err))
	case !started:
		p.no(name, state.Doubtful, fmt.Errorf("migrated from %s to %s since the plan was made: make it again, or declare compatible", d.Migration, live))
	default:
		p.no(name, state.Doubtful, fmt.Errorf("migrated from %s to %s since the rollout began, and nothing declares that %s runs on it (compatible)", d.Migration, live, plan.Target))
	}
}

// takeBack takes the schema back: look, back up, roll back, look, check. What is left
// to do by hand comes with an error.
func (a *after) takeBack(ctx context.Context, d *database, v values, report func(state.RollbackOp)) (text string, manual []string, err error) {
	v = d.with(v)
	title := "database back to migration " + d.Migration
	text, err = reported(report, opDatabase, title, func() (string, error) {
		text, left, err := a.databaseBack(ctx, d, v, report)
		manual = left
		return text, err
	})
	return text, manual, err
}

func (a *after) databaseBack(ctx context.Context, d *database, v values, report func(state.RollbackOp)) (text string, manual []string, err error) {
	if !d.Hooks.have("rollback") {
		return "", nil, noDatabase()
	}
	if d.Migration == "" {
		return "", a.byHand(d, v, "version"), &state.Problem{Code: "database", What: "the database is as it was: which migration it should go back to is not known", Why: d.Unknown,
			Do: "Find out which migration the version before needs, and take it back by hand."}
	}
	live, err := a.migration(ctx, d, v)
	switch {
	case err != nil:
		return "", a.byHand(d, v, "version", "backup", "rollback", "check"), about("the database is as it was: its migration version is not known", err)
	case live == d.Migration:
		return "database at migration " + live + " as before the rollout: nothing was done to it", nil, nil
	}
	step := func(key, title string, do func() (string, error)) error {
		_, err := reported(report, opDatabase+"."+key, title, do)
		return err
	}
	err = step("backup", "backup of the database into "+d.BackupFile, func() (string, error) { return a.makes(ctx, d, "backup", d.BackupFile, v) })
	if err != nil {
		return "", a.byHand(d, v, "backup", "rollback", "check"), about("the database was not touched: its backup failed", err)
	}
	err = step("rollback", fmt.Sprintf("migration %s back to %s", live, d.Migration), func() (string, error) { return a.migrateBack(ctx, d, v) })
	if err == nil {
		err = step("check", "integrity of the database", func() (string, error) {
			res, err := a.run(ctx, d.Hooks["check"], v, a.now("check"))
			return "ok in " + res.Duration.Round(time.Millisecond).String(), err
		})
	}
	if err == nil {
		return fmt.Sprintf("database back at migration %s, checked, backup in %s", d.Migration, d.BackupFile), nil, nil
	}
	manual = append(manual, "# as it was before: the backup "+d.BackupFile)
	if derr := step("dump", "emergency dump of the database into "+d.DumpFile, func() (string, error) { return a.makes(ctx, d, "dump", d.DumpFile, v) }); derr != nil {
		manual = append(manual, a.byHand(d, v, "dump")...)
		err = about(state.AsProblem(err).Error()+"; and the emergency dump failed", derr)
	} else {
		manual = append(manual, "# as it is now: the emergency dump "+d.DumpFile)
	}
	return "", append(manual, a.byHand(d, v, "version", "rollback", "check")...), about("the database is not whole at migration "+d.Migration, err)
}

// about says what an error of a hook means for the database.
func about(what string, err error) error {
	p := state.AsProblem(err)
	why := p.What
	if p.Why != "" {
		why += ": " + p.Why
	}
	return &state.Problem{Code: "database", What: what, Why: why, Do: "Traffic and workload are back. Go on by hand, or roll back with the database again."}
}

func (a *after) migrateBack(ctx context.Context, d *database, v values) (string, error) {
	res, err := a.run(ctx, d.Hooks["rollback"], v, a.now("rollback"))
	if err != nil {
		return "", err
	}
	live, err := a.migration(ctx, d, v)
	if err == nil && live != d.Migration {
		err = &state.Problem{Code: "database", What: "the database is at migration " + live + " after its rollback, not at " + d.Migration}
	}
	return "in " + res.Duration.Round(time.Millisecond).String(), err
}

// clockGrain is how far a file system's clock may be behind.
const clockGrain = 2 * time.Second

// makes runs a hook that must write a file, and looks at the file: it is there, it is
// not empty, and it is not an older one.
func (a *after) makes(ctx context.Context, d *database, key, file string, v values) (string, error) {
	before, err := os.Stat(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", &state.Problem{Code: "backup", What: "cannot look at " + file, Why: state.Clean(err.Error())}
	}
	began := time.Now().Add(-clockGrain)
	if _, err := a.run(ctx, d.Hooks[key], v, a.now(key)); err != nil {
		return "", err
	}
	now, err := os.Stat(file)
	why := ""
	switch {
	case err != nil:
		why = state.Clean(err.Error())
	case !now.Mode().IsRegular():
		why = "it is no file"
	case now.Size() == 0:
		why = "it is empty"
	case now.ModTime().Before(began), before != nil && os.SameFile(before, now) && !now.ModTime().After(before.ModTime()):
		why = "it is an older one, of " + now.ModTime().Format(time.RFC3339) + ": " + key + " did not write it"
	}
	if why != "" {
		return "", &state.Problem{Code: "backup", What: "the " + key + " ended well, and " + file + " is not what it should be", Why: why,
			Do: "Look at the command: it must write the file that the runbook names."}
	}
	return fmt.Sprintf("%s, %d bytes", file, now.Size()), nil
}

// byHand are the commands of some hooks.
func (a *after) byHand(d *database, v values, keys ...string) []string {
	var out []string
	for _, key := range d.Hooks.those(keys...) {
		out = append(out, d.Hooks[key].shown(v, a.now(key), a.redact))
	}
	return out
}
