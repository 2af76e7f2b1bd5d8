package state

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that reads and writes as text: "30s", "5m", "1h30m"
// and, for runbooks, "2d". It is incident time unless a field says otherwise.
type Duration time.Duration

// D gives the standard library's form.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string {
	s := time.Duration(d).String()
	// "5m0s" and "1h0m0s" are how Go writes them, not how people do.
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// MarshalText writes String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what time.ParseDuration reads, whole days ("2d"), and words:
// "15 minutes", "1 hour 30 min".
func (d *Duration) UnmarshalText(b []byte) error {
	s := inWords(string(b))
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err == nil {
			*d = Duration(n) * Duration(24*time.Hour)
			return nil
		}
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration: write 30s, 5m, 1h30m, 2d or \"15 minutes\"", string(b))
	}
	*d = Duration(v)
	return nil
}

// inWords turns "1 hour 30 minutes" into "1h30m". What is not so written stays.
func inWords(s string) string {
	words := strings.Fields(strings.ToLower(s))
	if len(words) < 2 || len(words)%2 != 0 {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(words); i += 2 {
		unit, ok := units[strings.TrimSuffix(strings.TrimSuffix(words[i+1], ","), "s")]
		if !ok {
			return s
		}
		out.WriteString(words[i] + unit)
	}
	return out.String()
}

var units = map[string]string{"second": "s", "sec": "s", "minute": "m", "min": "m", "hour": "h", "hr": "h", "day": "d"}
