// Package drill is the practice range: everything that a hotfix needs, real and on
// this machine alone. A range is a git remote with a clone, a cluster API with its
// controllers, an HTTP server for each pod behind a router that obeys selectors and
// weights, customers' traffic, metrics and a sink for messages, all on 127.0.0.1 in
// one folder, without network, root or containers, and gone when it is closed.
//
//	customers ──> router ──> pods ──> /metrics <── whoever scrapes targets.json
//	                │          │
//	                └─ watch ──┴── cluster API <── kubectl, mayday
//
// A Scenario says how the versions of the app behave and how the drill should end;
// an Operator plays it by itself; Score says how it went.
package drill
