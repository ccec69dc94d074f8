package text

import (
	"slices"
	"testing"
)

func TestAddedTokensInText(t *testing.T) {
	tests := []struct {
		name   string
		tokens []addedToken
		text   string
		want   []string // tokens in angle brackets
	}{
		{"finds the longest of those that begin at a place", []addedToken{{content: "ab"}, {content: "abc"}}, "xabcab", []string{"x", "<abc>", "<ab>"}},
		{"finds the leftmost", []addedToken{{content: "bcd"}, {content: "ab"}}, "abcd", []string{"<ab>", "cd"}},
		{"falls back to a shorter one", []addedToken{{content: "ab"}, {content: "abcd"}}, "abce", []string{"<ab>", "ce"}},
		{"takes white space on the left", []addedToken{{content: "M", lstrip: true}}, "a \u3000M b", []string{"a", "<M>", " b"}},
		{"takes white space on the right", []addedToken{{content: "M", rstrip: true}}, "a M \n b", []string{"a ", "<M>", "b"}},
		{"does not take white space twice", []addedToken{{content: "M", lstrip: true, rstrip: true}}, "M  M", []string{"<M>", "<M>"}},
		{"wants a whole word", []addedToken{{content: "cat", singleWord: true}}, "cat cats concat cat", []string{"<cat>", " cats concat ", "<cat>"}},
		{"takes letters of any script for a word", []addedToken{{content: "x", singleWord: true}}, "éx x。", []string{"éx ", "<x>", "。"}},
		{"leaves out empty text", []addedToken{{content: "M"}}, "MM", []string{"<M>", "<M>"}},
		{"ignores a token without content", []addedToken{{content: ""}}, "ab", []string{"ab"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var keys []string
			for i := range tt.tokens {
				tt.tokens[i].id = int32(i)
				keys = append(keys, tt.tokens[i].content)
			}
			var got []string
			newMatcher(tt.tokens, keys).split(piece{tt.text, true},
				func(id int32) bool { got = append(got, "<"+tt.tokens[id].content+">"); return true },
				func(p piece) bool { got = append(got, p.text); return true })
			if !slices.Equal(got, tt.want) {
				t.Errorf("%q is cut into %q, want %q", tt.text, got, tt.want)
			}
		})
	}
}

func TestNormalizedAddedTokensAreFoundInNormalizedText(t *testing.T) {
	n := bertNormalizer{clean: true, strip: true, lower: true}
	vocab := &vocabulary{ids: map[string]int32{}}
	added := []addedToken{{id: 0, content: "Thé", normalized: true}, {id: 1, content: "NOT"}}
	for _, a := range added {
		if err := vocab.add("", a.content, a.id, 2); err != nil {
			t.Fatal(err)
		}
	}
	p := newPipeline(n, nil, &wordLevel{unk: 9}, added)
	if got, want := p.encode("THE not NOT thé", -1), []int32{0, 9, 1, 9, 0}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
