// Package teams posts to a Microsoft Teams channel or chat through the webhook of a
// workflow ("Post to a channel when a webhook request is received"), as an Adaptive
// Card.
//
// Protocol and limits: learn.microsoft.com, "Create an Incoming Webhook" and "Send
// Adaptive Cards using an Incoming Webhook" (the envelope, 28 KB a message, four
// requests a second), "Microsoft Teams connector" (what a workflow posts is held to the
// same 28 KB); the card: microsoft/AdaptiveCards, schemas/1.4.0, the last version that
// workflows show (issue 8965 there). A workflow takes a request with 202 and fails
// afterwards, unseen, where Teams finds its message too large; and Teams counts more
// than was sent (msteams-docs, issue 11274: a request of 24,453 bytes as 28,897).
package teams

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"sort"
	"strconv"
	"strings"

	"mayday/state/runbook"
	"mayday/steps/comms"
	"mayday/steps/comms/web"
)

// Kind is the word for it in a runbook.
const Kind = "teams"

// maxMessage is Teams' limit in bytes, less a part for what the workflow adds.
const maxMessage = 28<<10 - 1<<10

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
	card := func(limit int) message {
		return cardOf(cmp.Or(strings.TrimSpace(comms.Fit(l.Message.Text, limit)), l.Incident.ID))
	}
	most := min(len(l.Message.Text), maxMessage)
	return card(sort.Search(most, func(n int) bool { return weight(card(n+1)) > maxMessage }))
}

// weight is how many bytes a message may count in Teams, where its card is a string in
// other JSON: quotes and backslashes twice, and, to be on the safe side, everything
// beyond ASCII written out.
func weight(m message) int {
	b, err := json.Marshal(m)
	if err != nil {
		return 0 // strings always marshal
	}
	return len(strconv.QuoteToASCII(string(b)))
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
