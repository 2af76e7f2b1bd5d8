// Package load makes the steady traffic of the practice range: customers who look
// at the catalog and sign in.
package load

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"mayday/steps/drill/app"
)

// DefaultRate is the range's usual traffic, in requests a (real) second.
const DefaultRate = 100

// inFlight bounds the requests under way; while so many are, ticks are skipped as
// customers who give up.
const inFlight = 64

// burst is how many requests one tick starts: fewer wake-ups for the same traffic.
const burst = 2

// Options of a generator.
type Options struct {
	URL  string
	Rate int // requests a second; 0 means DefaultRate
}

// Generator sends until it is closed.
type Generator struct {
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	transport *http.Transport
}

// request is one prepared request.
type request struct {
	method, path string
	body         []byte
}

// Start begins to send.
func Start(ctx context.Context, opts Options) *Generator {
	ctx, cancel := context.WithCancel(ctx)
	if opts.Rate == 0 {
		opts.Rate = DefaultRate
	}
	g := &Generator{cancel: cancel, transport: &http.Transport{MaxIdleConnsPerHost: inFlight}}
	g.wg.Go(func() { g.run(ctx, opts) })
	return g
}

// Close stops and waits for the requests under way to end.
func (g *Generator) Close() {
	g.cancel()
	g.wg.Wait()
	g.transport.CloseIdleConnections()
}

func (g *Generator) run(ctx context.Context, opts Options) {
	client := &http.Client{Transport: g.transport, Timeout: 10 * time.Second}
	slots := make(chan struct{}, inFlight)
	tick := time.NewTicker(burst * time.Second / time.Duration(opts.Rate))
	defer tick.Stop()
	deck := newDeck()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for range burst {
			select {
			case slots <- struct{}{}:
			default:
				continue
			}
			r := deck.next()
			g.wg.Go(func() {
				send(ctx, client, opts.URL, r)
				<-slots
			})
		}
	}
}

// send makes one request; how it went shows in the app's own metrics.
func send(ctx context.Context, client *http.Client, url string, r request) {
	req, err := http.NewRequestWithContext(ctx, r.method, url+r.path, bytes.NewReader(r.body))
	if err != nil {
		return
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", "drill-load")
	resp, err := client.Do(req)
	if err != nil {
		return
	}
	// Read to the end so that the connection can be used again.
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// deck deals requests in an order that repeats nothing and keeps the shares exact
// in any few seconds: of 31 requests 25 are logins, one of each account, five look
// at the catalog and one at the health page.
type deck struct {
	cards []request
	at    int
}

func newDeck() *deck {
	d := &deck{}
	for _, a := range app.Accounts {
		body, err := json.Marshal(map[string]string{"email": a, "password": app.Password})
		if err != nil {
			panic(err) // strings always encode
		}
		d.cards = append(d.cards, request{"POST", "/api/login", body})
	}
	for range 5 {
		d.cards = append(d.cards, request{"GET", "/api/catalog", nil})
	}
	d.cards = append(d.cards, request{"GET", "/health", nil})
	d.at = len(d.cards)
	return d
}

func (d *deck) next() request {
	if d.at == len(d.cards) {
		rand.Shuffle(len(d.cards), func(i, j int) { d.cards[i], d.cards[j] = d.cards[j], d.cards[i] })
		d.at = 0
	}
	d.at++
	return d.cards[d.at-1]
}
