package dns

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"mayday/probes"
	"mayday/probes/probetest"
	"mayday/state"
)

// resolver answers every question by f, over UDP and TCP; nil of f is silence.
func resolver(t *testing.T, f func(m *dnsmessage.Message, network string) []byte) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	udp, tcp := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(udp)
		buf := make([]byte, maxPacket)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) == nil {
				if b := f(&m, "udp"); b != nil {
					_, _ = pc.WriteTo(b, from)
				}
			}
		}
	}()
	go func() {
		defer close(tcp)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			head := make([]byte, 2)
			_, _ = io.ReadFull(c, head)
			buf := make([]byte, binary.BigEndian.Uint16(head))
			_, _ = io.ReadFull(c, buf)
			var m dnsmessage.Message
			if m.Unpack(buf) == nil {
				b := f(&m, "tcp")
				_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); pc.Close(); <-udp; <-tcp })
	return ln.Addr().String()
}

// reply answers with a code and these bodies.
func reply(code dnsmessage.RCode, bodies ...dnsmessage.ResourceBody) func(*dnsmessage.Message, string) []byte {
	return func(m *dnsmessage.Message, _ string) []byte {
		m.Response, m.RCode, m.Additionals = true, code, nil
		for _, b := range bodies {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 60}, Body: b})
		}
		packet, err := m.Pack()
		if err != nil {
			panic(err)
		}
		return packet
	}
}

func a(last byte) dnsmessage.ResourceBody {
	return &dnsmessage.AResource{A: [4]byte{203, 0, 113, last}}
}

func silence(*dnsmessage.Message, string) []byte { return nil }

func TestConformance(t *testing.T) {
	probetest.Run(t, func(t *testing.T, w probetest.World) (probetest.Subject, bool) {
		kind, f := "A", reply(dnsmessage.RCodeSuccess, a(7))
		switch w {
		case probetest.Well:
		case probetest.Hangs:
			f = silence
		case probetest.Fails:
			f = reply(dnsmessage.RCodeServerFailure)
		case probetest.Garbage:
			f = func(*dnsmessage.Message, string) []byte { return []byte("\x1b[31mhello") }
		case probetest.Escapes:
			kind, f = "TXT", reply(dnsmessage.RCodeSuccess, &dnsmessage.TXTResource{TXT: []string{"\x1b[31mred\x1b]0;t\x07"}})
		case probetest.Empty:
			f = reply(dnsmessage.RCodeNameError)
		case probetest.Refuses:
			gone := strings.TrimPrefix(probetest.Nobody(t), "http://")
			return probetest.Subject{Probe: state.Probe{Name: "dns", Kind: Kind, Query: "A shop.example.com @" + gone}, Asker: Asker{}}, true
		default:
			return probetest.Subject{}, false
		}
		return probetest.Subject{Probe: state.Probe{Name: "dns", Kind: Kind, Query: kind + " shop.example.com @" + resolver(t, f)}, Asker: Asker{}}, true
	})
}

// With several resolvers only what all of them do is an error; one that is well is a
// reading.
func TestConformanceOfSeveralResolvers(t *testing.T) {
	probetest.Run(t, func(t *testing.T, w probetest.World) (probetest.Subject, bool) {
		good, bad := reply(dnsmessage.RCodeSuccess, a(7)), silence
		kind, at := "A", ""
		switch w {
		case probetest.Well: // though one is silent, and one wrong
			at = " @" + resolver(t, good) + " @" + resolver(t, good) + " @" + resolver(t, reply(dnsmessage.RCodeServerFailure))
			return probetest.Subject{Probe: state.Probe{Name: "dns", Kind: Kind, Query: "A shop.example.com" + at}, Asker: Asker{}}, true
		case probetest.Hangs:
		case probetest.Fails:
			bad = reply(dnsmessage.RCodeServerFailure)
		case probetest.Garbage:
			bad = func(*dnsmessage.Message, string) []byte { return []byte("\x1b[31mhello") }
		case probetest.Escapes:
			kind, bad = "TXT", reply(dnsmessage.RCodeSuccess, &dnsmessage.TXTResource{TXT: []string{"\x1b[31mred\x1b]0;t\x07"}})
		case probetest.Empty:
			bad = reply(dnsmessage.RCodeNameError)
		case probetest.Refuses:
			gone := func() string { return strings.TrimPrefix(probetest.Nobody(t), "http://") }
			return probetest.Subject{Probe: state.Probe{Name: "dns", Kind: Kind, Query: "A shop.example.com @" + gone() + " @" + gone()}, Asker: Asker{}}, true
		default:
			return probetest.Subject{}, false
		}
		at = " @" + resolver(t, bad) + " @" + resolver(t, bad) + " @" + resolver(t, bad)
		return probetest.Subject{Probe: state.Probe{Name: "dns", Kind: Kind, Query: kind + " shop.example.com" + at}, Asker: Asker{}}, true
	})
}

func judged(t *testing.T, as Asker, p state.Probe) state.Sample {
	t.Helper()
	now := time.Now()
	r, err := as.Ask(t.Context(), p, now)
	return probes.Judge(p, r, err, now, now)
}

func TestPropagation(t *testing.T) {
	now, other := resolver(t, reply(dnsmessage.RCodeSuccess, a(9), a(7))), resolver(t, reply(dnsmessage.RCodeSuccess, a(7), a(9)))
	before, none := resolver(t, reply(dnsmessage.RCodeSuccess, a(1))), resolver(t, reply(dnsmessage.RCodeNameError))
	broken := resolver(t, reply(dnsmessage.RCodeRefused))
	half := 0.5
	for name, c := range map[string]struct {
		resolvers []string
		want      []string
		verdict   state.Verdict
		value     float64
		text      string
	}{
		"everywhere":       {[]string{now, other}, []string{"203.0.113.7", "203.0.113.9"}, state.OK, 1, "2/2 answer 203.0.113.7 203.0.113.9"},
		"half":             {[]string{now, before}, []string{"203.0.113.9", "203.0.113.7"}, state.Warn, 0.5, before + ": 203.0.113.1"},
		"nobody yet":       {[]string{before, none}, []string{"203.0.113.7"}, state.Crit, 0, none + ": nothing"},
		"one is broken":    {[]string{now, other, broken}, []string{"203.0.113.7", "203.0.113.9"}, state.Warn, 2.0 / 3, broken + ": answers Refused"},
		"most":             {[]string{before, now, other}, nil, state.Warn, 2.0 / 3, before + ": 203.0.113.1"},
		"agreed":           {[]string{now, other}, nil, state.OK, 1, "2/2 answer"},
		"nothing anywhere": {[]string{none}, nil, state.NoData, 0, "no such record"},
		"nothing wanted":   {[]string{none}, []string{"203.0.113.7"}, state.Crit, 0, "0/1 answer 203.0.113.7"},
	} {
		t.Run(name, func(t *testing.T) {
			p := state.Probe{Kind: Kind, Query: "A Shop.Example.com @" + strings.Join(c.resolvers, " @"), Want: c.want, Below: true, Crit: &half}
			if x := judged(t, Asker{}, p); x.Verdict != c.verdict || x.Value != c.value || !strings.Contains(x.Text, c.text) {
				t.Fatalf("%+v", x)
			}
		})
	}
}

func TestLostPacketsAndLongAnswers(t *testing.T) {
	n := 0
	lossy := resolver(t, func(m *dnsmessage.Message, network string) []byte {
		if n++; n < 3 {
			return nil
		}
		return reply(dnsmessage.RCodeSuccess, a(7))(m, network)
	})
	long := resolver(t, func(m *dnsmessage.Message, network string) []byte {
		if network == "udp" {
			m.Truncated = true
			return reply(dnsmessage.RCodeSuccess)(m, network)
		}
		return reply(dnsmessage.RCodeSuccess, &dnsmessage.MXResource{Pref: 10, MX: dnsmessage.MustNewName("Mail.example.com.")})(m, network)
	})
	for query, want := range map[string]string{"A x.example.com @" + lossy: "203.0.113.7", "mx x.example.com @" + long: "10 mail.example.com"} {
		p := state.Probe{Kind: Kind, Query: query, Want: []string{want}}
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // a third of it for each packet
		r, err := Asker{}.Ask(ctx, p, time.Now())
		cancel()
		if err != nil || r.Value != 1 || r.Verdict != "" {
			t.Errorf("%s: %+v, %v", query, r, err)
		}
	}
}

func TestOwnResolvers(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("# mine\nsearch x\nnameserver 10.0.0.1\nnameserver ::1\nnameserver 10.0.0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, got, err := Asker{Config: conf}.parse("A shop.example.com")
	if err != nil || strings.Join(got, " ") != "10.0.0.1:53 [::1]:53" {
		t.Fatal(got, err)
	}
	for _, query := range []string{"", "A", "SRV x.y", "A x..y @1.1.1.1", "A x 1.1.1.1", "A " + strings.Repeat("x", 300)} {
		if _, _, err := (Asker{Config: conf}).parse(query); !state.HasCode(err, "dns-query") {
			t.Errorf("%q: %v", query, err)
		}
	}
}
