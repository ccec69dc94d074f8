package adapters

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Patterns is a JSON object whose order matters: of PEFT's rank and alpha patterns
// the first that matches wins.
type Patterns[V any] []Pattern[V]

// Pattern is one entry: a regular expression and its value.
type Pattern[V any] struct {
	Key   string
	Value V
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Patterns[V]) UnmarshalJSON(b []byte) error {
	*p = nil
	d := json.NewDecoder(bytes.NewReader(b))
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t == nil {
		return nil
	}
	if t != json.Delim('{') {
		return fmt.Errorf("must be an object, is %s", b)
	}
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return err
		}
		var v V
		if err := d.Decode(&v); err != nil {
			return fmt.Errorf("%v: %w", k, err)
		}
		*p = append(*p, Pattern[V]{k.(string), v})
	}
	_, err = d.Token()
	return err
}

// MarshalJSON implements json.Marshaler.
func (p Patterns[V]) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, e := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		k, err := json.Marshal(e.Key)
		if err != nil {
			return nil, err
		}
		v, err := json.Marshal(e.Value)
		if err != nil {
			return nil, err
		}
		b.Write(k)
		b.WriteByte(':')
		b.Write(v)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
