package cli

import (
	"io/fs"
	"syscall"
)

// errReadOnly is what a read-only file system answers.
var errReadOnly error = syscall.EROFS

// errExist is what the journal answers when another process was first.
var errExist = fs.ErrExist
