package text

import (
	"errors"
	"slices"
	"testing"
)

func count(n int) (ids []int32) {
	for i := range n {
		ids = append(ids, int32(i))
	}
	return ids
}

func TestTruncation(t *testing.T) {
	bert := template{
		single: []slot{{text: -1, ids: []int32{101}}, {text: 0}, {text: -1, ids: []int32{102}}},
		pair: []slot{{text: -1, ids: []int32{101}}, {text: 0}, {text: -1, ids: []int32{102}},
			{text: 1, typeID: 1}, {text: -1, ids: []int32{102}, typeID: 1}},
	}
	tests := []struct {
		name         string
		first        int
		second       int // -1: one text
		maxLen       int
		how          Truncation
		wantA, wantB int
		err          error
	}{
		{"leaves alone what fits", 5, 5, 13, LongestFirst, 5, 5, nil},
		{"cuts one text to what fits", 10, -1, 6, LongestFirst, 4, 0, nil},
		{"cuts the longer text only", 3, 20, 13, LongestFirst, 3, 7, nil},
		{"cuts the longer text only, the other way round", 20, 3, 13, LongestFirst, 7, 3, nil},
		{"cuts both evenly", 20, 20, 13, LongestFirst, 5, 5, nil},
		{"gives the odd one to the second of equals", 20, 20, 14, LongestFirst, 5, 6, nil},
		{"gives the odd one to the longer", 30, 20, 14, LongestFirst, 6, 5, nil},
		{"cuts the first text", 20, 4, 13, OnlyFirst, 6, 4, nil},
		{"cuts the second text", 4, 20, 13, OnlySecond, 4, 6, nil},
		{"says when the first text is too short", 4, 20, 13, OnlyFirst, 0, 0, ErrTooShort},
		{"says when the second text is too short", 20, 4, 13, OnlySecond, 0, 0, ErrTooShort},
		{"has no limit at zero", 1000, -1, 0, LongestFirst, 1000, 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b []int32
			if tt.second >= 0 {
				b = count(tt.second)
			}
			e, err := bert.join(count(tt.first), b, tt.second >= 0, tt.maxLen, tt.how, false)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			want := slices.Concat([]int32{101}, count(tt.wantA), []int32{102})
			if tt.second >= 0 {
				want = slices.Concat(want, count(tt.wantB), []int32{102})
			}
			if !slices.Equal(e.IDs, want) {
				t.Errorf("got %v, want %v", e.IDs, want)
			}
			if cut := tt.wantA < tt.first || tt.second > tt.wantB; e.Truncated != cut {
				t.Errorf("truncated is %v", e.Truncated)
			}
			if len(e.TypeIDs) != len(e.IDs) {
				t.Errorf("%d types of %d ids", len(e.TypeIDs), len(e.IDs))
			}
		})
	}
	t.Run("takes from the front when told to", func(t *testing.T) {
		e, _ := bert.join(count(5), nil, false, 4, LongestFirst, true)
		if want := []int32{101, 3, 4, 102}; !slices.Equal(e.IDs, want) {
			t.Errorf("got %v, want %v", e.IDs, want)
		}
	})
	t.Run("never returns more than the limit, even of special tokens", func(t *testing.T) {
		e, _ := bert.join(count(5), count(5), true, 2, LongestFirst, false)
		if len(e.IDs) != 2 || len(e.TypeIDs) != 2 || !e.Truncated {
			t.Errorf("got %v", e)
		}
	})
	t.Run("gives the odd one to the first text as the Python tokenizers do", func(t *testing.T) {
		marian := template{pair: []slot{{text: 0}, {text: 1}}, evenly: true}
		e, _ := marian.join(count(9), count(9), true, 5, LongestFirst, false)
		if want := []int32{0, 1, 2, 0, 1}; !slices.Equal(e.IDs, want) {
			t.Errorf("got %v, want %v", e.IDs, want)
		}
	})
}

// TestLimitStopsEarly: a limit changes nothing but the length.
func TestLimitStopsEarly(t *testing.T) {
	each(t, func(t *testing.T, tok *Tokenizer) {
		text := "hello, ab wo </s> hello ab[X]! a b c</s> x"
		full := tok.source.encode(text, -1)
		for limit := range len(full) + 2 {
			got := tok.source.encode(text, limit)
			if n := min(limit, len(full)); !slices.Equal(got[:n], full[:n]) || len(got) <= limit && len(got) < len(full) {
				t.Errorf("with limit %d: %v of %v", limit, got, full)
			}
		}
	})
}
