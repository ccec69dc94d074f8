package device

import (
	"slices"
	"strings"
)

const tunables, ofMemory = "GLIBC_TUNABLES=", "glibc.malloc."

// Environ is the environment for a process that learns, from that of another: glibc keeps its
// memory in one arena, and asks for it in pages of 2 MB. A step of learning takes most of its memory anew,
// which in pages of 4 kB costs a fifth of its time, and what is left of arenas, one for each thread, adds up.
// Who has settings for glibc's memory already keeps them; other C libraries have none.
func Environ(env []string) []string {
	const ours = ofMemory + "arena_max=1:" + ofMemory + "hugetlb=1"
	for i, v := range slices.Backward(env) { // the last counts
		theirs, ok := strings.CutPrefix(v, tunables)
		switch {
		case !ok:
			continue
		case strings.Contains(theirs, ofMemory):
			return env
		case theirs == "":
			theirs = ours
		default:
			theirs += ":" + ours
		}
		env = slices.Clone(env)
		env[i] = tunables + theirs
		return env
	}
	return append(slices.Clip(env), tunables+ours)
}
