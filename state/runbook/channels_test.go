package runbook

import (
	"errors"
	"strings"
	"testing"
)

func TestChannels(t *testing.T) {
	for yaml, says := range map[string]string{ // "" where it is fine
		"{url: 'https://x.example.com/'}": "",
		"{}":                              "needs one of url, url_env",
		"{url: 'https://x.example.com/', url_env: A}":                                 "needs one of url, url_env",
		"{kind: slack, url_env: A}":                                                   "",
		"{kind: slack, url: 'https://hooks.slack.com/services/x'}":                    "would be a secret in this file",
		"{kind: slack, token_env: A, room: '#ops'}":                                   "",
		"{kind: slack, token_env: A, room: '#ops', url: 'https://gov.slack.com/api'}": "",
		"{kind: slack, token_env: A}":                                                 "needs room",
		"{kind: slack, token_env: A, url_env: B, room: '#ops'}":                       "url_env is for",
		"{kind: slack, url_env: A, room: '#ops'}":                                     "room is for kind slack with a token",
		"{kind: slack, token_env: A, token_file: b, room: '#ops'}":                    "needs one of token_env",
		"{kind: teams, url_file: a}":                                                  "",
		"{kind: teams}":                                                               "needs one of url_env",
		"{kind: teams, token_env: A, url_env: B}":                                     "token_env is for kind slack, pagerduty or statuspage",
		"{kind: pagerduty, token_file: a}":                                            "",
		"{kind: pagerduty}":                                                           "needs one of token_env",
		"{kind: statuspage, token_env: A, page: p, components: [c]}":                  "",
		"{kind: statuspage, token_env: A}":                                            "needs page",
		"{kind: teams, url_env: A, page: p, components: [c]}":                         "page is for kind statuspage",
		"{kind: shoutrrr, url_env: A}":                                                "",
		"{kind: shoutrrr, url: 'ntfy://ntfy.sh/secret'}":                              "would be a secret in this file",
		"{kind: command, command: [./tell.sh]}":                                       "",
		"{kind: command, command: {run: []}}":                                         "has no program to run",
		"{kind: command}":                                                             "needs a command",
		"{kind: command, command: [./tell.sh], url: 'https://x.example.com/'}":        "url is for the other kinds",
		"{kind: mail, mail: {host: h, from: a@x.example, to: [b@x.example]}}":         "",
		"{kind: mail}": "needs mail",
		"{kind: mail, mail: {host: h, from: a@x.example, to: [b]}}":                           "is no mail address",
		"{kind: mail, mail: {host: h, from: a@x.example, to: [b@x.example], tls: no-thanks}}": "unknown way to TLS",
		"{kind: mail, mail: {host: h, from: a@x.example, to: [b@x.example], user: u}}":        "needs one of password_env",
		"{kind: mail, mail: {host: h, from: a@x.example, to: [b@x.example], port: 99999}}":    "is no port",
		"{kind: pigeon, url_env: A}": "unknown kind of channel",
	} {
		rb, err := Parse("mayday.yaml", []byte("service: shop\nchannels:\n  - "+yaml+"\n"))
		e, bad := errors.AsType[*Error](err)
		switch {
		case says == "" && err != nil, says != "" && (!bad || !strings.Contains(e.Issues[0].Text, says) || e.Issues[0].Line != 3):
			t.Errorf("%s: %v", yaml, err)
		case says == "" && rb.Channels[0].Name != rb.Channels[0].Kind:
			t.Errorf("%s: named %q", yaml, rb.Channels[0].Name)
		}
	}
}

func TestMailPorts(t *testing.T) {
	for tls, port := range map[string]int{"starttls": 587, "implicit": 465} {
		rb, err := Parse("/etc/mayday.yaml", []byte("service: shop\nchannels: [{kind: mail, mail: {host: h, tls: "+tls+", from: a@x.example, to: [b@x.example], user: u, password_file: pw}}]\n"))
		if err != nil || rb.Channels[0].Mail.Port != port || rb.Channels[0].Mail.PasswordFile != "/etc/pw" {
			t.Errorf("%s: %v", tls, err)
		}
	}
}

func TestAnExcerptHoldsNoServiceURL(t *testing.T) {
	_, err := Parse("mayday.yaml", []byte("service: shop\nchannels:\n  - {kind: shoutrrr, url: 'telegram://110201543:AAHdqTcvCH1vGWJxfSeofSAs@telegram'}\n  - {kind: teams, url: 'https://x.example.com/workflows/SECRETSECRET'}\n"))
	if err == nil || strings.Contains(err.Error(), "AAHdq") || strings.Contains(err.Error(), "SECRETSECRET") {
		t.Errorf("%v", err)
	}
}

func TestTicketsAndRooms(t *testing.T) {
	for yaml, says := range map[string]string{
		"tickets: {kind: github, repo: acme/shop, token_env: A}":                                       "",
		"tickets: {kind: github, repo: shop, token_env: A}":                                            "repo: owner/name",
		"tickets: {kind: github, repo: acme/shop}":                                                     "needs one of token_env",
		"tickets: {kind: jira, url: 'https://x.atlassian.net', project: PROD, user: a, token_file: b}": "",
		"tickets: {kind: jira, project: PROD, token_env: A}":                                           "needs url",
		"tickets: {kind: jira, url: 'https://x.atlassian.net', project: P, token_env: A, repo: a/b}":   "repo is for kind github",
		"tickets: {kind: command, command: [./ticket.sh]}":                                             "",
		"tickets: {kind: command}":                                                                     "needs a command",
		"tickets: {kind: gitlab, token_env: A}":                                                        "unknown kind of tracker",
		"channels: [{name: team, kind: slack, token_env: A, room: '#ops'}]\nwar_room: 'slack:team'":    "",
		"channels: [{name: team, kind: slack, url_env: A}]\nwar_room: 'slack:team'":                    "no channel of kind slack with a token",
	} {
		_, err := Parse("mayday.yaml", []byte("service: shop\n"+yaml+"\n"))
		e, bad := errors.AsType[*Error](err)
		if says == "" && err != nil || says != "" && (!bad || !strings.Contains(e.Issues[0].Text, says)) {
			t.Errorf("%s: %v", yaml, err)
		}
	}
}
