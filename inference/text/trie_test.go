package text

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestTrieHoldsWhatWasPutIn(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	want := map[string]int32{"": 7, "a": 1, "\x00": 2, "\xff\xff": 3, "\x00\x00\x00": 4}
	for i := range 5000 {
		b := make([]byte, 1+rng.IntN(6))
		for j := range b {
			b[j] = byte(rng.IntN(256))
			if rng.IntN(2) == 0 {
				b[j] = byte('a' + rng.IntN(4))
			}
		}
		want[string(b)] = int32(i + 10)
	}
	var entries []entry
	for k, v := range want {
		entries = append(entries, entry{k, v})
	}
	tr := newTrie(entries)
	delete(want, "")
	for k, v := range want {
		n := tr.walk(0, k)
		if n == none || tr.values[n] != v {
			t.Fatalf("%q is missing", k)
		}
	}
	for i := range 20000 {
		s := fmt.Sprintf("%x\x00%c", rng.IntN(1<<20), rune('a'+i%6))[rng.IntN(3):]
		best, length := int32(-1), 0
		for j := 1; j <= len(s); j++ {
			if v, ok := want[s[:j]]; ok {
				best, length = v, j
			}
		}
		if v, n := tr.longest(s); v != best || n != length {
			t.Fatalf("longest(%q) = %d, %d; want %d, %d", s, v, n, best, length)
		}
	}
}

func TestEmptyTrieHoldsNothing(t *testing.T) {
	tr := newTrie(nil)
	for _, s := range []string{"", "\x00", "a", "\xff"} {
		if v, n := tr.longest(s); v != -1 || n != 0 {
			t.Errorf("longest(%q) = %d, %d", s, v, n)
		}
	}
}
