package term

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestScreen(t *testing.T) {
	const abc = "aaaa\r\nbbbb\r\ncccc"
	for _, c := range []struct{ what, in, want string }{
		{"text", "ab\r\ncd", "ab  /cd  /    "},
		{"colours and titles", "\x1b]0;title\x07\x1b[38;2;1;2;3ma\x1b[0m\x1b[4:3mb", "ab  /    /    "},
		{"runes", "│é…", "│é… /    /    "},
		{"wraps only when it must", "abcd\re\x1b[2;1Habcdx", "ebcd/abcd/x   "},
		{"scrolls at the end", abc + "\r\nd", "bbbb/cccc/d   "},
		{"moves", "\x1b[3;3Ha\x1b[Ab\x1b[2Dc\x1b[H\x1b[Cd", " d  / c b/  a "},
		{"absolute moves", "\x1b[2d\x1b[3Ga\x1b[2`b\x1b[1Gc", "    /cba /    "},
		{"back and tabs", "abc\b\bx\x1b[2;1H\ty\x1b[3;4H\x1b[Zz", "axc /   y/z   "},
		{"repeats", "a\x1b[2b", "aaa /    /    "},
		{"erases in a line", abc + "\x1b[1;3H\x1b[K\x1b[2;2H\x1b[1K\x1b[3;2H\x1b[2X", "aa  /  bb/c  c"},
		{"erases lines", abc + "\x1b[2;2H\x1b[J", "aaaa/b   /    "},
		{"erases lines above", abc + "\x1b[2;2H\x1b[1J", "    /  bb/cccc"},
		{"erases all", abc + "\x1b[2J", "    /    /    "},
		{"inserts and deletes cells", "abcd\x1b[1;2H\x1b[@\x1b[2;1Habcd\x1b[2;2H\x1b[2P", "a bc/ad  /    "},
		{"inserts lines", abc + "\x1b[2;3H\x1b[Lx", "aaaa/x   /bbbb"},
		{"deletes lines", abc + "\x1b[1;3H\x1b[2Mx", "xccc/    /    "},
		{"scrolls a region", abc + "\x1b[2;3r\x1b[S\x1b[r", "aaaa/cccc/    "},
		{"scrolls a region down", abc + "\x1b[1;2r\x1b[T\x1b[r", "    /aaaa/cccc"},
		{"a line feed scrolls the region", abc + "\x1b[1;2r\x1b[2;1H\nx\x1b[r", "bbbb/x   /cccc"},
		{"a reverse index scrolls the region", abc + "\x1b[2;3r\x1b[2;1H\x1bMx\x1b[r", "aaaa/x   /bbbb"},
		{"another screen", abc + "\x1b[?1049hx", "x   /    /    "},
		{"modes change nothing", "a\x1b[?25l\x1b[?2004h\x1b[>4;2m\x1b[=1;1u\x1b[?2026$pb", "ab  /    /    "},
	} {
		s := NewScreen(4, 3)
		for i := range len(c.in) { // however the bytes come in
			s.Write([]byte{c.in[i]})
		}
		if got := strings.ReplaceAll(s.String(), "\n", "/"); got != c.want {
			t.Errorf("%s: %q shows %q, want %q", c.what, c.in, got, c.want)
		}
	}
}

func TestTerminal(t *testing.T) {
	x := Start(t, exec.CommandContext(t.Context(), "sh", "-c", `stty size; read line; echo "got $line"; read line`), 40, 5)
	x.Shows(10*time.Second, "5 40")
	before := x.Bytes()
	x.Type("hello\n")
	if at := x.Shows(10*time.Second, "got hello"); at.Before(x.Begun) || time.Since(at) > time.Minute {
		t.Errorf("shown at %v", at)
	}
	if x.Bytes() <= before {
		t.Error("output was not counted")
	}
	x.Close()
	x.Close() // twice is fine: the test's end closes it too
}
