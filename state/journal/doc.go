// Package journal keeps an incident's events on disk: append, fsync, hash chain,
// signed checkpoints, lock, follow, repair; and beside them the samples of probes
// and the captured output of commands.
//
// An incident is a folder, private to its owner (directories 0700, files 0600):
//
//	incidents/<id>/journal.jsonl   the events, one a line, append-only
//	               journal.key     signs checkpoints
//	               keeper.lock     held (flock) by the one process that writes
//	               samples/        readings of probes, a file per keeper
//	               output/         what commands printed
//	               evidence/       files that back an item's outcome
//	               report/         the incident report
//
// # A line
//
//	{"seq":42,"time":"…","actor":{…},"type":"…","data":{…},"prev":"9f2c…","hash":"51ab…"}⏎
//	└────────────────────── hashed: these very bytes ──────────────────┘
//
// hash is the SHA-256, in lower-case hex, of the line's bytes up to (not including)
// `,"hash":"`. prev is the hash of the line before, 64 zeros in the first line, so
// every hash covers all that came before it. With standard tools:
//
//	tail -n 1 journal.jsonl | sed 's/,"hash":"[0-9a-f]*"}$//' | tr -d '\n' | sha256sum
//
// # Checkpoints, and what they prove
//
// At least every 256 events, and when the keeper asks (with each status update), an
// event of type journal.checkpoint signs how many events there are and the hash of
// the last, as an ed25519 signed note (golang.org/x/mod/sumdb/note). The key lies in
// the incident's folder, and the public key is in the declaration. Be clear about
// what that proves: it catches accidents, and edits by anybody who cannot read the
// key. Whoever can read the folder (the owner's account, root) could rewrite the
// journal and sign it anew. Against them only what is held outside helps: the public
// key, sent with the declaration, and the short head hashes, sent with each status
// message. Verify takes such a head and says whether the journal still contains it.
//
// # Crashes
//
// A crash may tear the last line. Readers ignore bytes after the last newline; the
// next writer keeps a copy (journal.jsonl.torn-<n>) and cuts them off. Of a batch
// that was being written, the first whole lines may remain: they were intended, never
// acknowledged. Anything else that is not a valid next line is refused with its
// number and never repaired.
package journal
