package inference

import (
	"fmt"
	"slices"
	"testing"
)

// What is compiled before a base serves fits every batch that the queue may make.
func TestFirstGraphsFitEveryBatch(t *testing.T) {
	for _, of := range []struct{ length, tokens int }{{512, 4096}, {512, 16}, {8, 4096}, {100, 1000}, {2048, 4096}, {514, 20000}} {
		t.Run(fmt.Sprint(of), func(t *testing.T) {
			g := &programs{grid: grid(of.length, of.tokens)}
			first, later := g.wideBuckets()
			for length := 1; length <= of.length; length++ {
				b := g.smallest(1, length)
				for _, rows := range []int{1, g.rows(b.length)} {
					if !slices.ContainsFunc(first, func(o bucket) bool { return o.batch >= rows && o.length >= length }) {
						t.Fatalf("%d texts of %d tokens fit none of %v", rows, length, first)
					}
				}
			}
			for _, b := range g.grid {
				most := g.rows(b.length) == b.batch
				if n := len(slices.DeleteFunc(slices.Concat(first, later), func(o bucket) bool { return o != b })); (b.batch == 1 || most) != (n == 1) {
					t.Errorf("%v is there %d times", b, n)
				}
			}
		})
	}
	if first, later := (&programs{grid: grid(512, 4096)}).wideBuckets(); len(first) != 6 || len(later) != 6 {
		t.Errorf("of a BERT %v come first, then %v", first, later)
	}
}
