// Package state holds what is true of an incident and how it came to be so.
//
// Everything that happened is a [Fact] inside an [Event]; everything on screen
// is the fold of events, an [Incident], plus a clock. The package imports only
// the standard library, does no IO and never asks what time it is: time comes in
// with events and as arguments. That is what lets the live cockpit, a second
// cockpit over the socket, a take-over after a crash and a replay a week later
// show the same thing: they all run the same [Incident.Apply].
//
// Words: an incident has steps, a step has items (checks, actions, sign-offs);
// steps 3 to 15 once through are an attempt; a rollout is one deployment to one
// environment and has stages; a probe gives samples, thresholds turn samples into
// verdicts, gates consume verdicts.
package state
