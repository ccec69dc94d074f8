package data

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

// SortLabels puts labels in the order of their indices. The order depends on the
// labels alone, so that two files with the same labels number them alike:
//
//   - numbers by value (2 before 10), before words;
//   - words alphabetically, as scikit-learn's LabelEncoder, but with the numbers
//     inside them by value (LABEL_2 before LABEL_10);
//   - of two labels of which one negates the other the negation comes first
//     (not_equivalent before equivalent), so that index 1 is the positive class for
//     precision, recall and F1. negative/positive, no/yes, false/true and ham/spam
//     are in that order anyway.
func SortLabels(labels []string) {
	slices.SortFunc(labels, func(a, b string) int {
		x, isX := number(a)
		y, isY := number(b)
		switch {
		case isX && isY && x != y:
			return cmp.Compare(x, y)
		case isX && !isY:
			return -1
		case isY && !isX:
			return 1
		}
		return cmp.Or(natural(strings.ToLower(a), strings.ToLower(b)), cmp.Compare(a, b))
	})
	if len(labels) == 2 && negates(labels[1], labels[0]) {
		labels[0], labels[1] = labels[1], labels[0]
	}
}

// Classes lists the labels of rows in the order of their indices.
func Classes(rows []Row) []string {
	seen := map[string]bool{}
	var names []string
	for _, r := range rows {
		if !seen[r.Label] {
			seen[r.Label] = true
			names = append(names, r.Label)
		}
	}
	SortLabels(names)
	return names
}

// number reads s as a finite number; "nan" and "inf" are words.
func number(s string) (float64, bool) {
	if s == "" || !strings.ContainsRune("+-.0123456789", rune(s[0])) {
		return 0, false
	}
	x, err := strconv.ParseFloat(s, 64)
	return x, err == nil && !math.IsInf(x, 0)
}

// negates reports whether a is b with "not", "non", "no" or "un" before it.
func negates(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	for _, no := range []string{"not", "non", "no", "un", "in", "dis"} {
		if rest, ok := strings.CutPrefix(a, no); ok && strings.TrimLeft(rest, "_- ") == b {
			return true
		}
	}
	return false
}

// natural compares runs of digits by value and everything else by bytes.
func natural(a, b string) int {
	for a != "" && b != "" {
		m, n := digits(a), digits(b)
		if m > 0 && n > 0 {
			x, y := strings.TrimLeft(a[:m], "0"), strings.TrimLeft(b[:n], "0")
			if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); c != 0 {
				return c
			}
			a, b = a[m:], b[n:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// digits is the length of the run of digits that s starts with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
