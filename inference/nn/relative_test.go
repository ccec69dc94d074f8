package nn_test

import (
	"slices"
	"testing"

	"lorikeet/inference/nn"
)

// The first distance of each bucket, from T5Attention._relative_position_bucket of
// transformers 5.23.0. A bucket that no distance falls into starts with the next.
func TestBucketsStartWherePyTorchHasThem(t *testing.T) {
	for _, c := range []struct {
		buckets, max int
		first        []int
	}{
		{16, 128, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91}},
		{16, 20, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 18}},
		{16, 1000, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 27, 49, 90, 164, 300, 547}},
		{6, 100, []int{0, 1, 2, 3, 10, 32}},
		{32, 128, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113}},
		{32, 20, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 17, 17, 17, 18, 18, 18, 18, 19, 19, 19, 19, 20, 20, 20}},
		{32, 1000, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 21, 27, 35, 45, 59, 76, 98, 127, 164, 213, 275, 356, 461, 597, 773}},
		{64, 256, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 35, 37, 39, 42, 45, 48, 51, 54, 58, 62, 66, 70, 75, 80, 85, 91, 97, 104, 110, 118, 126, 134, 143, 153, 163, 174, 185, 198, 211, 225, 240}},
	} {
		got := nn.Buckets(c.buckets, c.max)
		if len(got) != c.max+1 || got[c.max] != int32(c.buckets-1) {
			t.Fatalf("%d buckets to %d: %d distances, the last in bucket %d", c.buckets, c.max, len(got), got[len(got)-1])
		}
		for bucket, want := range c.first {
			if first := slices.IndexFunc(got, func(b int32) bool { return int(b) >= bucket }); first != want {
				t.Errorf("%d buckets to %d: bucket %d starts at %d, PyTorch has %d", c.buckets, c.max, bucket, first, want)
			}
		}
	}
}
