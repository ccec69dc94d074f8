// Handlers of XLA's custom calls: what we use of its foreign function interface (openxla/xla,
// xla/ffi/api/c_api.h, version 0.3, and xla/pjrt/extensions/ffi/ffi_extension.h). Like PJRT's,
// its structs only grow at their ends.
#ifndef LORIKEET_FFI_H
#define LORIKEET_FFI_H

#include <stddef.h>

// lorikeet_register_kernels makes the custom calls that rewrite.go writes known to the plugin whose
// extensions these are. It returns NULL, or what is missing.
const char *lorikeet_register_kernels(const void *extensions, void (*destroy_error)(void *error));

#endif
