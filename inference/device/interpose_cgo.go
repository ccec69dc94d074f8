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
	"lorikeet/inference/device/kernels"
)

// go-xla neither saves executables nor loads saved ones, but the plugin can, and GoMLX has no
// node for a custom call. So go-xla is given a copy of the plugin's table of functions in
// which the one that compiles is ours: it puts calls of our kernels into the program, looks
// it up, and only then compiles.

// interposed is the plugin of this process that compiles so: one at most, as C knows it by a
// variable.
var interposed struct {
	sync.Mutex
	path       string
	id         []byte
	cache      *compiled.Cache // or nil
	registered bool            // the plugin knows the kernels
	level      kernels.Level
	log        *slog.Logger
}

// cacheBytes bounds the programs that are kept; one takes some hundred kilobytes.
const cacheBytes = 512 << 20

// interpose makes go-xla's next use of the plugin at path go through the cache, and use the
// kernels, and tells which kernels those are; or has it go on without what was asked for before.
func interpose(path string, opt Options) (kernels.Level, error) {
	level := opt.kernels()
	var cache *compiled.Cache
	var problem error
	if opt.CompileCache != "" {
		if cache, problem = compiled.Open(opt.CompileCache, cacheBytes); problem != nil && level == kernels.None {
			return level, problem
		}
	}
	interposed.Lock()
	defer interposed.Unlock()
	if cache == nil && level == kernels.None && interposed.path != path {
		return level, nil
	}
	if interposed.path != "" && interposed.path != path {
		return kernels.None, errors.New("another plugin of this process has the compile cache and the kernels")
	}
	if interposed.path == "" {
		id, err := fingerprint(path)
		if err != nil {
			return kernels.None, err
		}
		name := C.CString(path)
		defer C.free(unsafe.Pointer(name))
		var message *C.char
		table := C.lorikeet_interpose(name, &message)
		if table == nil {
			defer C.free(unsafe.Pointer(message))
			return kernels.None, fmt.Errorf("%s: %s", path, C.GoString(message))
		}
		if err := pjrt.RegisterPreloadedPlugin(path, uintptr(table)); err != nil {
			return kernels.None, err
		}
		interposed.path, interposed.id = path, id
	}
	if level != kernels.None && !interposed.registered {
		if err := kernels.Register(C.lorikeet_extensions(), C.lorikeet_destroy_error); err != nil {
			opt.Log.Warn("kernels are not used", "error", err)
			level = kernels.None
		} else {
			interposed.registered = true
		}
	}
	interposed.cache, interposed.level, interposed.log = cache, level, opt.Log
	return level, problem
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
	cache, id, level, log := interposed.cache, interposed.id, interposed.level, interposed.log
	interposed.Unlock()
	p := args.program
	if program, calls := kernels.Rewrite(string(view(p.code, p.code_size)), level); calls != (kernels.Calls{}) {
		code := C.CString(program)
		defer C.free(unsafe.Pointer(code))
		original, size := p.code, p.code_size
		p.code, p.code_size = code, C.size_t(len(program))
		defer func() { p.code, p.code_size = original, size }()
		log.Debug("kernels", "products", calls.Products, "followed", calls.Followed, "adapted", calls.Adapted, "narrow", calls.Narrow, "attention", calls.Attention, "norms", calls.Norms, "gathers", calls.Gathers, "blank", calls.Blank)
	}
	if cache == nil {
		return C.lorikeet_compile(args)
	}
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
