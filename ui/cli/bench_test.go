package cli_test

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mayday/ui/uitest/term"
)

// patience is what a benchmark waits for something to show, however slow.
const patience = 30 * time.Second

// BenchmarkProgram measures the program as it is built and started. Each figure
// comes with its target in the log where it misses it; nothing fails, because other
// work on the machine is no error of the code.
func BenchmarkProgram(b *testing.B) {
	mayday := built(b)
	b.Run("version", func(b *testing.B) { benchVersion(b, mayday) })
	b.Run("drill", func(b *testing.B) { benchDrill(b, mayday) })
	b.Run("idle", func(b *testing.B) { benchIdle(b, mayday) })
}

// built is the program as its users build it.
func built(b *testing.B) string {
	b.Helper()
	mayday := filepath.Join(b.TempDir(), "mayday")
	build := exec.CommandContext(b.Context(), "go", "build", "-o", mayday, ".")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %v\n%s", build, err, out)
	}
	return mayday
}

// report reports a figure, and says so where it is above what it may be.
func report(b *testing.B, value, most float64, unit string) {
	b.ReportMetric(value, unit)
	if value > most {
		b.Logf("%s is %.4g, and may be %.4g", unit, value, most)
	}
}

func median[T cmp.Ordered](list []T) T {
	slices.Sort(list)
	return list[len(list)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// benchVersion compares how mayday and kubectl start, in turns. At most half of
// kubectl's time is the target.
func benchVersion(b *testing.B, mayday string) {
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		b.Skip("no kubectl to compare with")
	}
	said, err := exec.CommandContext(b.Context(), kubectl, "version", "--client").Output()
	if err != nil {
		b.Fatal(err)
	}
	first, _, _ := strings.Cut(string(said), "\n")
	b.Logf("compared with %s, %s", kubectl, first)
	run := func(program string, args ...string) time.Duration {
		begun := time.Now()
		if err := exec.CommandContext(b.Context(), program, args...).Run(); err != nil {
			b.Fatal(err)
		}
		return time.Since(begun)
	}
	var ours, theirs []time.Duration
	for b.Loop() {
		for range 25 {
			ours = append(ours, run(mayday, "version"))
			theirs = append(theirs, run(kubectl, "version", "--client"))
		}
	}
	o, t := median(ours), median(theirs)
	b.ReportMetric(ms(o), "mayday-ms")
	b.ReportMetric(ms(t), "kubectl-ms")
	report(b, ms(o)/ms(t), 0.5, "ratio")
}

var (
	healthy = regexp.MustCompile(`health +200`)
	live    = regexp.MustCompile(`app-stable +6/6`)
)

// private is an environment with incidents and sockets of its own. Its folders have
// short names: a socket's may not be long.
func private(b *testing.B) []string {
	b.Helper()
	env := os.Environ()
	for _, name := range []string{"MAYDAY_HOME", "MAYDAY_RUNTIME_DIR"} {
		dir, err := os.MkdirTemp("", "mayday")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { os.RemoveAll(dir) })
		env = append(env, name+"="+dir)
	}
	return env
}

// benchDrill measures from the start of the process to the first full frame (1 s)
// and until the range is seen to be live (2 s).
func benchDrill(b *testing.B, mayday string) {
	var frame, health, all []time.Duration
	for b.Loop() {
		for range 5 {
			cmd := exec.CommandContext(b.Context(), mayday, "drill")
			cmd.Env = private(b)
			t := term.Start(b, cmd, 140, 45)
			frame = append(frame, t.Shows(patience, "SEV1", "Checklist 0/18", "Metrics", "app-stable", "Timeline").Sub(t.Begun))
			health = append(health, t.Await("a healthy service", patience, healthy.MatchString).Sub(t.Begun))
			all = append(all, t.Await("all pods", patience, func(s string) bool { return healthy.MatchString(s) && live.MatchString(s) }).Sub(t.Begun))
			t.Close()
		}
	}
	report(b, ms(median(frame)), 1000, "frame-ms")
	b.ReportMetric(ms(slices.Max(frame)), "frame-worst-ms")
	b.ReportMetric(ms(median(health)), "health-ms")
	report(b, ms(median(all)), 2000, "live-ms")
	b.ReportMetric(ms(slices.Max(all)), "live-worst-ms")
}

// benchIdle watches cockpits at which nobody touches a key, on a practice range with
// its probes at 5 s: one that keeps the incident (and probes, and evaluates PromQL),
// and one that is its client. Targets: 2 KB/s to the terminal, and 1 % of a core
// above a bare Bubble Tea program.
func benchIdle(b *testing.B, mayday string) {
	const window = 10 * time.Second
	env := private(b)
	dir := filepath.Join(b.TempDir(), "range")
	serve := exec.CommandContext(b.Context(), mayday, "drill", "--serve", dir)
	serve.Env = slices.Clone(env)
	term.Start(b, serve, 140, 45).Shows(patience, "The range is live")

	open := func(program string) *term.Terminal {
		cmd := exec.CommandContext(b.Context(), program)
		cmd.Dir, cmd.Env = filepath.Join(dir, "shop"), slices.Clone(env)
		return term.Start(b, cmd, 140, 45)
	}
	keeper := open(mayday)
	keeper.Shows(patience, "What is broken")
	keeper.Type("Logins fail\r")
	keeper.Shows(patience, "Logins fail", "Severity")
	keeper.Type("\x13") // ctrl+s
	keeper.Await("a live service", patience, live.MatchString)
	client := open(mayday)
	client.Await("a live service", patience, live.MatchString)
	bare := open("bare")
	bare.Shows(patience, "0 keys")

	programs := []*term.Terminal{keeper, client, bare}
	measure := func() (bytes []int64, cpu []time.Duration) {
		for _, t := range programs {
			bytes, cpu = append(bytes, t.Bytes()), append(cpu, t.CPU())
		}
		return bytes, cpu
	}
	var rate, load [3]float64 // bytes and percent, over all windows
	n := 0.0
	for ; b.Loop(); n++ {
		bytes, cpu := measure()
		time.Sleep(window)
		bytes2, cpu2 := measure()
		for i := range programs {
			rate[i] += float64(bytes2[i]-bytes[i]) / window.Seconds()
			load[i] += 100 * (cpu2[i] - cpu[i]).Seconds() / window.Seconds()
		}
	}
	b.ReportMetric(load[2]/n, "bare-cpu-%")
	for i, name := range []string{"keeper", "client"} {
		report(b, rate[i]/n, 2048, name+"-B/s")
		report(b, (load[i]-load[2])/n, 1, name+"-cpu-%-above-bare")
	}
}
