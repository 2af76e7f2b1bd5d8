// Package teams posts to a Microsoft Teams channel or chat through the webhook of a
// workflow ("Post to a channel when a webhook request is received"), as an Adaptive
// Card.
//
// Protocol and limits: learn.microsoft.com, "Create incoming webhooks with Workflows"
// and "Format cards in Microsoft Teams": a message has at most 28 KB.
package teams

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"mayday/state/runbook"
	"mayday/steps/comms"
	"mayday/steps/comms/web"
)

// Kind is the word for it in a runbook.
const Kind = "teams"

const maxMessage = 28 << 10 // bytes of JSON

type (
	message struct {
		Type        string       `json:"type"`
		Attachments []attachment `json:"attachments"`
	}
	attachment struct {
		ContentType string `json:"contentType"`
		Content     card   `json:"content"`
	}
	card struct {
		Schema  string  `json:"$schema"`
		Type    string  `json:"type"`
		Version string  `json:"version"`
		Body    []block `json:"body"`
	}
	// block is a line. Text runs are shown as they are; a TextBlock would read
	// Markdown in what somebody typed.
	block struct {
		Type    string `json:"type"`
		Spacing string `json:"spacing,omitempty"`
		Inlines []run  `json:"inlines"`
	}
	run struct {
		Type   string `json:"type"`
		Text   string `json:"text"`
		Weight string `json:"weight,omitempty"`
		Size   string `json:"size,omitempty"`
	}
)

type channel struct {
	c   runbook.Channel
	web *web.Client
}

// New makes a channel.
func New(c runbook.Channel) (comms.Channel, error) { return &channel{c, web.New(c.Name)}, nil }

// Send posts the card. Teams has no field for the letter's key: it stands in the
// request as Idempotency-Key, for a gateway in between.
func (s *channel) Send(ctx context.Context, l comms.Letter) (string, error) {
	to, err := comms.Address(s.c)
	if err != nil {
		return "", err
	}
	said, err := s.web.JSON(ctx, http.MethodPost, to, http.Header{"Idempotency-Key": {l.Key}}, render(l), nil)
	// The connectors that workflows replaced answer 200 and say in words what failed.
	if err == nil && strings.Contains(string(said), "failed with error") {
		err = comms.Refused(s.c.Name, string(said[:min(len(said), 300)]), false)
	}
	return "", err
}

// Reach asks the workflow's server for an answer.
func (s *channel) Reach(ctx context.Context) (string, error) {
	to, err := comms.Address(s.c)
	if err != nil {
		return "", err
	}
	return s.web.Reach(ctx, to)
}

// Secrets implements comms.Channel.
func (s *channel) Secrets() []string { return comms.AddressSecrets(s.c) }

// render makes the card; a text too long for it is cut.
func render(l comms.Letter) message {
	text := l.Message.Text
	for limit := maxMessage; ; limit -= 1 << 10 {
		m := cardOf(cmp.Or(strings.TrimSpace(text), l.Incident.ID))
		b, err := json.Marshal(m)
		if err != nil || len(b) <= maxMessage || limit <= 0 { // strings always marshal
			return m
		}
		text = comms.Fit(l.Message.Text, limit)
	}
}

func cardOf(text string) message {
	c := card{Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4"}
	space := ""
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimRight(line, " \t"); line == "" {
			space = "Medium"
			continue
		}
		r := run{Type: "TextRun", Text: line}
		if len(c.Body) == 0 {
			r.Weight, r.Size = "Bolder", "Large"
		}
		c.Body = append(c.Body, block{Type: "RichTextBlock", Spacing: cmp.Or(space, "None"), Inlines: []run{r}})
		space = ""
	}
	return message{Type: "message", Attachments: []attachment{{ContentType: "application/vnd.microsoft.card.adaptive", Content: c}}}
}
