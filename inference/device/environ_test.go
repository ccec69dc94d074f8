package device

import (
	"slices"
	"testing"
)

func TestEnviron(t *testing.T) {
	const ours = "glibc.malloc.arena_max=1:glibc.malloc.hugetlb=1"
	for _, c := range []struct{ env, want []string }{
		{[]string{"A=1"}, []string{"A=1", "GLIBC_TUNABLES=" + ours}},
		{[]string{"GLIBC_TUNABLES=", "A=1"}, []string{"GLIBC_TUNABLES=" + ours, "A=1"}},
		{[]string{"GLIBC_TUNABLES=glibc.pthread.rseq=0"}, []string{"GLIBC_TUNABLES=glibc.pthread.rseq=0:" + ours}},
		{[]string{"GLIBC_TUNABLES=glibc.malloc.hugetlb=0"}, []string{"GLIBC_TUNABLES=glibc.malloc.hugetlb=0"}},
	} {
		before := slices.Clone(c.env)
		if got := Environ(c.env); !slices.Equal(got, c.want) {
			t.Errorf("of %q: %q, want %q", c.env, got, c.want)
		}
		if !slices.Equal(c.env, before) {
			t.Errorf("%q became %q", before, c.env)
		}
	}
}
