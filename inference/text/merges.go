package text

import (
	"math"
	"math/bits"
)

// merges are the rules of byte-pair encoding: of all pairs of neighbours that have
// a rule, the one of the lowest rank is joined first, the leftmost of equals, until
// none is left (Sennrich et al., 2016).
type merges struct {
	rules []rule // open addressing, at most half full
	shift uint8
}

type rule struct {
	pair     uint64 // left<<32 | right
	rank, to int32  // to: the joined token; -1 in a free place
}

const noRank = math.MaxInt32

func newMerges(n int) *merges {
	log := max(bits.Len(uint(2*n)), 4)
	m := &merges{rules: make([]rule, 1<<log), shift: uint8(64 - log)}
	for i := range m.rules {
		m.rules[i].to = -1
	}
	return m
}

func (m *merges) slot(pair uint64) int {
	i := int(pair * 0x9e3779b97f4a7c15 >> m.shift)
	for m.rules[i].to >= 0 && m.rules[i].pair != pair {
		i = (i + 1) & (len(m.rules) - 1)
	}
	return i
}

// add makes a rule; a later one for the same pair takes its place.
func (m *merges) add(left, right, rank, to int32) {
	pair := uint64(left)<<32 | uint64(right)
	m.rules[m.slot(pair)] = rule{pair, rank, to}
}

func (m *merges) find(left, right int32) (rank, to int32) {
	r := m.rules[m.slot(uint64(left)<<32|uint64(right))]
	if r.to < 0 {
		return noRank, -1
	}
	return r.rank, r.to
}

// shortWord is up to how many tokens looking at every pair again for each join is
// faster than keeping them in order.
const shortWord = 48

// join applies the rules to ids[from:] in place and returns what is left of ids.
func (m *merges) join(ids []int32, from int) []int32 {
	if len(ids)-from > shortWord {
		return m.joinLong(ids, from)
	}
	word := ids[from:]
	var ranks, joined [shortWord]int32 // of each token with its right neighbour
	for i := 0; i+1 < len(word); i++ {
		ranks[i], joined[i] = m.find(word[i], word[i+1])
	}
	n := len(word)
	for n > 1 {
		best, at := int32(noRank), -1
		for i, r := range ranks[:n-1] {
			if r < best {
				best, at = r, i
			}
		}
		if at < 0 {
			break
		}
		word[at] = joined[at]
		copy(word[at+1:n-1], word[at+2:n])
		copy(ranks[at+1:n-1], ranks[at+2:n])
		copy(joined[at+1:n-1], joined[at+2:n])
		n--
		if at > 0 {
			ranks[at-1], joined[at-1] = m.find(word[at-1], word[at])
		}
		if at+1 < n {
			ranks[at], joined[at] = m.find(word[at], word[at+1])
		}
	}
	return ids[:from+n]
}

// joinLong does the same with the pairs in a heap and the tokens in a linked list:
// n log n for a word of n tokens.
func (m *merges) joinLong(ids []int32, from int) []int32 {
	word := ids[from:]
	n := int32(len(word))
	prev, next := make([]int32, n), make([]int32, n)
	var h pairHeap
	push := func(at int32) {
		if rank, _ := m.find(word[at], word[next[at]]); rank != noRank {
			h.push(uint64(rank)<<32 | uint64(at))
		}
	}
	for i := range n {
		prev[i], next[i] = i-1, i+1
	}
	for i := range n - 1 {
		push(i)
	}
	for len(h) > 0 {
		top := h.pop()
		at := int32(uint32(top))
		if word[at] < 0 || next[at] == n { // joined to the left since, or last
			continue
		}
		right := next[at]
		rank, to := m.find(word[at], word[right])
		if rank != int32(top>>32) { // one of the two has grown since
			continue
		}
		word[at], word[right] = to, -1
		next[at] = next[right]
		if next[at] < n {
			prev[next[at]] = at
			push(at)
		}
		if prev[at] >= 0 {
			push(prev[at])
		}
	}
	out := ids[:from]
	for i := int32(0); i < n; i = next[i] {
		out = append(out, word[i])
	}
	return out
}

// pairHeap is a binary heap of rank<<32 | position, the least on top.
type pairHeap []uint64

func (h *pairHeap) push(x uint64) {
	*h = append(*h, x)
	a := *h
	i := len(a) - 1
	for i > 0 {
		up := (i - 1) / 2
		if a[up] <= x {
			break
		}
		a[i] = a[up]
		i = up
	}
	a[i] = x
}

func (h *pairHeap) pop() uint64 {
	a := *h
	top, x := a[0], a[len(a)-1]
	a = a[:len(a)-1]
	*h = a
	i := 0
	for {
		c := 2*i + 1
		if c >= len(a) {
			break
		}
		if c+1 < len(a) && a[c+1] < a[c] {
			c++
		}
		if a[c] >= x {
			break
		}
		a[i] = a[c]
		i = c
	}
	if len(a) > 0 {
		a[i] = x
	}
	return top
}
