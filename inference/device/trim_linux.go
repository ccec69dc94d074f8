//go:build linux && cgo

package device

/*
#include <stddef.h>

// glibc has it, musl has not.
extern int malloc_trim(size_t pad) __attribute__((weak));

static void trim(void) {
	if (malloc_trim) {
		malloc_trim(0);
	}
}
*/
import "C"

// Trim gives memory back to the system that the compiler of a plugin has freed: the C
// library keeps it otherwise, some megabytes for each graph.
func Trim() { C.trim() }
