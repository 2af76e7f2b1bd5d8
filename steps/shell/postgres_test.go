package shell

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// postgres is a PostgreSQL server of a test's own, on a Unix socket.
type postgres struct {
	bin, dir string
}

// newPostgres starts one with what the machine has installed.
func newPostgres(t *testing.T) *postgres {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if path, err := exec.LookPath("initdb"); err == nil && len(found) == 0 {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			found = append(found, path)
		}
	}
	if len(found) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("PostgreSQL is not installed: apt-get install postgresql")
		}
		t.Skip("PostgreSQL is not installed (apt-get install postgresql)")
	}
	dir, err := os.MkdirTemp("/tmp", "mayday-pg-") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &postgres{filepath.Dir(found[len(found)-1]), dir}
	as := account(t, dir)
	data := filepath.Join(dir, "data")
	initdb := exec.CommandContext(t.Context(), filepath.Join(p.bin, "initdb"), "-D", data, "-A", "trust", "-U", "mayday", "--no-sync", "-E", "UTF8", "--locale=C")
	initdb.Dir, initdb.SysProcAttr = dir, as
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command(filepath.Join(p.bin, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "unix_socket_permissions=0777")
	server.Dir, server.SysProcAttr, server.Stdout, server.Stderr = dir, as, log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGQUIT) // at once
		server.Wait()
		log.Close()
	})
	for give := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		err := exec.CommandContext(t.Context(), filepath.Join(p.bin, "pg_isready"), "-q", "-h", dir, "-U", "mayday").Run()
		if err == nil {
			break
		}
		if exit := new(exec.ExitError); !errors.As(err, &exit) || time.Now().After(give) {
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("the server does not come up: %v\n%s", err, said)
		}
	}
	p.sql(t, "postgres", "create database shop")
	p.sql(t, "postgres", "create database second")
	return p
}

// account is who the server runs as: it refuses to be root.
func account(t *testing.T, dir string) *syscall.SysProcAttr {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Fatal(err)
	}
	uid, uerr := strconv.Atoi(u.Uid)
	gid, gerr := strconv.Atoi(u.Gid)
	if err := errors.Join(uerr, gerr, os.Chown(dir, uid, gid)); err != nil {
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// sql runs statements and gives what they print.
func (p *postgres) sql(t testing.TB, database, text string) string {
	t.Helper()
	return p.run(t, "psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text)
}

func (p *postgres) run(t testing.TB, tool string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(p.bin, tool), args...)
	cmd.Env = append(os.Environ(), "PGHOST="+p.dir, "PGUSER=mayday")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", tool, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// migrated is a farm whose deployment migrates a real database from 41 to 42: users
// get a nickname, which takes their old short name's place.
func migrated(t *testing.T, p *postgres) (*farm, runbook.Rollback) {
	t.Helper()
	p.sql(t, "postgres", "drop database shop")
	p.sql(t, "postgres", "create database shop")
	p.sql(t, "shop", `create table schema_migrations (version int primary key);
		insert into schema_migrations values (40), (41);
		create table users (id int primary key, short text not null);
		insert into users values (1, 'al'), (2, 'bo'), (3, 'cy')`)
	f := blueGreen(t)
	f.script(t, "deploy-blue.sh", `echo "$1" >idle; ./psql.sh -c "begin; alter table users rename short to nickname; insert into schema_migrations values (42); commit"`)
	f.script(t, "psql.sh", `exec "`+p.bin+`/psql" -X -q -At -v ON_ERROR_STOP=1 -h "`+p.dir+`" -U mayday -d shop "$@"`)
	f.script(t, "migrate-down.sh", `[ "$1" = "$TARGET_MIGRATION" ] && exec ./psql.sh -c "begin; alter table users rename nickname to short; delete from schema_migrations where version > $1; commit"`)
	f.script(t, "check.sh", `[ "$(./psql.sh -c "select count(short) from users")" = 3 ]`)
	f.script(t, "dump.sh", `exec "`+p.bin+`/pg_dump" -Fc -h "`+p.dir+`" -U mayday -f "$1" shop`)
	return f, runbook.Rollback{Database: &runbook.Database{
		Version: f.command("./psql.sh", "-c", "select max(version) from schema_migrations"),
		Backup:  f.command("./dump.sh", "{backup_file}"), BackupFile: filepath.Join(f.dir, "{incident}-backup.sh"),
		Rollback: f.command("./migrate-down.sh", "{target_migration}"), Check: f.command("./check.sh"),
		Dump: f.command("./dump.sh", "{dump_file}"), DumpFile: filepath.Join(f.dir, "{incident}-dump.sh")}}
}

// rolledOut brings the new version and its schema, and gives the plan.
func (f *farm) rolledOut(t testing.TB, s steps.Strategy) state.Plan {
	t.Helper()
	p, err := s.Plan(t.Context(), f.order())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if _, err := s.Stage(t.Context(), p, i, first, new(sink)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func thorough(ctx context.Context, s steps.Strategy, p state.Plan, report func(state.RollbackOp)) (steps.Verification, error) {
	return steps.Undo(ctx, s, p, steps.Fence{Incident: first.Incident, Epoch: 1}, true, report)
}

func TestDatabase(t *testing.T) {
	p := newPostgres(t)
	restore := func(t *testing.T, file, query string) string {
		t.Helper()
		p.sql(t, "postgres", "drop database second")
		p.sql(t, "postgres", "create database second")
		p.run(t, "pg_restore", "--exit-on-error", "-d", "second", file)
		return p.sql(t, "second", query)
	}
	t.Run("kept by default, back when asked for", func(t *testing.T) { databaseBack(t, p, restore) })
	t.Run("integrity check fails", func(t *testing.T) { databaseBroken(t, p, restore) })
	t.Run("nothing was migrated", func(t *testing.T) {
		f, r := migrated(t, p)
		f.script(t, "deploy-blue.sh", `echo "$1" >idle`)
		s := f.with(r)
		v, err := thorough(t.Context(), s, f.rolledOut(t, s), func(op state.RollbackOp) {
			if strings.HasPrefix(op.Op, "database.") {
				t.Errorf("it did %+v", op)
			}
		})
		if err != nil || !strings.Contains(v.Text, "migration 41 as before the rollout: nothing was done to it") {
			t.Errorf("%+v, %v", v, err)
		}
	})
	t.Run("no backup", func(t *testing.T) { databaseWithoutBackup(t, p) })
	t.Run("declared compatible", func(t *testing.T) {
		f, r := migrated(t, p)
		r.Database = &runbook.Database{Version: r.Database.Version, Compatible: true}
		s := f.with(r)
		plan := f.rolledOut(t, s)
		proof, err := s.Prove(t.Context(), plan, true)
		if err != nil || proof.Ready != state.Ready || !slices.ContainsFunc(proof.Checks, func(c state.Finding) bool { return c.Warn && strings.Contains(c.Text, "migrated from 41 to 42") }) {
			t.Errorf("%+v, %v", proof, err)
		}
		if v, err := thorough(t.Context(), s, plan, func(state.RollbackOp) {}); !state.HasCode(err, "config") || f.read(t, "live") != oldVersion {
			t.Errorf("%+v, %v", v, err)
		}
	})
	t.Run("not reachable", func(t *testing.T) {
		f, r := migrated(t, p)
		r.Database.Version = f.command("sh", "-c", "echo connection refused >&2; exit 2")
		s := f.with(r)
		plan := f.rolledOut(t, s)
		if len(plan.Warnings) != 2 || !strings.Contains(plan.Warnings[1], "connection refused") {
			t.Errorf("warnings %q", plan.Warnings)
		}
		if proof, err := s.Prove(t.Context(), plan, true); err != nil || proof.Ready != state.Doubtful || !strings.Contains(proof.Why, "not known") {
			t.Errorf("%+v, %v", proof, err)
		}
		if _, err := thorough(t.Context(), s, plan, func(state.RollbackOp) {}); err == nil || p.sql(t, "shop", "select max(version) from schema_migrations") != "42" {
			t.Errorf("taken back to what is not known: %v", err)
		}
	})
}

func databaseBack(t *testing.T, p *postgres, restore func(*testing.T, string, string) string) {
	f, r := migrated(t, p)
	s := f.with(r)
	plan := f.rolledOut(t, s)
	version := func() string { return p.sql(t, "shop", "select max(version) from schema_migrations") }
	if last := plan.Inverse[len(plan.Inverse)-1]; last.Title != "database, only with --with-database: back to migration 41" {
		t.Errorf("the plan says %q", last.Title)
	}
	proof, err := s.Prove(t.Context(), plan, true)
	if err != nil || proof.Ready != state.Doubtful || !strings.Contains(proof.Why, "migrated from 41 to 42 since the rollout began, and nothing declares that v1.2.3 runs on it") {
		t.Errorf("%+v, %v", proof, err)
	}
	status := map[string]state.ItemStatus{}
	report := func(op state.RollbackOp) { status[op.Op] = op.Status }
	if v, err := s.Rollback(t.Context(), plan, steps.Fence{Incident: first.Incident, Epoch: 1}, report); err != nil || version() != "42" || status[opDatabase] != state.ItemNotNeeded {
		t.Fatalf("the database is at %s: %+v, %v, %v", version(), v, status, err)
	}
	v, err := thorough(t.Context(), s, plan, report)
	if err != nil || version() != "41" || !strings.Contains(v.Text, "database back at migration 41, checked") {
		t.Fatalf("the database is at %s: %+v, %v", version(), v, err)
	}
	for _, op := range []string{opDatabase, "database.backup", "database.rollback", "database.check"} {
		if status[op] != state.ItemDone {
			t.Errorf("%s is %q", op, status[op])
		}
	}
	backup := filepath.Join(f.dir, first.Incident+"-backup.sh")
	if got := restore(t, backup, "select nickname from users where id = 3"); got != "cy" {
		t.Errorf("the backup restores %q", got)
	}
}

func databaseBroken(t *testing.T, p *postgres, restore func(*testing.T, string, string) string) {
	f, r := migrated(t, p)
	f.script(t, "migrate-down.sh", `exec ./psql.sh -c "begin; alter table users rename nickname to short; delete from users where id = 3; delete from schema_migrations where version > $1; commit"`)
	s := f.with(r)
	plan := f.rolledOut(t, s)
	status := map[string]state.ItemStatus{}
	v, err := thorough(t.Context(), s, plan, func(op state.RollbackOp) { status[op.Op] = op.Status })
	if !state.HasCode(err, "database") || !strings.Contains(err.Error(), "not whole at migration 41") {
		t.Errorf("error %v", err)
	}
	if status["database.check"] != state.ItemFailed || status["database.dump"] != state.ItemDone || status[opDatabase] != state.ItemFailed {
		t.Errorf("operations %v", status)
	}
	if f.read(t, "live") != oldVersion || !strings.Contains(v.Text, "answered 50 of 50") {
		t.Errorf("live %s, %+v", f.read(t, "live"), v)
	}
	dump, backup := filepath.Join(f.dir, first.Incident+"-dump.sh"), filepath.Join(f.dir, first.Incident+"-backup.sh")
	if got := restore(t, dump, "select string_agg(short, ' ' order by id) from users"); got != "al bo" {
		t.Errorf("the emergency dump restores %q", got)
	}
	if got := restore(t, backup, "select string_agg(nickname, ' ' order by id) from users"); got != "al bo cy" {
		t.Errorf("the backup restores %q", got)
	}
	manual := strings.Join(v.Manual, "\n")
	for _, want := range []string{"the backup " + backup, "the emergency dump " + dump, "./migrate-down.sh 41", "TARGET_MIGRATION=41", "./check.sh"} {
		if !strings.Contains(manual, want) {
			t.Errorf("by hand, %q is missing:\n%s", want, manual)
		}
	}
}

// databaseWithoutBackup: a command that ends well and has written nothing, or nothing
// new, is no backup, and without one nothing is touched.
func databaseWithoutBackup(t *testing.T, p *postgres) {
	for name, script := range map[string]string{"none": "true", "empty": `: >"$1"`, "an older one": `touch -d "2020-01-01" "$1"`, "fails": "exit 1"} {
		f, r := migrated(t, p)
		s := f.with(r)
		plan := f.rolledOut(t, s)
		file := filepath.Join(f.dir, first.Incident+"-backup.sh")
		if name == "an older one" {
			f.write(t, filepath.Base(file), "from last week")
		}
		f.script(t, "dump.sh", script)
		v, err := thorough(t.Context(), s, plan, func(state.RollbackOp) {})
		if err == nil || !strings.Contains(err.Error(), "not touched") || p.sql(t, "shop", "select max(version) from schema_migrations") != "42" {
			t.Errorf("%s: %v", name, err)
		}
		if len(v.Manual) != 3 {
			t.Errorf("%s: by hand %q", name, v.Manual)
		}
	}
}
