package text

import (
	"maps"
	"slices"

	"lorikeet/adapters/invalid"
)

// vocabulary is tokens by id and ids by token.
type vocabulary struct {
	ids    map[string]int32
	tokens []string // by id; "" where there is none
	unk    int32    // Marian's code words fall back to it
}

// sparse is how many unused ids a vocabulary may have. Published ones have a few;
// a file with one token numbered two billion must not cost the memory.
const sparse = 1 << 16

// newVocabulary checks the ids and takes over the map.
func newVocabulary(field string, ids map[string]int32) (*vocabulary, error) {
	v := &vocabulary{ids: map[string]int32{}}
	for _, token := range slices.Sorted(maps.Keys(ids)) {
		if err := v.add(field, token, ids[token], len(ids)); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// add gives token an id; room is how many tokens are expected in all.
func (v *vocabulary) add(field, token string, id int32, room int) error {
	if id < 0 || int(id) >= max(room, len(v.ids))+sparse {
		return invalid.Field(field, "id %d of %.40q is far outside a vocabulary of %d", id, token, room)
	}
	if int(id) >= len(v.tokens) {
		v.tokens = append(v.tokens, make([]string, int(id)+1-len(v.tokens))...)
	}
	if old := v.tokens[id]; old != "" && old != token {
		return invalid.Field(field, "%.40q and %.40q both have id %d", old, token, id)
	}
	v.tokens[id] = token
	v.ids[token] = id
	return nil
}

func (v *vocabulary) token(id int32) (string, bool) {
	if id < 0 || int(id) >= len(v.tokens) || v.tokens[id] == "" {
		return "", false
	}
	return v.tokens[id], true
}
