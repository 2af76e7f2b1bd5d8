package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	maxPacket = 4096 // that fits one UDP answer as asked for
	tries     = 3    // of UDP, which loses packets
)

var kinds = map[string]dnsmessage.Type{"A": dnsmessage.TypeA, "AAAA": dnsmessage.TypeAAAA, "CNAME": dnsmessage.TypeCNAME,
	"MX": dnsmessage.TypeMX, "NS": dnsmessage.TypeNS, "TXT": dnsmessage.TypeTXT}

type question struct {
	kind dnsmessage.Type
	name dnsmessage.Name
}

func newQuestion(kind, name string) (question, error) {
	t, ok := kinds[strings.ToUpper(kind)]
	if !ok {
		return question{}, fmt.Errorf("%q is not a type of record asked for here", kind)
	}
	n, err := dnsmessage.NewName(strings.TrimSuffix(name, ".") + ".")
	if err != nil {
		return question{}, fmt.Errorf("%q is not a name: %w", name, err)
	}
	q := question{t, n}
	m := dnsmessage.Message{Questions: q.list()}
	if _, err := m.Pack(); err != nil {
		return question{}, fmt.Errorf("%q is not a name", name)
	}
	return q, nil
}

func (q question) list() []dnsmessage.Question {
	return []dnsmessage.Question{{Name: q.name, Type: q.kind, Class: dnsmessage.ClassINET}}
}

// lookup asks one resolver: by UDP, several times where nothing comes, and by TCP
// where the answer is too long for that. No such name is no records, not an error.
func lookup(ctx context.Context, resolver string, q question) ([]string, error) {
	end, _ := ctx.Deadline()
	each := time.Until(end) / tries
	var answer dnsmessage.Message
	var err error
	for range tries {
		tctx, cancel := context.WithTimeout(ctx, each)
		answer, err = exchange(tctx, "udp", resolver, q)
		if err == nil && answer.Truncated {
			answer, err = exchange(ctx, "tcp", resolver, q)
		}
		cancel()
		var timeout net.Error
		if err == nil || !errors.As(err, &timeout) || !timeout.Timeout() || ctx.Err() != nil {
			break
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, errors.New("no answer in time")
	case err != nil:
		return nil, err
	}
	switch answer.RCode {
	case dnsmessage.RCodeSuccess, dnsmessage.RCodeNameError:
		return records(answer, q), nil
	}
	return nil, errors.New("answers " + strings.TrimPrefix(answer.RCode.String(), "RCode"))
}

// exchange sends the question and reads its answer.
func exchange(ctx context.Context, network, resolver string, q question) (dnsmessage.Message, error) {
	var m dnsmessage.Message
	ask := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: uint16(rand.Uint32()), RecursionDesired: true},
		Questions: q.list(),
	}
	var size dnsmessage.ResourceHeader
	if err := size.SetEDNS0(maxPacket, dnsmessage.RCodeSuccess, false); err != nil {
		return m, err
	}
	ask.Additionals = []dnsmessage.Resource{{Header: size, Body: &dnsmessage.OPTResource{}}}
	packet, err := ask.Pack()
	if err != nil {
		return m, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, resolver)
	if err != nil {
		return m, err
	}
	defer conn.Close()
	// A cancelled question ends the read below.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if network == "tcp" {
		packet = append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
	}
	if _, err := conn.Write(packet); err != nil {
		return m, err
	}
	for {
		packet, err := receive(conn, network)
		if err != nil {
			return m, err
		}
		if err := m.Unpack(packet); err != nil {
			return m, fmt.Errorf("the answer is not DNS: %w", err)
		}
		// What answers another question came late, or from somebody else.
		if m.ID == ask.ID && m.Response && len(m.Questions) == 1 && m.Questions[0].Type == q.kind &&
			strings.EqualFold(m.Questions[0].Name.String(), q.name.String()) {
			return m, nil
		}
	}
}

func receive(conn net.Conn, network string) ([]byte, error) {
	buf := make([]byte, maxPacket)
	if network == "udp" {
		n, err := conn.Read(buf)
		return buf[:n], err
	}
	if _, err := io.ReadFull(conn, buf[:2]); err != nil {
		return nil, err
	}
	buf = make([]byte, binary.BigEndian.Uint16(buf))
	_, err := io.ReadFull(conn, buf)
	return buf, err
}

// records gives the answers of the kind that was asked for, sorted; on the way to an
// address there may be aliases, which are left out.
func records(m dnsmessage.Message, q question) []string {
	var out []string
	for _, r := range m.Answers {
		if r.Header.Type != q.kind {
			continue
		}
		switch b := r.Body.(type) {
		case *dnsmessage.AResource:
			out = append(out, netip.AddrFrom4(b.A).String())
		case *dnsmessage.AAAAResource:
			out = append(out, netip.AddrFrom16(b.AAAA).String())
		case *dnsmessage.CNAMEResource:
			out = append(out, host(b.CNAME.String()))
		case *dnsmessage.NSResource:
			out = append(out, host(b.NS.String()))
		case *dnsmessage.MXResource:
			out = append(out, fmt.Sprintf("%d %s", b.Pref, host(b.MX.String())))
		case *dnsmessage.TXTResource:
			out = append(out, strings.Join(b.TXT, ""))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func host(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// normal writes a wanted record as records does.
func normal(kind, want string) string {
	switch strings.ToUpper(kind) {
	case "A", "AAAA":
		if a, err := netip.ParseAddr(want); err == nil {
			return a.String()
		}
	case "TXT":
		return want
	}
	return host(want)
}
