# Reads the output of go test -v and keeps what a person wants of it: what failed,
# what was skipped and why, and one line per package. What passed is left out.
function give(name) { printf "%s", said[name]; delete said[name] }
/^=== / { test = $3; next }
/^ *--- PASS: / { delete said[$3]; test = ""; next }
/^ *--- (FAIL|SKIP): / { give($3); print; test = ""; next }
/^(PASS|FAIL)$/ { next }
/^(ok|FAIL|\?) *\t/ { # a test that panicked or hung has no line of its own
	for (name in said) give(name)
	test = ""
	if ($0 !~ /no test files/) print
	fflush()
	next
}
test != "" { said[test] = said[test] $0 "\n"; next }
{ print }
END { for (name in said) give(name) }
