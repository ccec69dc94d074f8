package jinja

import "math"

// A value is one of: undefined, nil, bool, int64, float64, string, *list, *dict,
// *namespace, *function, *round.
type value any

// undefined is the value of a name, key or attribute that is not there. It prints as
// nothing, counts as false and iterates over nothing; all else is an error naming it.
type undefined struct{ name string }

// list is a Python list or tuple. Neither can be changed, as in Jinja's sandbox.
type list struct {
	items []value
	tuple bool
}

// dict keeps the order of its keys.
type dict struct {
	keys, values []value
	at           map[any]int // by hash
}

// namespace is the one thing that a set may change from inside a loop.
type namespace struct{ vars map[string]value }

type function struct {
	name string
	call func(*state, args) value
}

// args are what a function, filter or test is called with.
type args struct {
	pos   []value
	names []string
	named []value
}

// take binds arguments to parameters; those left out are nil in the result. The first
// need of them must be there.
func (a args) take(what string, need int, params ...string) []value {
	if len(a.pos) > len(params) {
		fail("%s takes %d arguments, not %d", what, len(params), len(a.pos))
	}
	got := make([]value, len(params))
	for i := range got {
		got[i] = absent{}
	}
	copy(got, a.pos)
	for i, name := range a.names {
		j := 0
		for j < len(params) && params[j] != name {
			j++
		}
		if j == len(params) {
			fail("%s has no argument %s", what, name)
		}
		if got[j] != (absent{}) {
			fail("%s got %s twice", what, name)
		}
		got[j] = a.named[i]
	}
	for i := range need {
		if got[i] == (absent{}) {
			fail("%s needs the argument %s", what, params[i]) //nolint:gosec // need is no longer than params
		}
	}
	return got
}

// absent stands for an argument that was not given.
type absent struct{}

func or(v, other value) value {
	if v == (absent{}) {
		return other
	}
	return v
}

func newDict(size int) *dict { return &dict{at: make(map[any]int, size)} }

func (d *dict) set(k, v value) {
	h := hash(k)
	if i, ok := d.at[h]; ok {
		d.values[i] = v
		return
	}
	d.at[h] = len(d.keys)
	d.keys, d.values = append(d.keys, k), append(d.values, v)
}

func (d *dict) get(k value) (value, bool) {
	i, ok := d.at[hash(k)]
	if !ok {
		return nil, false
	}
	return d.values[i], true
}

// hash is equal for keys that Python holds equal: 1, 1.0 and True are one key.
func hash(v value) any {
	switch v := v.(type) {
	case nil, string:
		return v
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case int64:
		return v
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<62 {
			return int64(v)
		}
		return v
	}
	fail("a %s cannot be a key", kindOf(v))
	return nil
}

func kindOf(v value) string {
	switch v := v.(type) {
	case undefined:
		return "undefined value"
	case nil:
		return "none"
	case bool:
		return "boolean"
	case int64:
		return "integer"
	case float64:
		return "float"
	case string:
		return "string"
	case *list:
		if v.tuple {
			return "tuple"
		}
		return "list"
	case *dict:
		return "dict"
	case *namespace:
		return "namespace"
	case *function:
		return "function"
	}
	return "loop"
}

// from makes a value of what Go decodes JSON to, and adds up the bytes it holds.
func from(v any, size *int) value {
	*size += 16
	switch v := v.(type) {
	case int:
		return int64(v)
	case string:
		*size += len(v)
		return v
	case []any:
		l := &list{items: make([]value, len(v))}
		for i, item := range v {
			l.items[i] = from(item, size)
		}
		return l
	case []map[string]any:
		l := &list{items: make([]value, len(v))}
		for i, item := range v {
			l.items[i] = from(item, size)
		}
		return l
	case Pairs:
		d := newDict(len(v))
		for _, p := range v {
			d.set(p.Key, from(p.Value, size))
		}
		return d
	case map[string]any:
		d := newDict(len(v))
		for _, k := range sortedKeys(v) {
			*size += len(k)
			d.set(k, from(v[k], size))
		}
		return d
	}
	return v
}

// Pairs is an object whose keys have an order.
type Pairs []Pair

// Pair is a key with its value.
type Pair struct {
	Key   string
	Value any
}

func truth(v value) bool {
	switch v := v.(type) {
	case undefined, nil:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case *list:
		return len(v.items) > 0
	case *dict:
		return len(v.keys) > 0
	}
	return true
}
