package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"
)

// reapFor is how long removing the folder is tried while killed processes still
// finish the writes they were in.
const reapFor = 10 * time.Second

// reap outlives whoever started the control plane: when standard input ends, by the
// parent's will or by its death, however violent, it kills the process group and
// removes the folder.
func reap(args []string) int {
	if len(args) != 2 {
		usage()
	}
	group, err := strconv.Atoi(args[0])
	if err != nil || group <= 1 {
		fmt.Fprintf(os.Stderr, "reap: %q is no process group\n", args[0])
		return 2
	}
	// An error is the parent's end, too.
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = syscall.Kill(-group, syscall.SIGKILL) // an empty group is what is wanted
	for deadline := time.Now().Add(reapFor); ; time.Sleep(10 * time.Millisecond) {
		if err = os.RemoveAll(args[1]); err == nil {
			return 0
		}
		if time.Now().After(deadline) {
			fmt.Fprintln(os.Stderr, "reap:", err)
			return 1
		}
	}
}
