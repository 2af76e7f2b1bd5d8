package state

import (
	"errors"
	"strings"
)

// Problem is an error for a person: what happened, why, what to do. It travels in
// events and answers; test for one with errors.As.
type Problem struct {
	What string `json:"what"`
	Why  string `json:"why,omitempty"`
	Do   string `json:"do,omitempty"`
	// Code lets programs tell problems apart without reading prose, such as
	// "dirty-tree" or "needs-person". Optional.
	Code string `json:"code,omitempty"`
}

func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.What)
	if p.Why != "" {
		b.WriteString(": " + p.Why)
	}
	if p.Do != "" {
		b.WriteString(". " + p.Do)
	}
	return b.String()
}

// AsProblem gives err as a Problem: itself where it is one (keeping what wraps it
// as the What), else a Problem that only says what happened. nil stays nil.
func AsProblem(err error) *Problem {
	if err == nil {
		return nil
	}
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	return &Problem{What: Clean(err.Error())}
}

// HasCode reports whether err is or wraps a Problem with that code.
func HasCode(err error, code string) bool {
	var p *Problem
	return errors.As(err, &p) && p.Code == code
}
