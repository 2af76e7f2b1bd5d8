package router

import (
	"slices"
	"sync"
)

// chooser picks a backend for each request: destinations by smooth weighted
// round-robin, so that of any 100 requests in a row a weight of 25 gets exactly
// 25, and the backends of a destination in turn. Safe for concurrent use.
type chooser struct {
	mu    sync.Mutex
	lanes []lane
}

type lane struct {
	destination
	backends []string
	credit   int
	next     int
}

// set replaces the table. Credit and turn survive for destinations that stay with
// the same weights, so that a pod's coming or going does not skew the shares.
func (c *chooser) set(lanes []lane) {
	c.mu.Lock()
	defer c.mu.Unlock()
	same := len(lanes) == len(c.lanes)
	for i := 0; same && i < len(lanes); i++ {
		same = lanes[i].destination == c.lanes[i].destination
	}
	if same {
		for i := range lanes {
			lanes[i].credit, lanes[i].next = c.lanes[i].credit, c.lanes[i].next
		}
	}
	c.lanes = lanes
}

// pick gives the backends for one request, the chosen one first; the others of its
// destination follow for when it cannot be reached. None means 503.
func (c *chooser) pick() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	total, best := 0, -1
	for i := range c.lanes {
		l := &c.lanes[i]
		if l.weight <= 0 {
			continue
		}
		total += l.weight
		l.credit += l.weight
		if best < 0 || l.credit > c.lanes[best].credit {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	l := &c.lanes[best]
	l.credit -= total
	if len(l.backends) == 0 {
		return nil
	}
	at := l.next % len(l.backends)
	l.next = at + 1
	return slices.Concat(l.backends[at:], l.backends[:at])
}
