# Reads the output of go test -v and keeps what a person wants of it: what failed,
# what was skipped and why, one line per package, and a count.
function give(name) { printf "%s", said[name]; delete said[name] }
/^=== / { test = $3; next }
/^ *--- PASS: / { passed++; delete said[$3]; test = ""; next }
/^ *--- (FAIL|SKIP): / {
	if ($2 == "FAIL:") failed++; else skipped++
	give($3)
	print
	test = ""
	next
}
/^PASS$/ { next }
/^(ok|FAIL|\?) *\t/ { # a test that panicked or hung has no line of its own
	for (name in said) give(name)
	test = ""
	if ($0 !~ /no test files/) print
	fflush()
	next
}
test != "" { said[test] = said[test] $0 "\n"; next }
{ print }
END {
	for (name in said) give(name)
	printf "%d tests and parts of tests passed, %d failed, %d skipped\n", passed, failed, skipped
}
