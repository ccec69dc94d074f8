//go:build linux && amd64

#include "ffi.h"

#include <stdint.h>
#include <string.h>

#include "matmul.h"
#include "pool.h"

typedef struct {
  size_t struct_size;
  void *extensions;
} head;

enum { ffi_extension = 5, metadata_extension = 1 };

typedef struct extension {
  size_t struct_size;
  int type;
  const struct extension *next;
} extension;

typedef struct {
  size_t struct_size;
  const char *name;
  size_t name_size;
  void *handler;
  const char *platform;
  size_t platform_size;
  unsigned traits;
} register_args;

typedef struct {
  extension base;
  void *type_id_register;
  void *user_data_add;
  void *(*register_handler)(register_args *args);
} ffi;

typedef struct {
  head head;
  int major, minor;
} version;

typedef struct {
  head head;
  const char *message;
  int code;
} error_args;

typedef struct {
  head head;
  void *context;
  int64_t *threads;
} threads_args;

typedef struct {
  head head;
  version version;
  const void *internal;
  void *(*error_create)(error_args *args);
  void *error_message;
  void (*error_destroy)(void *args);
  void *others[9];
  void *(*threads)(threads_args *args);
} api;

typedef struct {
  head head;
  int64_t size;
  int *types;
  void **values;
} values;

typedef struct {
  head head;
  int64_t size;
  int *types;
  void *names;
  void **values;
} attributes;

typedef struct {
  head head;
  const api *api;
  void *context;
  int stage;
  values arguments, results;
  attributes attributes;
} call_frame;

typedef struct {
  head head;
  int type;
  char *data;
} buffer;

typedef struct {
  int type;
  size_t size;
  const int64_t *data;
} array;

typedef struct {
  extension base;
  struct {
    size_t struct_size;
    version version;
  } *metadata;
} metadata;

static void drop(const api *api, void *error) {
  if (error == NULL) return;
  struct {
    head head;
    void *error;
  } args = {{sizeof args, NULL}, error};
  api->error_destroy(&args);
}

// pool has as many threads as the plugin computes with.
static lorikeet_pool pool(const call_frame *f) {
  int64_t n = 1;
  threads_args t = {{sizeof t, NULL}, f->context, &n};
  void *error = f->api->threads(&t);
  drop(f->api, error);
  return lorikeet_shared_pool(error == NULL && n > 0 ? (int)n : 1);
}

static void *failed(const call_frame *f, const char *message) {
  enum { invalid = 3 };
  error_args e = {{sizeof e, NULL}, message, invalid};
  return f->api->error_create(&e);
}

// asked answers the plugin's question for the version of the interface that handlers use.
static int asked(call_frame *f) {
  for (const extension *e = f->head.extensions; e != NULL; e = e->next)
    if (e->type == metadata_extension) {
      const metadata *m = (const metadata *)e;
      m->metadata->version.major = 0;
      m->metadata->version.minor = f->api != NULL ? f->api->version.minor : 3;
      return 1;
    }
  return 0;
}

// sizes are the numbers of a custom call, written by rewrite.go; NULL where it has not so many.
static const int64_t *sizes(const call_frame *f, size_t count) {
  if (f->results.size != 1 || f->attributes.size != 1) return NULL;
  const array *dims = f->attributes.values[0];
  return dims->size == count ? dims->data : NULL;
}

enum { execute = 3, pred = 1, s8 = 2, s32 = 4, f32 = 11, bf16 = 16 };

// floats is an argument of float32; NULL where it is none.
static const float *floats(const call_frame *f, int64_t i) {
  const buffer *b = i < f->arguments.size ? f->arguments.values[i] : NULL;
  return b != NULL && b->type == f32 ? (const float *)b->data : NULL;
}

// marks is an argument that tells of rows whether they are read; NULL where it is none.
static const uint8_t *marks(const call_frame *f, int64_t i) {
  const buffer *b = i < f->arguments.size ? f->arguments.values[i] : NULL;
  return b != NULL && b->type == pred ? (const uint8_t *)b->data : NULL;
}

static void *dot(call_frame *f) {
  if (asked(f) || f->stage != execute) return NULL;
  const int64_t *d = sizes(f, 22);
  if (d == NULL || f->arguments.size < 2) return failed(f, "lorikeet_dot: of another version");
  const buffer *a = f->arguments.values[0], *b = f->arguments.values[1];
  buffer *c = f->results.values[0];
  lorikeet_product p = {.m = d[0], .n = d[1], .k = d[2], .a = a->data, .b = b->data, .a_m = d[3], .a_k = d[4], .b_k = d[5], .b_n = d[6], .c = c->data, .activation = (int)d[18], .rank = d[20], .each = d[21]};
  for (int i = 0; i < 3; i++) p.batch[i] = d[7 + i], p.a_batch[i] = d[10 + i], p.b_batch[i] = d[13 + i];
  p.a_type = a->type == bf16 ? LORIKEET_BF16 : d[17] != 0 ? LORIKEET_ROUNDED : LORIKEET_F32;
  p.c_type = c->type == bf16 ? LORIKEET_BF16 : LORIKEET_F32;
  p.b_type = b->type == bf16 ? LORIKEET_BF16 : b->type == s8 ? LORIKEET_S8 : LORIKEET_F32;
  if ((a->type != f32 && a->type != bf16) || (b->type != f32 && b->type != bf16 && b->type != s8) ||
      (c->type != f32 && (c->type != bf16 || !lorikeet_narrows(&p, (int)d[16]))))
    return failed(f, "lorikeet_dot: no such types");
  const float **after[] = {&p.scale, &p.bias, &p.more[0], &p.more[1], &p.low, &p.up};
  int64_t next = 2;
  for (int64_t i = 0; i < 6; i++)
    if ((d[19] >> i & 1) != 0 && (*after[i] = floats(f, next++)) == NULL) return failed(f, "lorikeet_dot: what follows is missing");
  if (next < f->arguments.size && (p.live = marks(f, next)) == NULL) return failed(f, "lorikeet_dot: no such arguments");
  lorikeet_pool helpers = pool(f);
  return lorikeet_multiply(&p, (int)d[16], &helpers) == 0 ? NULL : failed(f, "lorikeet_dot: out of memory");
}

static void *norm(call_frame *f) {
  if (asked(f) || f->stage != execute) return NULL;
  const int64_t *d = sizes(f, 6);
  if (d == NULL) return failed(f, "lorikeet_norm: of another version");
  lorikeet_normalization n = {.rows = d[0], .dim = d[1], .centered = (int)d[2], .x = floats(f, 0), .weight = floats(f, 1), .bias = floats(f, 2), .y = (float *)((buffer *)f->results.values[0])->data};
  int64_t next = d[3] != 0 ? 3 : 2;
  if (next < f->arguments.size && (n.live = marks(f, next)) == NULL) return failed(f, "lorikeet_norm: no such arguments");
  if (n.x == NULL || n.weight == NULL || (d[3] != 0) != (n.bias != NULL)) return failed(f, "lorikeet_norm: no such arguments");
  uint32_t bits = (uint32_t)d[4];
  memcpy(&n.epsilon, &bits, sizeof bits);
  lorikeet_pool helpers = pool(f);
  lorikeet_norm(&n, (int)d[5], &helpers);
  return NULL;
}

static void *gather(call_frame *f) {
  if (asked(f) || f->stage != execute) return NULL;
  const int64_t *d = sizes(f, 3);
  const buffer *index = f->arguments.size == 2 ? f->arguments.values[1] : NULL;
  if (d == NULL || floats(f, 0) == NULL || index == NULL || index->type != s32) return failed(f, "lorikeet_gather: of another version");
  lorikeet_rows g = {.rows = d[0], .size = d[1], .count = d[2], .table = floats(f, 0), .index = (const int32_t *)index->data, .y = (float *)((buffer *)f->results.values[0])->data};
  lorikeet_pool helpers = pool(f);
  lorikeet_gather(&g, &helpers);
  return NULL;
}

static void *attention(call_frame *f) {
  if (asked(f) || f->stage != execute) return NULL;
  const int64_t *d = sizes(f, 24);
  if (d == NULL) return failed(f, "lorikeet_attention: of another version");
  const float *in[4];
  for (int i = 0; i < 4; i++)
    if ((in[i] = floats(f, i)) == NULL) return failed(f, "lorikeet_attention: no such arguments");
  lorikeet_attention a = {.batch = d[0], .heads = d[1], .queries = d[2], .keys = d[3], .dim = d[4], .out = d[5],
                          .q = in[0], .k = in[1], .v = in[2], .bias = in[3], .y = (float *)((buffer *)f->results.values[0])->data};
  memcpy(a.q_stride, d + 6, sizeof a.q_stride);
  memcpy(a.k_stride, d + 10, sizeof a.k_stride);
  memcpy(a.v_stride, d + 14, sizeof a.v_stride);
  memcpy(a.bias_stride, d + 18, sizeof a.bias_stride);
  const uint8_t **live[] = {&a.live, &a.live_keys};
  for (int64_t i = 0, next = 4; i < 2; i++)
    if ((d[23] >> i & 1) != 0 && (*live[i] = marks(f, next++)) == NULL) return failed(f, "lorikeet_attention: no such arguments");
  uint32_t bits = (uint32_t)d[21];
  memcpy(&a.scale, &bits, sizeof bits);
  lorikeet_pool helpers = pool(f);
  return lorikeet_attend(&a, (int)d[22], &helpers) == 0 ? NULL : failed(f, "lorikeet_attention: out of memory");
}

const char *lorikeet_register_kernels(const void *extensions, void (*destroy_error)(void *error)) {
  for (const extension *e = extensions; e != NULL; e = e->next) {
    if (e->type != ffi_extension) continue;
    if (e->struct_size < sizeof(ffi)) break;
    static const struct {
      const char *name;
      void *(*handler)(call_frame *f);
    } all[] = {{"lorikeet_dot", dot}, {"lorikeet_attention", attention}, {"lorikeet_norm", norm}, {"lorikeet_gather", gather}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
      register_args args = {sizeof args, all[i].name, strlen(all[i].name), (void *)all[i].handler, "Host", 4, 0};
      void *error = ((const ffi *)e)->register_handler(&args);
      if (error == NULL) continue;
      destroy_error(error);
      return "the plugin does not take custom calls";
    }
    return NULL;
  }
  return "the plugin has no FFI extension";
}
