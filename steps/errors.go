package steps

import "errors"

// ErrFenced means that an object belongs to a newer epoch of this incident or to
// another live incident: this write lost, and the writer must not try again
// without reading the incident anew. Test with errors.Is.
var ErrFenced = errors.New("fenced: a newer epoch owns the object")

// CodeLeaving is the code of the Problem that an Engine answers while it closes:
// the intent was not carried out, and the next keeper will.
const CodeLeaving = "leaving"
