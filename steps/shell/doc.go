// Package shell runs the runbook's commands, and git for steps/repo.
//
// A child gets a session of its own (so a process group of its own and no
// terminal), /dev/null as its input unless [Spec.Input] says otherwise, and
// GIT_TERMINAL_PROMPT=0: what would ask a question fails at once instead of hanging
// unseen. A caller that can answer passwords puts SSH_ASKPASS,
// SSH_ASKPASS_REQUIRE=force and GIT_ASKPASS into [Spec.Env]; nothing here sets them.
//
// When its time is over or its context ends, the whole group is asked to stop
// (SIGTERM), then made to (SIGKILL), and [Run] returns only after that. What a
// command leaves running behind it on purpose, such as a credential daemon, is
// left alone; Run does not wait for it.
//
// Output is read at once whatever its amount, cut into lines, cleaned of control
// sequences, redacted, and bounded: see [OutputLimit].
package shell
