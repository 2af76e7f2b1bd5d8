package shell

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// redacted stands where a secret stood.
const redacted = "[redacted]"

// shortestSecret is the length below which a value is no secret: hiding every
// "on" or "1" would hide the output.
const shortestSecret = 6

// Redactor hides known secrets in text. A nil Redactor hides only passwords in
// URLs. Safe for concurrent use.
type Redactor struct {
	replace *strings.Replacer
	longest int
}

// NewRedactor hides these values, line by line where a value has several lines,
// as they are and as they look inside a URL. Values shorter than six bytes are
// not hidden.
func NewRedactor(secrets ...string) *Redactor {
	seen := map[string]bool{}
	for _, s := range secrets {
		for line := range strings.Lines(s) {
			line = strings.TrimSpace(line)
			if len(line) < shortestSecret {
				continue
			}
			seen[line], seen[url.QueryEscape(line)], seen[url.PathEscape(line)] = true, true, true
		}
	}
	values := make([]string, 0, len(seen))
	for v := range seen {
		values = append(values, v)
	}
	// Longest first: a secret that begins with another must go as a whole.
	slices.SortFunc(values, func(a, b string) int { return cmp.Or(len(b)-len(a), cmp.Compare(a, b)) })
	r := &Redactor{}
	pairs := make([]string, 0, 2*len(values))
	for _, v := range values {
		r.longest = max(r.longest, len(v))
		pairs = append(pairs, v, redacted)
	}
	r.replace = strings.NewReplacer(pairs...)
	return r
}

// secretName matches names of environment variables that hold secrets.
var secretName = regexp.MustCompile(`(?i)(token|passw|secret|apikey|api_key|private_key|access_key|credential|webhook|^pat$|_pat$|_pwd$)`)

// EnvSecrets picks from an environment ("NAME=value") the values that are secret
// by their name.
func EnvSecrets(environ []string) []string {
	var out []string
	for _, e := range environ {
		name, value, ok := strings.Cut(e, "=")
		// A path names where a secret lies; hiding it would hide file names everywhere.
		if ok && secretName.MatchString(name) && !strings.HasPrefix(value, "/") {
			out = append(out, value)
		}
	}
	return out
}

var userInfo = regexp.MustCompile(`(\w://[^/\s:@]*:)[^/\s@]+@`)

// Text gives s without the secrets.
func (r *Redactor) Text(s string) string {
	if r != nil && r.longest > 0 {
		s = r.replace.Replace(s)
	}
	if strings.Contains(s, "://") {
		s = userInfo.ReplaceAllString(s, "${1}"+redacted+"@")
	}
	return s
}

// margin is how many bytes past a cut must be known for no secret to be cut in two.
func (r *Redactor) margin() int {
	if r == nil {
		return 0
	}
	return r.longest
}
