package runbook

import (
	"net/mail"
	"slices"
	"strconv"
)

func (r *Runbook) checkChannels(b *binder) {
	seen := map[string]bool{}
	for i, c := range r.Channels {
		path := "channels[" + strconv.Itoa(i) + "]"
		if seen[c.Name] {
			b.fail(path, "a channel %q is there twice", c.Name)
		}
		seen[c.Name] = true
		b.word(path+".kind", "kind of channel", c.Kind, kinds)
		for j, a := range c.Audiences {
			b.word(path+".audiences["+strconv.Itoa(j)+"]", "audience", a, audiences)
		}
		if slices.Contains(kinds, c.Kind) {
			b.channel(path, c)
		} else if c.URL != "" {
			b.url(path+".url", c.URL)
		}
	}
}

// channel refuses what a kind of channel lacks, and what it would not look at.
func (b *binder) channel(path string, c Channel) {
	token := c.TokenEnv != "" || c.TokenFile != ""
	bot := c.Kind == "slack" && token
	b.addressed(path, c, bot)
	b.only(path, "token_env", c.TokenEnv != "", bot || c.Kind == "pagerduty" || c.Kind == "statuspage", "kind slack, pagerduty or statuspage")
	b.only(path, "token_file", c.TokenFile != "", bot || c.Kind == "pagerduty" || c.Kind == "statuspage", "kind slack, pagerduty or statuspage")
	b.only(path, "room", c.Room != "", bot, "kind slack with a token")
	b.only(path, "page", c.Page != "", c.Kind == "statuspage", "kind statuspage")
	b.only(path, "components", len(c.Components) > 0, c.Kind == "statuspage", "kind statuspage")
	b.only(path, "mail", c.Mail != nil, c.Kind == "mail", "kind mail")
	b.only(path, "command", c.Command != nil, c.Kind == "command", "kind command")
	switch {
	case bot && c.Room == "":
		b.fail(path, "%s needs room: a channel's id, or its name, such as \"#incidents\"", path)
	case c.Kind == "statuspage" && c.Page == "":
		b.fail(path, "%s needs page: the page's id", path)
	case c.Kind == "command" && c.Command == nil:
		b.fail(path, "%s needs a command", path)
	case c.Kind == "command":
		b.program(path+".command", c.Command)
	case c.Kind == "mail":
		b.mail(path, c.Mail)
	}
}

// addressed checks where a channel's service is, and what opens it.
func (b *binder) addressed(path string, c Channel, bot bool) {
	switch {
	case bot || c.Kind == "pagerduty" || c.Kind == "statuspage":
		b.way(path, "token_env (the name of an environment variable) and token_file", c.TokenEnv, c.TokenFile)
		b.only(path, "url_env", c.URLEnv != "", false, "what keeps its secret in its URL; where the server is, says url")
		b.only(path, "url_file", c.URLFile != "", false, "what keeps its secret in its URL; where the server is, says url")
	case c.Kind == "mail" || c.Kind == "command":
		b.only(path, "url", c.URL != "", false, "the other kinds")
		b.only(path, "url_env", c.URLEnv != "", false, "the other kinds")
		b.only(path, "url_file", c.URLFile != "", false, "the other kinds")
	case c.Kind == "webhook":
		b.way(path, "url, url_env (the name of an environment variable) and url_file", c.URL, c.URLEnv, c.URLFile)
	case c.URL != "":
		b.fail(path+".url", "%s.url would be a secret in this file: put it into an environment variable or a file, and name that in url_env or url_file", path)
	default:
		b.way(path, "url_env (the name of an environment variable) and url_file", c.URLEnv, c.URLFile)
	}
	if c.URL != "" {
		b.url(path+".url", c.URL)
	}
}

// way wants one of several texts.
func (b *binder) way(path, names string, given ...string) {
	if n := len(slices.DeleteFunc(given, func(s string) bool { return s == "" })); n != 1 {
		b.fail(path, "%s needs one of %s", path, names)
	}
}

// only refuses a key where nobody looks at it.
func (b *binder) only(path, key string, given, here bool, where string) {
	if given && !here {
		b.fail(path+"."+key, "%s.%s is for %s", path, key, where)
	}
}

// mail checks the server, and who writes to whom.
func (b *binder) mail(path string, m *Mail) {
	if m == nil || m.Host == "" || m.From == "" || len(m.To) == 0 {
		b.fail(path, "%s needs mail: {host: smtp.example.com, from: mayday@example.com, to: [team@example.com]}", path)
		return
	}
	path += ".mail"
	b.word(path+".tls", "way to TLS", m.TLS, mailTLS)
	if m.Port < 1 || m.Port > 65535 {
		b.fail(path+".port", "%s.port is no port", path)
	}
	b.mailbox(path+".from", m.From)
	for i, a := range m.To {
		b.mailbox(path+".to["+strconv.Itoa(i)+"]", a)
	}
	if m.User != "" {
		b.way(path, "password_env (the name of an environment variable) and password_file", m.PasswordEnv, m.PasswordFile)
	}
}

func (b *binder) mailbox(path, s string) {
	if _, err := mail.ParseAddress(s); err != nil {
		b.fail(path, "%s: %q is no mail address", path, s)
	}
}
