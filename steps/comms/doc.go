// Package comms tells people: it renders messages from templates, posts them to
// channels, and works the outbox off.
//
// The outbox is no second store: a message is in it because the journal says that
// it was queued and does not say that it arrived. [Due] decides over that fold
// what to try now; [Outbox] tries it and reports each try as a fact. Whatever
// process takes an incident over therefore sends what the last one did not. A
// message that was posted just before a crash is posted again, with the same
// Idempotency-Key.
//
// Pages have senders of their own and wait for no other message.
package comms
