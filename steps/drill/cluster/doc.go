// Package cluster is the practice range's Kubernetes: an API server on loopback,
// with the controllers that a rollout needs, in this process and in memory.
//
// Production client-go code and kubectl talk to it unmodified: discovery, lists,
// watches with resource versions and bookmarks, optimistic locking, JSON, merge and
// strategic merge patches, server dry run, managed fields, Status errors, tables.
// What it does not do it refuses with 501; Verbs is the table of what it does.
//
// The controllers (deployment, replica set, stateful set, endpoint slice, garbage collector,
// scheduler) count as the real ones do. There is no kubelet: a Pod becomes
// ready when a client patches its status, and a terminating Pod goes when a client
// deletes it with grace 0, or when its grace period has passed.
//
// How a write becomes a rollout:
//
//	request ──> server ──> store (one lock, one counter) ──> ring of changes ──> watches
//	                         ▲                                     │
//	                         └──────────── controllers <───────────┘
//
// The store keeps typed objects (unstructured ones for custom resources) that are
// never changed once stored. One goroutine runs all controllers; it sleeps until
// the store changes or the nearest timer is due.
package cluster
