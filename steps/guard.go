package steps

import (
	"fmt"
	"io"
	"runtime/debug"

	"mayday/state"
)

// panicked is the error of a part that panicked. A bug in one action must not take
// the keeper, its clocks and the key R with it.
type panicked struct {
	value any
	stack []byte
}

func (p panicked) Error() string { return state.Clean(fmt.Sprint("panic: ", p.value)) }

// guarded runs f and gives its panic, nil where there was none.
func guarded(f func()) (p *panicked) {
	defer func() {
		if v := recover(); v != nil {
			p = &panicked{v, debug.Stack()}
		}
	}()
	f()
	return nil
}

// guard runs f for an item. A panic becomes its failure, with the stack in the output.
func (e *Engine) guard(out io.Writer, f func() error) error {
	var err error
	if p := guarded(func() { err = f() }); p != nil {
		fmt.Fprintf(out, "%s\n%s\n", p.Error(), p.stack)
		return &state.Problem{Code: "panic", What: "mayday itself failed here", Why: p.Error(),
			Do: "The stack is in the output. Do this by hand or run it again; the rest goes on, and R works."}
	}
	return err
}
