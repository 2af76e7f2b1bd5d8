package state

import (
	"regexp"
	"strings"
	"time"
)

// ActionItem is what is still to be done after an incident, by whom and until when.
type ActionItem struct {
	Text  string
	Owner string    // "": nobody yet
	Due   time.Time // a day, UTC; zero: no day
}

var (
	itemDue   = regexp.MustCompile(`\s+by\s+(\d{4}-\d{2}-\d{2})$`)
	itemOwner = regexp.MustCompile(`\s+@(\S+)$`)
	itemKept  = regexp.MustCompile(`^(.*) \((?:(.+), )?by (\d{4}-\d{2}-\d{2})\)$`)
)

// ParseActionItem reads "add validation @bob by 2026-12-01", of which only the text
// must be there, and what String writes. An error is a date that is none.
func ParseActionItem(s string) (ActionItem, error) {
	s = strings.TrimSpace(s)
	var a ActionItem
	var err error
	if m := itemKept.FindStringSubmatch(s); m != nil {
		a.Text, a.Owner = m[1], m[2]
		a.Due, err = time.Parse(time.DateOnly, m[3])
		return a, err
	}
	if m := itemDue.FindStringSubmatch(s); m != nil {
		if a.Due, err = time.Parse(time.DateOnly, m[1]); err != nil {
			return a, err
		}
		s = strings.TrimSpace(strings.TrimSuffix(s, m[0]))
	}
	if m := itemOwner.FindStringSubmatch(s); m != nil {
		a.Owner = m[1]
		s = strings.TrimSpace(strings.TrimSuffix(s, m[0]))
	}
	a.Text = s
	return a, nil
}

// String writes "add validation (bob, by 2026-12-01)".
func (a ActionItem) String() string {
	var in []string
	if a.Owner != "" {
		in = append(in, a.Owner)
	}
	if !a.Due.IsZero() {
		in = append(in, "by "+a.Due.Format(time.DateOnly))
	}
	if len(in) == 0 {
		return a.Text
	}
	return a.Text + " (" + strings.Join(in, ", ") + ")"
}
