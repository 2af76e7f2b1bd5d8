package repo

import (
	"path"
	"slices"
	"strings"
)

// kind is what a changed file is, by its name.
type kind string

const (
	source        kind = "source"
	test          kind = "test"
	configuration kind = "configuration"
	migration     kind = "migration"
	lockFile      kind = "lock file"
	documentation kind = "documentation"
)

// kinds in the order they are reported.
var kinds = []kind{source, test, configuration, migration, lockFile, documentation}

var lockFiles = []string{"go.sum", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "cargo.lock",
	"poetry.lock", "pipfile.lock", "uv.lock", "gemfile.lock", "composer.lock", "gradle.lockfile", "packages.lock.json"}

var dependencyFiles = []string{"go.mod", "package.json", "cargo.toml", "pyproject.toml", "requirements.txt", "pipfile",
	"gemfile", "composer.json", "pom.xml", "build.gradle", "build.gradle.kts", "setup.py"}

var configSuffixes = []string{".yaml", ".yml", ".toml", ".ini", ".env", ".json", ".conf", ".cfg", ".properties", ".tf", ".xml"}

// kindOf tells a file's kind by its path.
func kindOf(p string) kind {
	p = strings.ToLower(p)
	base, dirs := path.Base(p), strings.Split(path.Dir(p), "/")
	in := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(dirs, n) })
	}
	ext := path.Ext(base)
	stem := strings.TrimSuffix(base, ext)
	switch {
	case slices.Contains(lockFiles, base) || ext == ".lock":
		return lockFile
	case in("migrations", "migration", "migrate", "alembic") || ext == ".sql":
		return migration
	case in("test", "tests", "__tests__", "spec", "testdata"), strings.HasSuffix(stem, "_test"), strings.HasPrefix(stem, "test_"),
		strings.HasSuffix(stem, ".test"), strings.HasSuffix(stem, ".spec"), strings.HasSuffix(stem, "_spec"):
		return test
	case slices.Contains(configSuffixes, ext), slices.Contains(dependencyFiles, base), strings.HasPrefix(base, "dockerfile"), strings.HasPrefix(base, ".env"):
		return configuration
	case ext == ".md" || ext == ".rst" || ext == ".adoc":
		return documentation
	}
	return source
}

// isDependency reports whether a change of the file may change what is linked in.
func isDependency(p string) bool {
	base := strings.ToLower(path.Base(p))
	return kindOf(p) == lockFile || slices.Contains(dependencyFiles, base) ||
		strings.HasPrefix(base, "requirements") && strings.HasSuffix(base, ".txt")
}
