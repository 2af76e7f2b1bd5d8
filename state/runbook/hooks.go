package runbook

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mayday/state"
)

// Command is a program with its arguments; never a shell line (write
// ["sh", "-c", "…"] where a shell is wanted). VERSION, PREVIOUS_VERSION,
// ENVIRONMENT and INCIDENT_ID are in its environment.
type Command struct {
	Run     []string          `yaml:"run"`
	Dir     string            `yaml:"dir"`     // default: the repository
	Timeout state.Duration    `yaml:"timeout"` // real time; default 10m
	Env     map[string]string `yaml:"env"`
}

// Script rolls out by programs of the team's own. In the file it is this mapping of
// hooks, or one command, as a list or with run: that deploys any version, so that a
// rollback is the same command with the versions exchanged:
//
//	script: [./deploy-production.sh, "{version}"]
//
// Every hook finds VERSION, PREVIOUS_VERSION (what was live before), ENVIRONMENT,
// INCIDENT_ID, MAYDAY_EPOCH and, where it is about one, BATCH in its environment. In
// its arguments {version}, {previous_version}, {environment}, {incident}, {epoch} and
// {batch} are replaced; an argument stays one argument, whatever it is replaced by.
//
// A hook may be run again after it was interrupted, and must do only what is missing.
type Script struct {
	Deploy   *Command `yaml:"deploy"`   // required
	Validate *Command `yaml:"validate"` // looks at what was deployed, before the switch; exit 0: healthy
	Switch   *Command `yaml:"switch"`   // leads the traffic to it
	Monitor  *Command `yaml:"monitor"`  // looks after the switch and after each batch; exit 0: healthy
	// NextBatch goes on after what deploy did, Batches times (default once); BATCH
	// counts from 1.
	NextBatch *Command `yaml:"next_batch"`
	Batches   int      `yaml:"batches"`
	Rollback  *Command `yaml:"rollback"` // required; brings PREVIOUS_VERSION back from wherever the rollout stands
	// ValidateRollback looks whether the old version is healthy again.
	ValidateRollback *Command `yaml:"validate_rollback"`
	Version          *Command `yaml:"version"` // prints the version that is live, and nothing else
	// Prove is a dry run of the rollback: it changes nothing, and exit 0 means that
	// the rollback would work. It runs every 30 s while a rollout is under way.
	Prove *Command       `yaml:"prove"`
	Hold  state.Duration `yaml:"hold"` // after the switch and each batch; default 1m

	// Redeploys says that Rollback is Deploy, for the version before.
	Redeploys bool `yaml:"-"`
}

// Hooks gives the hooks that are there, by their keys.
func (s *Script) Hooks() map[string]*Command {
	out := map[string]*Command{"deploy": s.Deploy, "validate": s.Validate, "switch": s.Switch, "monitor": s.Monitor, "next_batch": s.NextBatch,
		"rollback": s.Rollback, "validate_rollback": s.ValidateRollback, "version": s.Version, "prove": s.Prove}
	maps.DeleteFunc(out, func(_ string, c *Command) bool { return c == nil })
	return out
}

// Rollback sets the one key, and what a rollback does once traffic and workload are
// back: Cache, CDN and DNS, in this order. One that fails is shown in red with its
// command and stops neither the others nor the rollback, which is done: users are
// served. Those named in Required make it fail instead (exit 4).
type Rollback struct {
	Grace state.Duration `yaml:"grace"` // real time between R and the rollback; default 3s, 0s allowed
	// OnExit: "finish" (default) leaves a running rollout to the next keeper as it
	// stands; "rollback" takes it back when the last cockpit ends.
	OnExit   string   `yaml:"on_exit"`
	Cache    *Command `yaml:"cache"` // invalidates the cache; time-out 1m where none is set, as for the next two
	CDN      *Command `yaml:"cdn"`   // purges the CDN
	DNS      *Command `yaml:"dns"`   // checks that DNS names the right place
	Required []string `yaml:"required"`
	// Database is touched only by mayday rollback --with-database, never by R.
	Database *Database `yaml:"database"`
}

// Database says how a schema is taken back. The hooks have the script hooks'
// environment, and TARGET_MIGRATION ({target_migration}), BACKUP_FILE ({backup_file})
// and DUMP_FILE ({dump_file}).
type Database struct {
	Version *Command `yaml:"version"` // prints the current migration version, and nothing else
	// Compatible declares that the old version runs on the new schema: a rollback
	// that keeps the database is then ready, whatever was migrated.
	Compatible bool `yaml:"compatible"`

	Backup     *Command `yaml:"backup"`
	BackupFile string   `yaml:"backup_file"` // what Backup writes, from the repository's folder
	Rollback   *Command `yaml:"rollback"`    // takes the schema back to TARGET_MIGRATION
	Check      *Command `yaml:"check"`       // exit 0: the data is whole
	Dump       *Command `yaml:"dump"`        // the emergency dump, where Rollback or Check fails
	DumpFile   string   `yaml:"dump_file"`   // what Dump writes
}

// Undoes reports whether the runbook says how to take the schema back.
func (d *Database) Undoes() bool { return d != nil && d.Rollback != nil }

// Hooks gives the hooks that are there, by their keys.
func (d *Database) Hooks() map[string]*Command {
	out := map[string]*Command{"version": d.Version, "backup": d.Backup, "rollback": d.Rollback, "check": d.Check, "dump": d.Dump}
	maps.DeleteFunc(out, func(_ string, c *Command) bool { return c == nil })
	return out
}

// AfterHooks are the keys of what a rollback does behind the workload, in order.
var AfterHooks = []string{"cache", "cdn", "dns"}

// Hooks gives the hooks behind the workload that are there, by their keys.
func (r *Rollback) Hooks() map[string]*Command {
	out := map[string]*Command{"cache": r.Cache, "cdn": r.CDN, "dns": r.DNS}
	maps.DeleteFunc(out, func(_ string, c *Command) bool { return c == nil })
	return out
}

// What is replaced in the arguments of hooks.
var (
	scriptNames   = []string{"version", "previous_version", "environment", "incident", "epoch", "batch"}
	rollbackNames = []string{"version", "previous_version", "environment", "incident", "epoch"}
	databaseNames = append([]string{"target_migration", "backup_file", "dump_file"}, rollbackNames...)
)

func (r *Runbook) hooks() {
	for _, c := range r.Rollback.Hooks() {
		r.command(c)
	}
	if d := r.Rollback.Database; d != nil {
		for _, c := range d.Hooks() {
			r.command(c)
		}
		for _, file := range []*string{&d.BackupFile, &d.DumpFile} {
			if *file != "" && !filepath.IsAbs(*file) && !strings.HasPrefix(*file, "~/") {
				*file = filepath.Join(r.Repo.Dir, *file)
			}
			*file = r.abs(*file, "")
		}
	}
}

func (r *Runbook) script(s *Script) {
	if s == nil {
		return
	}
	for _, c := range s.Hooks() {
		r.command(c)
	}
	if s.Redeploys {
		s.Rollback = s.Deploy
	}
	if s.NextBatch != nil && s.Batches == 0 {
		s.Batches = 1
	}
}

func (b *binder) script(path string, s *Script) {
	if s.Deploy == nil {
		b.fail(path, "%s needs deploy, the command that brings the new version", path)
	}
	if s.Rollback == nil {
		b.fail(path, "%s needs rollback, the command that brings the version before back", path)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Hooks())) {
		at := path + "." + key
		if s.Redeploys {
			if at = path; key == "rollback" {
				continue
			}
		}
		b.hook(at, s.Hooks()[key], scriptNames)
	}
	b.atLeast(path+".batches", s.Batches, 0)
	if s.Batches > 0 && s.NextBatch == nil {
		b.fail(path+".batches", "%s.batches counts how often next_batch runs, and there is none", path)
	}
	b.notNegative(path+".hold", s.Hold)
}

// hook checks a command in whose arguments names are replaced.
func (b *binder) hook(path string, c *Command, names []string) {
	b.program(path, c)
	shell := len(c.Run) > 1 && slices.Contains([]string{"sh", "bash", "dash", "zsh", "ksh"}, filepath.Base(c.Run[0]))
	for i, arg := range c.Run {
		at := path + ".run"
		for _, name := range placeholders(arg) {
			switch {
			case i == 0:
				b.fail(at, "%s: {%s} is replaced in arguments, not in the program's name", path, name)
			case shell && i > 1 && strings.HasPrefix(c.Run[i-1], "-") && strings.HasSuffix(c.Run[i-1], "c") && slices.Contains(names, name):
				b.fail(at, "%s: {%s} is not pasted into a shell line; write \"$%s\", which is in its environment", path, name, variable(name))
			case !slices.Contains(names, name) && nearest(name, names) != "":
				b.fail(at, "%s: unknown {%s}%s", path, name, hint(name, names))
			}
		}
	}
}

// variable is the environment's name for what is replaced in arguments.
func variable(name string) string {
	switch name {
	case "incident":
		return "INCIDENT_ID"
	case "epoch":
		return "MAYDAY_EPOCH"
	}
	return strings.ToUpper(name)
}

// placeholders gives the names in braces.
func placeholders(arg string) []string {
	var out []string
	for {
		_, rest, ok := strings.Cut(arg, "{")
		if !ok {
			return out
		}
		name, after, ok := strings.Cut(rest, "}")
		if ok && name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == "" {
			out, arg = append(out, name), after
			continue
		}
		arg = rest
	}
}

func (r *Runbook) checkHooks(b *binder) {
	hooks := r.Rollback.Hooks()
	for _, key := range AfterHooks {
		if c := hooks[key]; c != nil {
			b.hook("rollback."+key, c, rollbackNames)
		}
	}
	for i, key := range r.Rollback.Required {
		at := "rollback.required[" + strconv.Itoa(i) + "]"
		b.word(at, "hook", key, AfterHooks)
		if slices.Contains(AfterHooks, key) && hooks[key] == nil {
			b.fail(at, "rollback.%s is required, and not there", key)
		}
	}
	if d := r.Rollback.Database; d != nil {
		b.database("rollback.database", d)
	}
}

func (b *binder) database(path string, d *Database) {
	for _, key := range slices.Sorted(maps.Keys(d.Hooks())) {
		b.hook(path+"."+key, d.Hooks()[key], databaseNames)
	}
	if d.Version == nil {
		b.fail(path, "%s needs version, the command that prints the current migration version", path)
	}
	if d.Backup == nil && d.BackupFile == "" && d.Rollback == nil && d.Check == nil && d.Dump == nil && d.DumpFile == "" {
		return // it is only watched
	}
	for _, f := range []struct {
		key  string
		have bool
		why  string
	}{{"backup", d.Backup != nil, "a schema is not taken back without one"}, {"backup_file", d.BackupFile != "", "which backup writes and mayday looks at"},
		{"rollback", d.Rollback != nil, "which takes the schema back to TARGET_MIGRATION"}, {"check", d.Check != nil, "which says whether the data is whole"},
		{"dump", d.Dump != nil, "the emergency dump, where rollback or check fails"}, {"dump_file", d.DumpFile != "", "which dump writes"}} {
		if !f.have {
			b.fail(path, "%s needs %s, %s", path, f.key, f.why)
		}
	}
}
