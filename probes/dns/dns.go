// Package dns asks several resolvers for one name and says which answers what: a
// change of a record has propagated when all of them answer the new one. It asks the
// resolvers themselves, so that neither this host's cache nor its hosts file answers.
package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"mayday/probes"
	"mayday/state"
)

// Kind is the kind of the probes this package asks.
const Kind = "dns"

const (
	patience     = 10 * time.Second // where the caller's context has no time-out
	maxResolvers = 32
)

// Asker asks resolvers. The zero value will do; safe for concurrent use.
type Asker struct {
	// Config names the file that holds this host's resolvers, for probes that name
	// none; default /etc/resolv.conf.
	Config string
}

var _ probes.Asker = Asker{}

// said is what one resolver answered.
type said struct {
	resolver string
	records  []string // sorted; none: there is no such name or record
	err      error
}

// text is the answer as a person reads it.
func (s said) text() string {
	switch {
	case s.err != nil:
		return state.Clean(s.err.Error())
	case len(s.records) == 0:
		return "nothing"
	}
	return strings.Join(s.records, " ")
}

// Ask asks every resolver of p.Query, "A shop.example.com @9.9.9.9 @10.0.0.1:5353",
// at once. The value is the share of them, from 0 to 1, that answer p.Want, all of it
// and nothing else; without p.Want, what most answer. The text names who answers
// something else, and while anybody does the verdict is at least warn. Resolvers that
// do not answer count as answering something else; if none answers, that is an error,
// and if all say that there is nothing and nothing was wanted, that is no data.
func (a Asker) Ask(ctx context.Context, p state.Probe, _ time.Time) (probes.Reading, error) {
	q, resolvers, err := a.parse(p.Query)
	if err != nil {
		return probes.Reading{}, err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	answers := make(chan said, len(resolvers))
	for _, r := range resolvers {
		go func() {
			records, err := lookup(ctx, r, q)
			answers <- said{r, records, err}
		}()
	}
	all := make([]said, len(resolvers))
	for range resolvers {
		s := <-answers // each honours ctx
		all[slices.Index(resolvers, s.resolver)] = s
	}
	if ctx.Err() == context.Canceled {
		return probes.Reading{}, fmt.Errorf("%s: %w", p.Query, ctx.Err())
	}
	return judge(p, all)
}

// parse reads "TYPE NAME @RESOLVER…".
func (a Asker) parse(query string) (question, []string, error) {
	words := strings.Fields(query)
	var q question
	var resolvers []string
	err := errors.New("write it as A shop.example.com @9.9.9.9")
	if len(words) >= 2 {
		q, err = newQuestion(words[0], words[1])
	}
	for i, w := range words {
		r, ok := strings.CutPrefix(w, "@")
		if i < 2 || slices.Contains(resolvers, withPort(r)) {
			continue
		}
		if !ok || len(resolvers) == maxResolvers {
			err = fmt.Errorf("%q is not one of at most %d resolvers", w, maxResolvers)
			break
		}
		resolvers = append(resolvers, withPort(r))
	}
	if err == nil && len(resolvers) == 0 {
		resolvers, err = a.own()
	}
	if err != nil {
		return q, nil, &state.Problem{What: fmt.Sprintf("%q cannot be looked up", query), Why: state.Clean(err.Error()),
			Do: "Correct the probe's dns in the runbook", Code: "dns-query"}
	}
	return q, resolvers, nil
}

func withPort(resolver string) string {
	if _, _, err := net.SplitHostPort(resolver); err == nil {
		return resolver
	}
	return net.JoinHostPort(strings.Trim(resolver, "[]"), "53")
}

// own gives this host's resolvers.
func (a Asker) own() ([]string, error) {
	name := cmp.Or(a.Config, "/etc/resolv.conf")
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" && !slices.Contains(out, withPort(f[1])) {
			out = append(out, withPort(f[1]))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s names no resolver", name)
	}
	return out, nil
}

// judge makes a reading of what the resolvers said.
func judge(p state.Probe, all []said) (probes.Reading, error) {
	want := wanted(p, all)
	agree, silent := 0, 0
	var others []string
	for _, s := range all {
		switch {
		case s.err == nil && slices.Equal(s.records, want):
			agree++
			continue
		case s.err != nil:
			silent++
		}
		others = append(others, fmt.Sprintf("%s: %s", shown(s.resolver), s.text()))
	}
	if silent == len(all) {
		return probes.Reading{}, &state.Problem{What: "no resolver answers", Why: strings.Join(others, "; "),
			Do: "Check the resolvers' addresses, the network and the VPN", Code: "no-answer"}
	}
	if len(p.Want) == 0 && len(want) == 0 && agree+silent == len(all) {
		return probes.Reading{NoData: true, Text: "there is no such record"}, nil
	}
	r := probes.Reading{Value: float64(agree) / float64(len(all))}
	r.Text = fmt.Sprintf("%d/%d answer %s", agree, len(all), said{records: want}.text())
	if len(others) > 0 {
		r.Verdict = state.Warn
		r.Text += "; " + strings.Join(others, "; ")
	}
	return r, nil
}

// wanted gives the answer that counts as right.
func wanted(p state.Probe, all []said) []string {
	if len(p.Want) > 0 {
		kind, _, _ := strings.Cut(p.Query, " ")
		var out []string
		for _, w := range p.Want {
			out = append(out, normal(kind, w))
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	var best []string
	most := 0
	for _, s := range all {
		n := 0
		for _, o := range all {
			if s.err == nil && o.err == nil && slices.Equal(s.records, o.records) {
				n++
			}
		}
		if n > most {
			best, most = s.records, n
		}
	}
	return best
}

// shown leaves the usual port out.
func shown(resolver string) string {
	if host, port, err := net.SplitHostPort(resolver); err == nil && port == "53" {
		return host
	}
	return resolver
}
