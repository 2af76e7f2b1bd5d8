// Package webhook posts messages as plain JSON: "text", which chats read, and what
// programs want to know.
package webhook

import (
	"context"
	"net/http"

	"mayday/state/runbook"
	"mayday/steps/comms"
	"mayday/steps/comms/web"
)

// Kind is the word for it in a runbook.
const Kind = "webhook"

// body is what a webhook gets.
type body struct {
	Text     string `json:"text"`
	Incident string `json:"incident"`
	Audience string `json:"audience,omitempty"`
	Purpose  string `json:"purpose"`
	ID       string `json:"id"`
}

type channel struct {
	c   runbook.Channel
	web *web.Client
}

// New makes a channel.
func New(c runbook.Channel) (comms.Channel, error) {
	return &channel{c, web.New(c.Name)}, nil
}

// Send posts with the letter's key as Idempotency-Key.
func (h *channel) Send(ctx context.Context, l comms.Letter) (string, error) {
	to, err := comms.Address(h.c)
	if err != nil {
		return "", err
	}
	m := l.Message
	_, err = h.web.JSON(ctx, http.MethodPost, to, http.Header{"Idempotency-Key": {l.Key}}, body{m.Text, l.Incident.ID, m.Audience, m.Purpose, m.ID}, nil)
	return "", err
}

func (h *channel) Reach(ctx context.Context) (string, error) {
	to, err := comms.Address(h.c)
	if err != nil {
		return "", err
	}
	return h.web.Reach(ctx, to)
}

func (h *channel) Secrets() []string { return comms.AddressSecrets(h.c) }
