package steps

import (
	"bytes"
	"io"
	"sync"

	"mayday/state"
)

// maxLine splits lines that have no end, so that a program which prints none
// cannot fill the memory.
const maxLine = 16 << 10

// output takes what a run prints: cleans and redacts it line by line, keeps it in
// the run's file and tells every client. Safe for concurrent use.
type output struct {
	e         *Engine
	item, run string

	mu   sync.Mutex
	rest []byte
	file io.WriteCloser // nil if it could not be opened
	err  error
}

func (e *Engine) output(item, run string) *output {
	o := &output{e: e, item: item, run: run}
	file, err := e.o.Output(run)
	if err != nil {
		o.err = err // what comes beside it is no file, whatever it looks like
	} else {
		o.file = file
	}
	return o
}

// Write never fails: a full disk must not stop the action whose output it is.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rest = append(o.rest, b...)
	end := bytes.LastIndexByte(o.rest, '\n') + 1
	if end == 0 && len(o.rest) > maxLine {
		end = len(o.rest)
	}
	if end > 0 {
		o.emit(o.rest[:end])
		o.rest = append([]byte(nil), o.rest[end:]...)
	}
	return len(b), nil
}

func (o *output) emit(b []byte) {
	text := o.e.o.Redact(state.CleanLines(string(b)))
	if o.file != nil && o.err == nil {
		_, o.err = io.WriteString(o.file, text)
	}
	o.e.tellOutput(state.Output{Item: o.item, Run: o.run, Text: text})
}

// Close writes what is left and reports the first error of the file.
func (o *output) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.rest) > 0 {
		o.emit(append(o.rest, '\n'))
		o.rest = nil
	}
	if o.file != nil {
		if err := o.file.Close(); o.err == nil {
			o.err = err
		}
	}
	return o.err
}
