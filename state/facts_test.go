package state_test

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"mayday/state"
)

// kinds maps every fact type's name to its Go type, by decoding nothing.
func zeroFact(t testing.TB, kind string) state.Fact {
	t.Helper()
	f, err := state.DecodeFact(kind, []byte("{}"))
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	return f
}

// randomFact fills every exported field of a fact with something.
func randomFact(t testing.TB, kind string, r *rand.Rand) state.Fact {
	t.Helper()
	v := reflect.New(reflect.TypeOf(zeroFact(t, kind))).Elem()
	fill(v, r, 0)
	return v.Interface().(state.Fact)
}

func fill(v reflect.Value, r *rand.Rand, depth int) {
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(1_700_000_000+r.Int64N(1e6), r.Int64N(1e9)).UTC()))
		return
	case reflect.TypeFor[json.RawMessage]():
		v.SetBytes([]byte(`{"a":1}`))
		return
	case reflect.TypeFor[state.Severity]():
		v.SetInt(int64(r.IntN(4)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString([]string{"r1", "7.tag", "ok", "alice", "zwölf <&> \u2028 \"x\""}[r.IntN(5)])
	case reflect.Int, reflect.Int64:
		v.SetInt(1 + r.Int64N(5))
	case reflect.Uint64:
		v.SetUint(1 + r.Uint64N(5))
	case reflect.Float64:
		v.SetFloat(r.Float64() * 100)
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), r, depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("json") != "-" {
				fill(v.Field(i), r, depth+1)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+r.IntN(2), 2))
		for i := range v.Len() {
			fill(v.Index(i), r, depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, r, depth+1)
			fill(elem, r, depth+1)
			v.SetMapIndex(key, elem)
		}
	}
}

func sortedKinds() []string {
	k := state.Kinds()
	slices.Sort(k)
	return k
}

func TestEveryFactSurvivesJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, kind := range sortedKinds() {
		for range 20 {
			e := state.Event{Seq: 7, Time: t0, Actor: state.Actor{User: "alice", Host: "h", PID: 1, Via: "cli"}, Fact: randomFact(t, kind, r)}
			b, err := json.Marshal(e)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			var back state.Event
			if err := json.Unmarshal(b, &back); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			if !reflect.DeepEqual(e, back) {
				t.Fatalf("%s changed on its way:\n%+v\n%+v", kind, e, back)
			}
		}
	}
}

func TestUnknownFactIsNamed(t *testing.T) {
	var e state.Event
	err := json.Unmarshal([]byte(`{"seq":1,"type":"warp.engaged","data":{}}`), &e)
	if err == nil || !contains(err.Error(), "warp.engaged") || !contains(err.Error(), "newer") {
		t.Fatalf("got %v", err)
	}
}

// TestCloneIsApart applies random facts to an incident and checks that no clone made
// on the way changes any more.
func TestCloneIsApart(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	kinds := sortedKinds()
	in := new(state.Incident)
	apply(t, in, declared())
	type kept struct {
		clone *state.Incident
		json  string
	}
	var all []kept
	for range 250 {
		c := in.Clone()
		if got, want := dump(t, c), dump(t, in); got != want {
			t.Fatal("a clone differs from its original")
		}
		all = append(all, kept{c, dump(t, c)})
		kind := kinds[r.IntN(len(kinds))]
		if kind == "incident.declared" {
			continue
		}
		apply(t, in, randomFact(t, kind, r))
	}
	for i, k := range all {
		if dump(t, k.clone) != k.json {
			t.Fatalf("clone %d changed after it was made", i)
		}
	}
}

// dump writes everything of an incident, the folded fields of items included.
func dump(t testing.TB, in *state.Incident) string {
	t.Helper()
	type item struct {
		Status   state.ItemStatus
		By, Run  string
		Value    string
		Evidence []state.Evidence
		Problem  *state.Problem
		From, To time.Time
	}
	var items []item
	all := [][]state.Step{in.Steps}
	for _, a := range in.Closed {
		all = append(all, a.Steps)
	}
	for _, steps := range all {
		for _, s := range steps {
			for _, it := range s.Items {
				items = append(items, item{it.Status, it.By, it.Run, it.Value, it.Evidence, it.Problem, it.Started, it.Ended})
			}
		}
	}
	b, err := json.Marshal(struct {
		In    *state.Incident
		Items []item
	}{in, items})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
