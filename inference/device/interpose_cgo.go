//go:build cgo && unix

package device

/*
#cgo linux LDFLAGS: -ldl
#include <stdlib.h>
#include "interpose.h"
*/
import "C"

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"github.com/gomlx/go-xla/pjrt"
	"golang.org/x/sys/cpu"

	"lorikeet/inference/device/compiled"
)

// go-xla neither saves executables nor loads saved ones, but the plugin can. So go-xla is
// given a copy of the plugin's table of functions in which the one that compiles is ours:
// it looks the program up, and only then compiles.

// interposed is the plugin of this process that compiles through a cache: one at most, as
// C knows it by a variable.
var interposed struct {
	sync.Mutex
	path  string
	id    []byte
	cache *compiled.Cache
	log   *slog.Logger
}

// cacheBytes bounds the programs that are kept; one takes some hundred kilobytes.
const cacheBytes = 512 << 20

// interpose makes go-xla's next use of the plugin at path go through the cache.
func interpose(path string, opt Options) error {
	cache, err := compiled.Open(opt.CompileCache, cacheBytes)
	if err != nil {
		return err
	}
	interposed.Lock()
	defer interposed.Unlock()
	if interposed.path != "" && interposed.path != path {
		return errors.New("compile cache: another plugin of this process has it")
	}
	if interposed.path == "" {
		id, err := fingerprint(path)
		if err != nil {
			return err
		}
		name := C.CString(path)
		defer C.free(unsafe.Pointer(name))
		var message *C.char
		table := C.lorikeet_interpose(name, &message)
		if table == nil {
			defer C.free(unsafe.Pointer(message))
			return fmt.Errorf("compile cache: %s: %s", path, C.GoString(message))
		}
		if err := pjrt.RegisterPreloadedPlugin(path, uintptr(table)); err != nil {
			return fmt.Errorf("compile cache: %w", err)
		}
		interposed.path, interposed.id = path, id
	}
	interposed.cache, interposed.log = cache, opt.Log
	return nil
}

// fingerprint tells a plugin's file from others, without reading all of its hundreds of
// megabytes: size, time, beginning and end.
func fingerprint(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the plugin that is about to be loaded
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	fmt.Fprintln(h, info.Size(), info.ModTime().UnixNano())
	const part = 1 << 20
	for _, at := range []int64{0, max(0, info.Size()-part)} {
		if _, err := io.Copy(h, io.NewSectionReader(f, at, part)); err != nil {
			return nil, err
		}
	}
	return h.Sum(nil), nil
}

// machine is what code is compiled for, beside the program.
var machine = sync.OnceValue(func() []byte {
	return fmt.Appendf(nil, "%s %s %d %+v %+v %q %q", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), cpu.X86, cpu.ARM64,
		os.Getenv("XLA_FLAGS"), os.Getenv(pjrt.EnvXlaDebugOptions))
})

//export lorikeetCompile
func lorikeetCompile(args *C.lorikeet_compile_args) unsafe.Pointer {
	interposed.Lock()
	cache, id, log := interposed.cache, interposed.id, interposed.log
	interposed.Unlock()
	p := args.program
	key := compiled.Key(id, machine(), view(p.format, p.format_size), view(args.options, args.options_size), view(p.code, p.code_size))
	if program := cache.Get(key); len(program) > 0 {
		if C.lorikeet_load(args, unsafe.Pointer(&program[0]), C.size_t(len(program))) == 1 {
			return nil
		}
		cache.Remove(key)
	}
	if failure := C.lorikeet_compile(args); failure != nil {
		return failure
	}
	var size C.size_t
	bytes := C.lorikeet_save(args, &size)
	if bytes == nil {
		return nil // a program that cannot be saved is compiled each time
	}
	defer C.free(bytes)
	if err := cache.Put(key, unsafe.Slice((*byte)(bytes), int(size))); err != nil {
		log.Warn("a compiled program is not kept", "error", err)
	}
	return nil
}

// view is memory of C.
func view(p *C.char, n C.size_t) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(p)), int(n)) }
