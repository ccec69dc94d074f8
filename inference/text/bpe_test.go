package text

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// naive applies rules by the definition.
func (m *merges) naive(ids []int32) []int32 {
	for {
		best, at := int32(noRank), -1
		for i := 0; i+1 < len(ids); i++ {
			if rank, _ := m.find(ids[i], ids[i+1]); rank < best {
				best, at = rank, i
			}
		}
		if at < 0 {
			return ids
		}
		_, to := m.find(ids[at], ids[at+1])
		ids = slices.Concat(ids[:at], []int32{to}, ids[at+2:])
	}
}

func TestJoinFollowsTheDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for range 300 {
		rules := rng.IntN(60)
		m := newMerges(rules)
		for rank := range rules { // equal ranks too, as equal scores give
			m.add(int32(rng.IntN(12)), int32(rng.IntN(12)), int32(rank/2), int32(rng.IntN(12)))
		}
		for range 20 {
			word := make([]int32, rng.IntN(3*shortWord))
			for i := range word {
				word[i] = int32(rng.IntN(12))
			}
			want := m.naive(slices.Clone(word))
			before := []int32{7, 7}
			for name, join := range map[string]func([]int32, int) []int32{"short": m.join, "long": m.joinLong} {
				got := join(slices.Concat(before, word), len(before))
				if !slices.Equal(got[:2], before) || !slices.Equal(got[2:], want) {
					t.Fatalf("%s: %v becomes %v, want %v", name, word, got, want)
				}
			}
		}
	}
}

func TestWholeWordsAreWhatMergesGive(t *testing.T) {
	tok := load(t, tiny["level"])
	m := tok.source.model.(*bpe)
	if _, ok := m.whole["hello"]; !ok || m.level == nil {
		t.Fatal("hello is not known whole, or words are not bytes")
	}
	for word, id := range m.whole {
		if got := m.work(nil, word); len(got) != 1 || got[0] != id {
			t.Errorf("%q is %v, want %d", word, got, id)
		}
	}
}

// TestWordByWord: cutting a text before space marks changes nothing.
func TestWordByWord(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	parts := []string{" ", "hell", "he", "a", "aa", "€", "\n", "▁", "l"}
	for _, name := range []string{"llama", "spm-bpe", "spm"} {
		tok := load(t, tiny[name])
		for range 2000 {
			var b strings.Builder
			for range rng.IntN(20) {
				b.WriteString(parts[rng.IntN(len(parts))])
			}
			got := tok.EncodePlain(b.String())
			set := func(apart bool) (was bool) {
				switch m := tok.source.model.(type) {
				case *bpe:
					was, m.apart = m.apart, apart
				case *barriers:
					was, m.bpe.apart = m.bpe.apart, apart
				case *unigram:
					was, m.apart = m.apart, apart
				}
				return was
			}
			if !set(false) {
				t.Fatal(name, "does not take words apart")
			}
			want := tok.EncodePlain(b.String())
			set(true)
			if !slices.Equal(got, want) {
				t.Fatalf("%s: %q is %v word by word, %v as a whole", name, b.String(), got, want)
			}
		}
	}
}
