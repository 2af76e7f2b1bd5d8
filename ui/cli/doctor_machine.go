package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/charmbracelet/colorprofile"
	"golang.org/x/sys/unix"

	"mayday/state"
	"mayday/state/journal"
	"mayday/steps/keeper"
)

// ofMachine are the examinations that need no runbook.
func ofMachine() []examination {
	return []examination{one("journal", journalExam), one("socket", socketExam), one("tmux", tmuxExam), one("terminal", terminalExam)}
}

// journalExam looks whether journals can be kept, and be kept to oneself. A file that it
// makes to find out is gone at once.
func journalExam(_ context.Context, name string) exam {
	home, err := journal.Home()
	if err != nil {
		return failing(name, err)
	}
	at := home
	info, err := os.Stat(at)
	for errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at) {
		at = filepath.Dir(at)
		info, err = os.Stat(at)
	}
	do := "Set MAYDAY_HOME to a folder of your own on a disk of this host."
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no folder", at)
	}
	if err == nil {
		err = tried(at)
	}
	if err != nil {
		return exam{Name: name, Status: examFailed, Cause: byConfiguration, Found: "no journal can be kept in " + home, Why: err.Error(), Do: do}
	}
	if at != home {
		return well(name, home+" will be made, for you alone")
	}
	switch mode := info.Mode().Perm(); {
	case mode&0o022 != 0:
		return exam{Name: name, Status: examFailed, Cause: byConfiguration, Found: "others may write to " + home, Why: fmt.Sprintf("its mode is %#o", mode), Do: "chmod 700 " + home}
	case mode&0o077 != 0:
		return mind(name, "others may look into "+home, fmt.Sprintf("its mode is %#o; the incidents' own folders are private", mode), "chmod 700 "+home)
	}
	return well(name, home+" can be written, by you alone")
}

// tried makes a file in a folder and takes it away.
func tried(dir string) error {
	f, err := os.CreateTemp(dir, ".mayday-doctor-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString("mayday doctor\n")
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}

// socketExam opens a socket where keepers will, under a name as long as theirs.
func socketExam(ctx context.Context, name string) exam {
	home, err := journal.Home()
	if err != nil {
		return failing(name, err)
	}
	path, err := keeper.Socket(journal.Folder(home, fmt.Sprintf("INC-doctor%05d", os.Getpid()%100_000)))
	if err != nil {
		return failing(name, err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err == nil {
		err = l.Close() // which takes the file away
	}
	if err != nil {
		return exam{Name: name, Status: examFailed, Cause: byConfiguration, Found: "no socket can be opened in " + filepath.Dir(path), Why: err.Error(),
			Do: "Set MAYDAY_RUNTIME_DIR to a folder of your own with a short name, on a disk of this host."}
	}
	return well(name, "keepers will listen in "+filepath.Dir(path))
}

// tmuxExam: a screen is shared by tmux alone.
func tmuxExam(_ context.Context, name string) exam {
	path, err := exec.LookPath("tmux")
	if err != nil {
		return mind(name, "tmux is not installed", "a colleague can then join from a terminal of their own, but not share this one", "Install tmux.")
	}
	return well(name, path)
}

// terminalExam only remarks: doctor may run where no cockpit will.
func terminalExam(_ context.Context, name string) exam {
	size, err := unix.IoctlGetWinsize(int(os.Stdout.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return well(name, "the output is no terminal: colours and size are not known ("+runtime.GOOS+")")
	}
	profile := colorprofile.Detect(os.Stdout, os.Environ())
	text := fmt.Sprintf("%dx%d, colours: %s", size.Col, size.Row, profile)
	if size.Col < 80 || size.Row < 24 {
		text += "; the cockpit wants 80x24"
	}
	return well(name, state.Clean(text))
}
