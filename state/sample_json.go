package state

import (
	"encoding/json"
	"fmt"
	"math"
)

// number is a float that survives JSON: infinite values are written as text, and
// NaN as 0 (a NaN reading has the verdict no-data, and its value means nothing).
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	switch v := float64(n); {
	case math.IsNaN(v):
		return []byte("0"), nil
	case math.IsInf(v, 1):
		return []byte(`"+Inf"`), nil
	case math.IsInf(v, -1):
		return []byte(`"-Inf"`), nil
	default:
		return json.Marshal(v)
	}
}

func (n *number) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case `"+Inf"`:
		*n = number(math.Inf(1))
		return nil
	case `"-Inf"`:
		*n = number(math.Inf(-1))
		return nil
	}
	var v float64
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("value of a sample: %w", err)
	}
	*n = number(v)
	return nil
}

type plainSample Sample

type wireSample struct {
	plainSample
	Value number `json:"value"` // hides the plain one
}

// MarshalJSON writes the sample; a value that is not a number must not keep an
// event out of the journal.
func (s Sample) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireSample{plainSample(s), number(s.Value)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Sample) UnmarshalJSON(b []byte) error {
	var w wireSample
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*s = Sample(w.plainSample)
	s.Value = float64(w.Value)
	return nil
}
