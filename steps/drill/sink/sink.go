// Package sink is where the practice range's messages arrive: a webhook that keeps
// and shows them, instead of a chat.
package sink

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"mayday/state"
)

// keep bounds the messages that are kept; the oldest go first.
const keep = 1000

// largest is the largest message that is taken, in bytes.
const largest = 64 << 10

// Message is one thing that was posted.
type Message struct {
	At      time.Time `json:"at"`      // real time
	Channel string    `json:"channel"` // the path it was posted to, without the slash
	Text    string    `json:"text"`    // the "text" of a JSON body, else the body; one or more lines
}

// Sink takes messages until it is closed. Safe for concurrent use.
type Sink struct {
	URL string // "http://127.0.0.1:41234"; POST to any path below it

	server *http.Server
	wg     sync.WaitGroup

	mu       sync.Mutex
	messages []Message
}

// Start listens on 127.0.0.1.
func Start(ctx context.Context) (*Sink, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Sink{URL: "http://" + l.Addr().String()}
	s.server = &http.Server{Handler: s.handler(), ReadTimeout: 5 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	s.wg.Go(func() { _ = s.server.Serve(l) }) // always http.ErrServerClosed
	return s, nil
}

// Close stops listening and waits.
func (s *Sink) Close() {
	_ = s.server.Close() // its listener and connections are gone either way
	s.wg.Wait()
}

// Messages gives a copy of what came, oldest first.
func (s *Sink) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

func (s *Sink) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /", s.take)
	mux.HandleFunc("GET /", s.show)
	return mux
}

func (s *Sink) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largest))
	if err != nil {
		http.Error(w, "the message is too large", http.StatusRequestEntityTooLarge)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, Message{At: time.Now().UTC(), Channel: strings.Trim(r.URL.Path, "/"), Text: text(body)})
	if extra := len(s.messages) - keep; extra > 0 {
		s.messages = slices.Delete(s.messages, 0, extra)
	}
	w.WriteHeader(http.StatusOK)
	fmt.Fprintln(w, "ok")
}

// text is what a person reads of a message.
func text(body []byte) string {
	var m struct {
		Text string `json:"text"`
	}
	if json.Unmarshal(body, &m) == nil && m.Text != "" {
		return state.CleanLines(m.Text)
	}
	return state.CleanLines(string(body))
}

// show lists the messages, as text for people and as JSON for who asks for it.
func (s *Sink) show(w http.ResponseWriter, r *http.Request) {
	messages := s.Messages()
	if strings.Contains(r.Header.Get("Accept"), "json") || r.URL.Query().Get("format") == "json" {
		w.Header().Set("Content-Type", "application/json")
		if messages == nil {
			messages = []Message{}
		}
		_ = json.NewEncoder(w).Encode(messages) // an error is the client's going away
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, m := range messages {
		fmt.Fprintf(w, "%s  %s\n", m.At.Format(time.RFC3339), m.Channel)
		for line := range strings.SplitSeq(strings.TrimRight(m.Text, "\n"), "\n") {
			fmt.Fprintf(w, "    %s\n", line)
		}
	}
}
