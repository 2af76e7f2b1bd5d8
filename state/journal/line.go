package journal

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"mayday/state"
)

// MaxLine bounds a line, newline included. An event that does not fit is refused
// when it is appended; big things belong into output/ and evidence/.
const MaxLine = 4 << 20

// ShortHash is how many characters of a hash people compare.
const ShortHash = 12

const (
	hexLen  = 2 * sha256.Size
	prevKey = `,"prev":"`
	hashKey = `","hash":"`
	lineEnd = `"}`
	tailLen = len(prevKey) + hexLen + len(hashKey) + hexLen + len(lineEnd)
)

// origin is the prev of the first line.
var origin = strings.Repeat("0", hexLen)

// line is one parsed line. Its event is decoded separately, as checking the chain
// needs none of it.
type line struct {
	head []byte // the JSON object's bytes up to ,"prev"
	prev string
	hash string
	good bool // hash is the hash of the bytes
}

var errShape = errors.New("this is not a line of a journal")

// parseLine takes a line (without its newline) apart. It checks the shape and
// computes the hash, and does not look into the event.
func parseLine(b []byte) (line, error) {
	if len(b) < tailLen+1 || b[0] != '{' {
		return line{}, errShape
	}
	cut := len(b) - tailLen
	tail := b[cut:]
	prev, ok1 := field(tail, prevKey)
	hash, ok2 := field(tail[len(prevKey)+hexLen:], hashKey)
	if !ok1 || !ok2 || !bytes.HasSuffix(tail, []byte(lineEnd)) {
		return line{}, errShape
	}
	hashed := b[:cut+len(prevKey)+hexLen+1] // the closing quote of prev included
	return line{head: b[:cut], prev: prev, hash: hash, good: sum(hashed) == hash}, nil
}

// field reads the hash behind key at the start of b.
func field(b []byte, key string) (string, bool) {
	if len(b) < len(key)+hexLen || string(b[:len(key)]) != key {
		return "", false
	}
	h := b[len(key) : len(key)+hexLen]
	for _, c := range h {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", false
		}
	}
	return string(h), true
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// event decodes the line's event.
func (l line) event() (state.Event, error) {
	var e state.Event
	err := json.Unmarshal(append(bytes.Clone(l.head), '}'), &e)
	return e, err
}

// appendLine adds an event's line to buf and gives its hash.
func appendLine(buf []byte, e state.Event, prev string) ([]byte, string, error) {
	head, err := encode(e)
	if err != nil {
		return buf, "", fmt.Errorf("event %d: %w", e.Seq, err)
	}
	start := len(buf)
	buf = append(buf, head[:len(head)-1]...) // without the closing brace
	buf = append(buf, prevKey...)
	buf = append(buf, prev...)
	buf = append(buf, '"')
	hash := sum(buf[start:])
	buf = append(buf, hashKey[1:]...)
	buf = append(buf, hash...)
	buf = append(buf, lineEnd...)
	buf = append(buf, '\n')
	if n := len(buf) - start; n > MaxLine {
		return buf[:start], "", &state.Problem{What: fmt.Sprintf("an event (%s) of %d bytes does not fit into the journal", e.Fact.Kind(), n),
			Why: fmt.Sprintf("a line may have %d", MaxLine), Do: "Keep big things as files in output/ or evidence/.", Code: "too-big"}
	}
	return buf, hash, nil
}

// encode writes the event as one line of JSON. Unlike json.Marshal it leaves <, >
// and & alone, so that people can read and grep the file.
func encode(e state.Event) ([]byte, error) {
	data, err := marshal(e.Fact)
	if err != nil {
		return nil, err
	}
	return marshal(state.Header{Seq: e.Seq, Time: e.Time, Actor: e.Actor, Kind: e.Fact.Kind(), Data: data})
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

// lines hands the whole lines of r to fn, numbered from 1 and without their
// newline, valid until fn returns. rest is how many bytes follow the last newline.
func lines(r io.Reader, fn func(n int, b []byte) error) (rest int, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	var long []byte // the start of a line longer than the buffer
	for n := 1; ; {
		b, err := in.ReadSlice('\n')
		if len(long) > 0 || errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, b...)
			b = long
		}
		switch {
		case err == nil:
			if err := fn(n, b[:len(b)-1]); err != nil {
				return 0, err
			}
			n++
			long = long[:0]
		case errors.Is(err, io.EOF):
			return len(b), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return 0, err
		case len(long) > MaxLine:
			return 0, fn(n, b) // too long to be a line, and fn says so
		}
	}
}
