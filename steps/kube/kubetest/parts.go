package kubetest

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// Part is one process of the control plane.
type Part string

// The parts of the control plane.
const (
	Etcd              Part = "etcd"
	APIServer         Part = "kube-apiserver"
	ControllerManager Part = "kube-controller-manager"
	Scheduler         Part = "kube-scheduler"
	Kwok              Part = "kwok" // plays the kubelets
)

var parts = []Part{Etcd, APIServer, ControllerManager, Scheduler, Kwok}

// controllers are those that a rollout meets, no more: each costs time and memory.
var controllers = []string{"deployment-controller", "replicaset-controller", "statefulset-controller", "endpoints-controller",
	"endpointslice-controller", "garbage-collector-controller", "namespace-controller", "node-lifecycle-controller",
	"taint-eviction-controller", "resourcequota-controller", "disruption-controller", "horizontal-pod-autoscaler-controller",
	"job-controller", "clusterrole-aggregation-controller"}

// processes are the running parts. The first one leads a process group that the
// others join; a reaper outside of it ends them all when this process ends,
// whatever way. Safe for concurrent use.
type processes struct {
	program, dir string
	lifeline     io.Closer // the reaper's standard input
	reaper       *exec.Cmd

	mu      sync.Mutex
	group   int
	running map[Part]*process
}

type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed: it has ended, err says how
	err  error
}

// start runs a part with its log in the folder.
func (p *processes) start(part Part, args ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	out, err := os.OpenFile(p.log(part), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close() // the part has its own
	cmd := exec.Command(p.program, append([]string{string(part)}, args...)...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = p.dir
	// A machine's own proxy or kwok configuration has no part in this.
	cmd.Env = []string{"HOME=" + p.dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + p.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: p.group}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", part, err)
	}
	run := &process{cmd: cmd, done: make(chan struct{})}
	go func() { run.err = cmd.Wait(); close(run.done) }()
	p.running[part] = run
	if p.group != 0 {
		return nil
	}
	p.group = cmd.Process.Pid
	if err := p.guard(); err != nil {
		return errors.Join(err, syscall.Kill(-p.group, syscall.SIGKILL))
	}
	return nil
}

// guard starts the reaper.
func (p *processes) guard() error {
	p.reaper = exec.Command(p.program, "reap", fmt.Sprint(p.group), p.dir)
	p.reaper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is not for it
	lifeline, err := p.reaper.StdinPipe()
	if err != nil {
		return err
	}
	p.lifeline = lifeline
	return p.reaper.Start()
}

// close kills every part, removes the folder and waits for it.
func (p *processes) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lifeline == nil {
		return os.RemoveAll(p.dir)
	}
	err := errors.Join(p.lifeline.Close(), p.reaper.Wait())
	for _, run := range p.running {
		<-run.done
	}
	return err
}

// kill ends one part and waits for its end.
func (p *processes) kill(part Part) error {
	run := p.get(part)
	if run == nil {
		return fmt.Errorf("%s was never started", part)
	}
	if err := run.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-run.done
	return nil
}

func (p *processes) get(part Part) *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running[part]
}

// ended gives an error if the part has ended.
func (p *processes) ended(part Part) error {
	select {
	case <-p.get(part).done:
		return fmt.Errorf("%s ended: %w\n%s", part, p.get(part).err, p.tail(part))
	default:
		return nil
	}
}

func (p *processes) log(part Part) string { return filepath.Join(p.dir, string(part)+".log") }

// tail gives the last lines of a part's log.
func (p *processes) tail(part Part) string {
	text, err := os.ReadFile(p.log(part))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// port is one of loopback that this cluster alone uses, while its parts come and go.
type port struct {
	number int
	held   net.PacketConn
}

// newPort finds a port below those that the system gives to connections (from 32768
// on Linux, 49152 elsewhere). Its parts listen with TCP; that it is taken, even
// while they do not, other clusters see by its UDP namesake.
func newPort() (port, error) {
	for range 100 {
		number := 20000 + rand.IntN(10000)
		address := fmt.Sprintf("127.0.0.1:%d", number)
		held, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			return port{number, held}, l.Close()
		}
		_ = held.Close() // another number will do
	}
	return port{}, errors.New("no free port between 20000 and 30000")
}
