// Package slack posts to Slack by a bot's token or by an incoming webhook. The bot
// can also correct what it has posted, and open a channel as a war room.
//
// Protocols and limits: docs.slack.dev, chat.postMessage and chat.update (the text),
// "Blocks", "Header block" and "Section block", "Rate limits", and the changelog of
// 17 May 2016 for the errors of incoming webhooks, whose metadata Slack's own clients
// send (python-slack-sdk, pull request 1362). What all blocks of a message may hold
// together is documented nowhere: Slack's people name 12,000 characters and a part of
// it for each block (bolt-js, issues 2509 and 2867); chat.update was seen to count the
// text in bytes.
package slack

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/slack-go/slack"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/comms"
	"mayday/steps/comms/web"
)

// Kind is the word for it in a runbook.
const Kind = "slack"

// Slack's limits.
const (
	maxBlocks  = 50
	maxHeader  = 150    // characters of a header
	maxSection = 3000   // characters of a section's text
	maxAll     = 10_000 // bytes of all blocks' texts: 11,341 characters were refused
	maxText    = 4000   // bytes of the text for notifications, which chat.update allows
)

// eventType names mayday's metadata of a message: letters, digits and underscores.
const eventType = "mayday_message"

type channel struct {
	c   runbook.Channel
	web *web.Client
}

// New makes a channel: a bot's where the entry names a token, else a webhook's.
func New(c runbook.Channel) (comms.Channel, error) {
	return &channel{c, web.New(c.Name)}, nil
}

func (s *channel) bot() bool { return s.c.TokenEnv != "" || s.c.TokenFile != "" }

// Corrects implements comms.Corrector: webhooks cannot.
func (s *channel) Corrects() bool { return s.bot() }

// hooked is what a webhook takes; slack-go's message has no metadata.
type hooked struct {
	slack.WebhookMessage
	Metadata *slack.SlackMetadata `json:"metadata,omitempty"`
}

// Send posts, or corrects what the bot has posted. The letter's key travels in the
// message's metadata.
func (s *channel) Send(ctx context.Context, l comms.Letter) (string, error) {
	blocks, text := render(l)
	meta := slack.SlackMetadata{EventType: eventType, EventPayload: map[string]any{"key": l.Key, "incident": l.Incident.ID}}
	if !s.bot() {
		return "", s.hook(ctx, hooked{slack.WebhookMessage{Text: text, Blocks: &slack.Blocks{BlockSet: blocks}}, &meta})
	}
	api, err := s.api()
	if err != nil {
		return "", err
	}
	with := []slack.MsgOption{slack.MsgOptionText(text, false), slack.MsgOptionBlocks(blocks...), slack.MsgOptionDisableLinkUnfurl(),
		slack.MsgOptionMetadata(meta)}
	if room, ts, ok := strings.Cut(l.Message.Ref, ":"); ok {
		_, _, _, err := api.UpdateMessageContext(ctx, room, ts, with...)
		return l.Message.Ref, s.sort(err)
	}
	room, ts, err := api.PostMessageContext(ctx, s.c.Room, with...)
	if err != nil {
		return "", s.sort(err)
	}
	return room + ":" + ts, nil
}

// Reach lets Slack look at the token, or at a message without words, which a webhook
// that lives refuses as such.
func (s *channel) Reach(ctx context.Context) (string, error) {
	if s.bot() {
		api, err := s.api()
		if err != nil {
			return "", err
		}
		who, err := api.AuthTestContext(ctx)
		if err != nil {
			return "", s.sort(err)
		}
		return "the token is " + state.Clean(who.User) + "'s of " + state.Clean(who.Team), nil
	}
	err := s.hook(ctx, hooked{})
	if f, ok := errors.AsType[*comms.Failure](err); ok && f.Permanent && (strings.Contains(f.Why, "no_text") || strings.Contains(f.Why, "invalid_payload")) {
		return "the webhook answers", nil
	}
	return "the webhook answers", err
}

// Secrets implements comms.Channel.
func (s *channel) Secrets() []string {
	if s.bot() {
		return comms.TokenSecrets(s.c)
	}
	return comms.AddressSecrets(s.c)
}

// hook posts to the webhook. slack-go's own needs an *http.Client and hides Slack's
// words; the payload is its.
func (s *channel) hook(ctx context.Context, m hooked) error {
	to, err := comms.Address(s.c)
	if err != nil {
		return err
	}
	_, err = s.web.JSON(ctx, http.MethodPost, to, nil, m, nil)
	return err
}

func (s *channel) api() (*slack.Client, error) {
	token, err := comms.Secret(s.c.Name, "token", s.c.TokenEnv, s.c.TokenFile)
	if err != nil {
		return nil, err
	}
	options := []slack.Option{slack.OptionHTTPClient(s.web)}
	if s.c.URL != "" { // an API of the team's own, as behind a gateway
		options = append(options, slack.OptionAPIURL(strings.TrimSuffix(s.c.URL, "/")+"/"))
	}
	return slack.New(token, options...), nil
}

// passing are the errors that Slack's documentation calls its own, and those of a
// limit: the message is fine.
var passing = []string{"ratelimited", "rate_limited", "message_limit_exceeded", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"}

// sort makes a failure of what slack-go says.
func (s *channel) sort(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*comms.Failure](err); ok {
		return err
	}
	answer, ok := errors.AsType[slack.SlackErrorResponse](err)
	if !ok {
		return comms.Unreached(s.c.Name, err.Error())
	}
	for _, word := range passing {
		if answer.Err == word {
			return comms.Refused(s.c.Name, "Slack says "+answer.Err, false)
		}
	}
	return comms.Refused(s.c.Name, "Slack says "+answer.Err, true)
}

// render lays a letter out: its first line as header, the rest in sections. What
// does not fit is cut, and says so. The text is for notifications.
func render(l comms.Letter) ([]slack.Block, string) {
	title, rest := l.First()
	title = runes(cmp.Or(title, l.Incident.ID), maxHeader)
	blocks := []slack.Block{slack.NewHeaderBlock(slack.NewTextBlockObject(slack.PlainTextType, title, false, false))}
	left := maxAll - len(title) - len(cut)
	for part := range sections(rest) {
		left -= len(part)
		full := left < 0 || len(blocks) == maxBlocks-1
		if full {
			part = cut
		}
		blocks = append(blocks, slack.NewSectionBlock(slack.NewTextBlockObject(slack.MarkdownType, part, false, true), nil, nil))
		if full {
			break
		}
	}
	return blocks, octets(escape(cmp.Or(strings.TrimSpace(l.Message.Text), l.Incident.ID)), maxText)
}

// cut stands where the rest of a text would.
const cut = "[cut: the journal has the whole text]"
