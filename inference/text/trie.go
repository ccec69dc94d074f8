package text

import (
	"slices"
	"strings"
)

// trie is a set of strings, each with a number, that is walked a byte at a time.
// It is a double array (Aoe, 1989): the child of node n for byte c is the cell
// base(n)+c, if that cell's parent is n.
type trie struct {
	cells  []cell
	values []int32 // by cell: the number of the string that ends there
}

// cell keeps what every step reads in 8 bytes.
type cell struct {
	base int32
	up   int32 // the parent, doubled, plus 1 if a string ends here; negative: free
}

// child reports whether the cell is a child of node, and whether a string ends there.
func (c cell) child(node int32) bool { return c.up>>1 == node }
func (c cell) ends() bool            { return c.up&1 == 1 }

// none is the node that no string leads to.
const none int32 = -1

type entry struct {
	key   string
	value int32
}

// newTrie builds a trie in place of entries, which it sorts. Keys must be
// distinct; the empty key is left out.
func newTrie(entries []entry) *trie {
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	for len(entries) > 0 && entries[0].key == "" {
		entries = entries[1:]
	}
	b := trieBuilder{lowest: 1}
	b.reserve(256) // the root is cell 0, which no base reaches: they begin at 1
	type job struct {
		node   int32
		lo, hi int // its strings
		depth  int // how much of them leads here
	}
	var labels []byte
	for queue := []job{{0, 0, len(entries), 0}}; len(queue) > 0; {
		j := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if j.lo < j.hi && len(entries[j.lo].key) == j.depth {
			b.cells[j.node].up |= 1
			b.values[j.node] = entries[j.lo].value
			j.lo++
		}
		if j.lo == j.hi {
			continue
		}
		labels = labels[:0]
		for i := j.lo; i < j.hi; i++ {
			c := entries[i].key[j.depth]
			if len(labels) == 0 || labels[len(labels)-1] != c {
				labels = append(labels, c)
			}
		}
		base := b.place(labels)
		b.cells[j.node].base = base
		lo := j.lo
		for _, c := range labels {
			hi := lo
			for hi < j.hi && entries[hi].key[j.depth] == c {
				hi++
			}
			child := base + int32(c)
			b.cells[child].up = j.node << 1
			queue = append(queue, job{child, lo, hi, j.depth + 1})
			lo = hi
		}
	}
	return &trie{slices.Clip(b.cells), slices.Clip(b.values)}
}

type trieBuilder struct {
	cells  []cell
	values []int32
	lowest int // no useful free cell lies below
}

func (b *trieBuilder) reserve(n int) {
	for len(b.cells) < n {
		b.cells = append(b.cells, cell{up: -2})
		b.values = append(b.values, -1)
	}
}

// place finds a base whose cells for all the labels are free, and leaves 256
// cells behind it, so that a step never needs a bounds check of its own.
func (b *trieBuilder) place(labels []byte) int32 {
	first, taken := true, 0
	for pos := max(b.lowest, int(labels[0])+1); ; pos++ {
		base := pos - int(labels[0])
		b.reserve(base + 512)
		if b.cells[pos].up >= 0 {
			taken++
			continue
		}
		if first {
			first = false
			b.lowest = max(b.lowest, pos)
			taken = 0
		}
		free := true
		for _, c := range labels[1:] {
			if b.cells[base+int(c)].up >= 0 {
				free = false
				break
			}
		}
		if !free {
			continue
		}
		// A stretch that is nearly full is not worth another look.
		if seen := pos - b.lowest + 1; taken*20 >= seen*19 {
			b.lowest = pos
		}
		return int32(base)
	}
}

// step returns the child of node for byte c, or none.
func (t *trie) step(node int32, c byte) int32 {
	next := t.cells[node].base + int32(c)
	if !t.cells[next].child(node) {
		return none
	}
	return next
}

// walk returns the node that s leads to from node, or none.
func (t *trie) walk(node int32, s string) int32 {
	for i := 0; i < len(s) && node != none; i++ {
		node = t.step(node, s[i])
	}
	return node
}

// longest returns the longest key that s starts with, as its value and length;
// the value is -1 when there is none.
func (t *trie) longest(s string) (value int32, length int) {
	value = -1
	node := int32(0)
	for i := 0; i < len(s); i++ {
		if node = t.step(node, s[i]); node == none {
			break
		}
		if t.cells[node].ends() {
			value, length = t.values[node], i+1
		}
	}
	return value, length
}
