package routes

import (
	"fmt"
	"slices"
	"strings"
)

// unknownText says that a name is unknown, and which known one was likely meant.
func unknownText(what, name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf("unknown %s; did you mean %q?", what, near)
	}
	if len(known) == 0 {
		return fmt.Sprintf("unknown %s; this operation takes none", what)
	}
	slices.Sort(known)
	const shown = 24
	if len(known) > shown {
		return fmt.Sprintf("unknown %s", what)
	}
	return fmt.Sprintf("unknown %s; known: %s", what, strings.Join(known, ", "))
}

// nearest is the known name within two edits of name, or that differs only in case
// and separators; "" if there is none.
func nearest(name string, known []string) string {
	if len(name) > 64 {
		return ""
	}
	best, distance := "", min(3, len(name)/2+1)
	for _, k := range slices.Sorted(slices.Values(known)) {
		if plain(k) == plain(name) {
			return k
		}
		if d := edits(name, k); d < distance {
			best, distance = k, d
		}
	}
	return best
}

func plain(s string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s))
}

// edits is the Levenshtein distance between a and b, in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(above+1, row[j]+1, diagonal+cost)
			diagonal = above
		}
	}
	return row[len(b)]
}

func keys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	return names
}
