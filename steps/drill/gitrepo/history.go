package gitrepo

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"sort"
	"strings"
	"time"
)

//go:embed files fix.patch
var embedded embed.FS

// read gives an embedded file; a name that is not there is a mistake in this package.
func read(name string) []byte {
	b, err := embedded.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return b
}

// commit is one commit of develop; where it is a release, it is merged into
// production and tagged.
type commit struct {
	author  string
	day     int // since the first
	hour    int
	message string
	files   map[string]string // path to embedded file, below files/; "" adds it by its own path
	release string            // "1.2.0"
	changes string            // what its CHANGELOG says
}

// own adds files under their own paths.
func own(paths ...string) map[string]string {
	m := map[string]string{}
	for _, p := range paths {
		m[p] = p
	}
	return m
}

func with(m map[string]string, path, file string) map[string]string {
	m[path] = file
	return m
}

// first is when the history begins. It is fixed: every range has the same commits.
var first = time.Date(2026, time.September, 28, 8, 0, 0, 0, time.UTC)

// history is develop, oldest first.
func history() []commit {
	return []commit{
		{author: "alice", day: 0, hour: 2, message: "Import the shop from the old monorepo\n\nAccounts come along; those of before 2019 have no profile.",
			files: with(with(own("go.mod", "main.go"), "README.md", "old/README.md"), "catalog/catalog.go", "old/catalog1.go")},
		{author: "bob", day: 1, hour: 3, message: "auth: sign in with e-mail address and password",
			files: with(with(own("auth/store.go"), "auth/login.go", "old/login1.go"), "auth/login_test.go", "old/login_test1.go")},
		{author: "carol", day: 3, hour: 1, message: "scripts: a smoke test that works with curl or perl",
			files: own("scripts/get.sh", "scripts/smoke.sh", "scripts/set-version.sh")},
		{author: "carol", day: 6, hour: 5, message: "config: what differs between staging and production",
			files: own("config/staging.env", "config/production.env", "config/may-differ.txt", "scripts/config.sh")},
		{author: "alice", day: 8, hour: 2, message: "Release v1.2.0", release: "1.2.0", changes: "- The shop stands on its own."},
		{author: "bob", day: 11, hour: 6, message: "catalog: list items by name",
			files: with(map[string]string{}, "catalog/catalog.go", "old/catalog2.go")},
		{author: "carol", day: 14, hour: 4, message: "scripts: back the accounts up before a release, and prove it",
			files: own("scripts/backup.sh")},
		{author: "alice", day: 16, hour: 3, message: "Release v1.2.1", release: "1.2.1", changes: "- The catalog is in order."},
		{author: "bob", day: 21, hour: 2, message: "auth: capitals and spaces around an address do not matter\n\nFixes: #311",
			files: with(with(map[string]string{}, "auth/login.go", "old/login2.go"), "auth/login_test.go", "old/login_test2.go")},
		{author: "carol", day: 23, hour: 7, message: "config: alert rules for errors, sign-in and latency",
			files: own("config/alerts.yml", "scripts/alerts.sh")},
		{author: "alice", day: 28, hour: 2, message: "Release v1.2.2", release: "1.2.2", changes: "- Signing in takes an address however it is written (#311)."},
		{author: "carol", day: 35, hour: 5, message: "migrations: a profile is optional\n\nThe import of the old accounts needs it.",
			files: own("migrations/0007_profiles_optional.sql", "scripts/migration.sh")},
		{author: "alice", day: 38, hour: 3, message: "scripts: security checks for what a hotfix changes",
			files: own("scripts/security.sh", "scripts/validate-security.sh", "scripts/focused.sh")},
		{author: "bob", day: 44, hour: 8, message: "auth: greet customers by the name in their profile\n\nFixes: #342",
			files: own("auth/login.go", "auth/login_test.go")},
		{author: "alice", day: 49, hour: 2, message: "Release v1.2.3", release: "1.2.3", changes: "- Customers are greeted by name (#342)."},
		{author: "bob", day: 50, hour: 6, message: "catalog: page through long lists", files: own("catalog/catalog.go")},
		{author: "carol", day: 51, hour: 4, message: "README: say where things are", files: own("README.md")},
		{author: "alice", day: 52, hour: 1, message: "docs: how we release", files: own("docs/releasing.md")},
	}
}

// stream is the history as git fast-import reads it.
func stream() []byte {
	var b bytes.Buffer
	changelog := ""
	releases := 0
	for i, c := range history() {
		when := first.AddDate(0, 0, c.day).Add(time.Duration(c.hour)*time.Hour + time.Duration(7*i%60)*time.Minute)
		head(&b, "develop", fmt.Sprintf("%d", 100+i), c.author, when, c.message)
		if i > 0 {
			fmt.Fprintf(&b, "from :%d\n", 100+i-1)
		}
		writeFiles(&b, c.files)
		if c.release == "" {
			continue
		}
		changelog = fmt.Sprintf("## %s\n\n%s\n\n", c.release, c.changes) + changelog
		file(&b, "VERSION", []byte(c.release+"\n"))
		file(&b, "CHANGELOG.md", []byte("# Changes\n\n"+strings.TrimRight(changelog, "\n")+"\n"))
		merge(&b, c, i, releases, when.Add(25*time.Minute))
		releases++
	}
	fmt.Fprintf(&b, "reset refs/heads/main\nfrom refs/heads/develop\n\ndone\n")
	return b.Bytes()
}

// merge brings a release from develop into production and tags it. Production takes
// develop's tree as it is: nothing was ever committed to production alone.
func merge(b *bytes.Buffer, c commit, i, n int, when time.Time) {
	mark := 1000 + n
	head(b, "production", fmt.Sprintf("%d", mark), c.author, when, "Merge branch 'develop' into production: release v"+c.release)
	if n == 0 {
		fmt.Fprintf(b, "from :%d\n", 100) // production begins at the import
	} else {
		fmt.Fprintf(b, "from :%d\n", mark-1)
	}
	fmt.Fprintf(b, "merge :%d\ndeleteall\n", 100+i)
	tree(b, i)
	fmt.Fprintf(b, "tag v%s\nfrom :%d\ntagger %s\n", c.release, mark, person(c.author, when.Add(5*time.Minute)))
	text(b, "Release v"+c.release+": "+strings.TrimPrefix(c.changes, "- ")+"\n")
}

// tree writes develop's files as of commit n.
func tree(b *bytes.Buffer, n int) {
	files, changelog, version := map[string]string{}, "", ""
	for _, c := range history()[:n+1] {
		for path, f := range c.files {
			files[path] = f
		}
		if c.release != "" {
			version = c.release
			changelog = fmt.Sprintf("## %s\n\n%s\n\n", c.release, c.changes) + changelog
		}
	}
	writeFiles(b, files)
	file(b, "VERSION", []byte(version+"\n"))
	file(b, "CHANGELOG.md", []byte("# Changes\n\n"+strings.TrimRight(changelog, "\n")+"\n"))
}

func writeFiles(b *bytes.Buffer, files map[string]string) {
	paths := make([]string, 0, len(files))
	for p := range files {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	for _, p := range paths {
		file(b, p, read("files/"+files[p]+".txt"))
	}
}

func file(b *bytes.Buffer, path string, content []byte) {
	mode := fs.FileMode(0o644)
	if strings.HasSuffix(path, ".sh") {
		mode = 0o755
	}
	fmt.Fprintf(b, "M 100%o inline %s\n", mode, path)
	text(b, string(content))
}

func head(b *bytes.Buffer, branch, mark, author string, when time.Time, message string) {
	who := person(author, when)
	fmt.Fprintf(b, "commit refs/heads/%s\nmark :%s\nauthor %s\ncommitter %s\n", branch, mark, who, who)
	text(b, message+"\n")
}

func text(b *bytes.Buffer, s string) { fmt.Fprintf(b, "data %d\n%s\n", len(s), s) }

// person is an author as fast-import wants one, in the team's time zone.
func person(name string, when time.Time) string {
	full := map[string]string{"alice": "Alice Moreau", "bob": "Bob Lindqvist", "carol": "Carol Okafor"}[name]
	return fmt.Sprintf("%s <%s@shop.example> %d +0100", full, name, when.Unix())
}
