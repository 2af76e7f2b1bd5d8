// Package kube rolls versions out to Kubernetes and takes them back: canary,
// blue-green, rolling and immediate, each a [mayday/steps.Strategy].
//
// A strategy is a list of changes a stage. A change names one object and, from
// the object as it lives, works out the JSON patch that leads to what is wanted,
// or nothing where that is so already. The same change is simulated for the plan
// (command and diff), dry-run for the proof, and written by a stage or by the
// rollback, so what is shown, what is proven and what is done are one thing.
//
// A release that mayday did not make is undone by the strategy last-release, whose plans
// the others make ([mayday/steps.Undoer]): their inverse is that of a rollout which
// nobody began.
//
// # The fence
//
// Every object mayday writes carries two annotations:
//
//	mayday.dev/fence         "<mark>/<epoch>": who owns it
//	mayday.dev/fence-closed  the same text once that owner is finished with it
//
// The first write of an owner sets the fence and tests that it was absent or had
// the value just read; every later one tests it, with the fields it changes, in
// the same patch. A fence of another incident is live until fence-closed equals
// it, and a live one refuses forward work. A rollback takes the object over
// whatever another incident says; only a newer epoch of its own incident stops
// it. A newer fence makes an old fence-closed meaningless by itself; the next attempt
// of the same incident, which works under the epoch its rollback closed, empties it.
//
// The mark is the incident's ID and a hash that no other incident has: on every host the
// first one of a day has the same ID.
package kube
