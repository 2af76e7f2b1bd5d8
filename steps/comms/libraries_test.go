package comms

// What the channels are built on, and their tests.
import (
	_ "github.com/PagerDuty/go-pagerduty"
	_ "github.com/emersion/go-sasl"
	_ "github.com/emersion/go-smtp"
	_ "github.com/nicholas-fedor/shoutrrr"
	_ "github.com/santhosh-tekuri/jsonschema/v6"
	_ "github.com/slack-go/slack"
	_ "github.com/wneessen/go-mail"
)
