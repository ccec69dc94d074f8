// What we use of the PJRT C API (openxla/xla, xla/pjrt/c/pjrt_c_api.h). Its structs only
// ever grow at their ends within a major version, so the beginnings below hold for every
// plugin of version 0.x.
#ifndef LORIKEET_INTERPOSE_H
#define LORIKEET_INTERPOSE_H

#include <stddef.h>

typedef struct {
  size_t struct_size;
  void *extensions;
  char *code;
  size_t code_size;
  const char *format;
  size_t format_size;
} lorikeet_program;

typedef struct {
  size_t struct_size;
  void *extensions;
  void *client;
  const lorikeet_program *program;
  const char *options;
  size_t options_size;
  void *executable; // out
} lorikeet_compile_args;

// lorikeet_interpose loads the plugin at path and gives a copy of its table of functions
// in which compiling goes through lorikeetCompile; NULL and a message where it cannot.
void *lorikeet_interpose(const char *path, char **message);

// The interposed plugin's list of extensions.
void *lorikeet_extensions(void);

// Frees an error of the plugin's.
void lorikeet_destroy_error(void *error);

// The plugin's own compilation.
void *lorikeet_compile(lorikeet_compile_args *args);

// Turns bytes into an executable: 1 where the plugin took them.
int lorikeet_load(lorikeet_compile_args *args, const void *bytes, size_t size);

// Gives the bytes of an executable, to be freed by free(); NULL where the plugin has none.
void *lorikeet_save(lorikeet_compile_args *args, size_t *size);

#endif
