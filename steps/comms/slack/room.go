package slack

import (
	"context"
	"errors"

	"github.com/slack-go/slack"

	"mayday/steps/comms"
)

const maxName = 80 // characters of a channel's name

// OpenRoom makes a channel of that name, or finds it, and gives its link. The token
// needs channels:manage (and channels:read for one that is there already).
func (s *channel) OpenRoom(ctx context.Context, name string) (string, error) {
	if !s.bot() {
		return "", comms.Refused(s.c.Name, "a webhook cannot make a channel; it takes a bot's token", true)
	}
	api, err := s.api()
	if err != nil {
		return "", err
	}
	name = word(name)
	made, err := api.CreateConversationContext(ctx, slack.CreateConversationParams{ChannelName: name})
	id := ""
	if answer, ok := errors.AsType[slack.SlackErrorResponse](err); ok && answer.Err == "name_taken" {
		id, err = s.find(ctx, api, name) // a try before this one made it
	} else if err == nil {
		id = made.ID
	}
	if err != nil {
		return "", s.sort(err)
	}
	team, err := api.AuthTestContext(ctx)
	if err != nil {
		return "", s.sort(err)
	}
	return "https://slack.com/app_redirect?channel=" + id + "&team=" + team.TeamID, nil
}

func (s *channel) find(ctx context.Context, api *slack.Client, name string) (string, error) {
	for cursor := ""; ; {
		list, next, err := api.GetConversationsContext(ctx, &slack.GetConversationsParameters{Cursor: cursor, Limit: 1000, ExcludeArchived: true,
			Types: []string{"public_channel"}})
		if err != nil {
			return "", err
		}
		for i := range list {
			if list[i].Name == name {
				return list[i].ID, nil
			}
		}
		if cursor = next; cursor == "" {
			return "", comms.Refused(s.c.Name, "there is a channel "+name+" that the bot cannot see", true)
		}
	}
}
