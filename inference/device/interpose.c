//go:build cgo && unix

#include "interpose.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

// The indices of functions in the table, in the order of pjrt_c_api.h.
enum {
  error_destroy = 0,
  client_compile = 20,
  executable_destroy = 40,
  executable_serialize = 49,
  loaded_get_executable = 51,
  deserialize_and_load = 56,
  functions = 57,
};

typedef void *(*function)(void *args);

typedef struct {
  size_t struct_size;
  void *extensions;
  struct {
    size_t struct_size;
    void *extensions;
    int major, minor;
  } version;
  function functions[functions];
} table;

typedef struct {
  size_t struct_size;
  void *extensions;
  void *error;
} error_args;

typedef struct {
  size_t struct_size;
  void *extensions;
  void *loaded;
  void *executable; // out
} get_executable_args;

typedef struct {
  size_t struct_size;
  void *extensions;
  void *executable;
} executable_args;

typedef struct {
  size_t struct_size;
  void *extensions;
  void *executable;
  const char *bytes; // out
  size_t size;       // out
  void *serialized;  // out
  void (*deleter)(void *serialized);
} serialize_args;

typedef struct {
  size_t struct_size;
  void *extensions;
  void *client;
  const char *bytes;
  size_t size;
  void *loaded; // out
  const char *options;
  size_t options_size;
} load_args;

extern void *lorikeetCompile(lorikeet_compile_args *args);

static const table *original;

static void *through_go(void *args) { return lorikeetCompile(args); }

// failed frees an error.
static int failed(void *error) {
  if (error == NULL) return 0;
  error_args e = {sizeof e, NULL, error};
  original->functions[error_destroy](&e);
  return 1;
}

void lorikeet_destroy_error(void *error) { failed(error); }

void *lorikeet_extensions(void) { return original->extensions; }

void *lorikeet_interpose(const char *path, char **message) {
  void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
  if (library == NULL) {
    *message = strdup(dlerror());
    return NULL;
  }
  const table *(*get)(void);
  *(void **)&get = dlsym(library, "GetPjrtApi");
  const table *t = get == NULL ? NULL : get();
  if (t == NULL || t->version.major != 0 || t->struct_size < sizeof(table)) {
    *message = strdup("it has no PJRT C API of version 0");
    return NULL;
  }
  table *copy = malloc(t->struct_size);
  if (copy == NULL) {
    *message = strdup("out of memory");
    return NULL;
  }
  memcpy(copy, t, t->struct_size);
  copy->functions[client_compile] = through_go;
  original = t;
  return copy;
}

void *lorikeet_compile(lorikeet_compile_args *args) { return original->functions[client_compile](args); }

int lorikeet_load(lorikeet_compile_args *args, const void *bytes, size_t size) {
  load_args l = {sizeof l, NULL, args->client, bytes, size, NULL, NULL, 0};
  if (failed(original->functions[deserialize_and_load](&l))) return 0;
  args->executable = l.loaded;
  return 1;
}

void *lorikeet_save(lorikeet_compile_args *args, size_t *size) {
  get_executable_args g = {sizeof g, NULL, args->executable, NULL};
  if (failed(original->functions[loaded_get_executable](&g))) return NULL;
  serialize_args s = {sizeof s, NULL, g.executable, NULL, 0, NULL, NULL};
  void *bytes = NULL;
  if (!failed(original->functions[executable_serialize](&s))) {
    bytes = malloc(s.size);
    if (bytes != NULL) {
      memcpy(bytes, s.bytes, s.size);
      *size = s.size;
    }
    s.deleter(s.serialized);
  }
  executable_args d = {sizeof d, NULL, g.executable};
  failed(original->functions[executable_destroy](&d));
  return bytes;
}
