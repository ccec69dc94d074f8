//go:build cgo && linux && amd64

package kernels

/*
#cgo CFLAGS: -O3
#cgo LDFLAGS: -lpthread
#include "ffi.h"
#include "matmul.h"

typedef void (*destroy)(void *);

static const char *register_kernels(void *extensions, void *f) { return lorikeet_register_kernels(extensions, (destroy)f); }
*/
import "C"

import (
	"errors"
	"sync"
	"unsafe"
)

// Supported is the level of this machine.
var Supported = sync.OnceValue(func() Level { return Level(C.lorikeet_level()) })

// Register tells a plugin of the kernels, by the list of extensions of its table of
// functions. destroy is a C function that frees an error of the plugin's.
func Register(extensions, destroy unsafe.Pointer) error {
	if problem := C.register_kernels(extensions, destroy); problem != nil {
		return errors.New(C.GoString(problem))
	}
	return nil
}
