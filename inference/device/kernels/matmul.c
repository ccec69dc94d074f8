//go:build linux && amd64

#define _GNU_SOURCE
#include "matmul.h"

#include "products.h"
#include "rowwise.h"

#include <cpuid.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

static __thread struct {
  void *memory;
  size_t size;
} mine[LORIKEET_PURPOSES];

void *lorikeet_thread_scratch(int purpose, size_t bytes) {
  if (mine[purpose].size < bytes) {
    free(mine[purpose].memory);
    bytes = (bytes + 63) / 64 * 64;
    mine[purpose].memory = aligned_alloc(64, bytes);
    mine[purpose].size = mine[purpose].memory == NULL ? 0 : bytes;
  }
  return mine[purpose].memory;
}

// Memory that products have used, for those that follow: fresh memory costs more than what
// is done with it. What is kept is bounded by as many as ever ran at a time, and SPARE.
enum { SPARE = 4, HUGE_PAGE = 2 << 20 };

static struct {
  pthread_mutex_t lock;
  struct {
    void *memory;
    size_t size;
    int taken;
  } all[SPARE];
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *fresh(size_t bytes) {
  void *m = aligned_alloc(HUGE_PAGE, bytes);
#ifdef MADV_HUGEPAGE
  if (m != NULL) madvise(m, bytes, MADV_HUGEPAGE); // else small pages do
#endif
  return m;
}

void *lorikeet_shared_scratch(size_t bytes) {
  bytes = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  void *m = NULL;
  pthread_mutex_lock(&shared.lock);
  int at = -1;
  for (int i = 0; i < SPARE; i++)
    if (!shared.all[i].taken && (at < 0 || shared.all[i].size > shared.all[at].size)) at = i;
  if (at >= 0) {
    if (shared.all[at].size < bytes) {
      free(shared.all[at].memory);
      shared.all[at].memory = fresh(bytes);
      shared.all[at].size = shared.all[at].memory == NULL ? 0 : bytes;
    }
    m = shared.all[at].memory;
    shared.all[at].taken = m != NULL;
  }
  pthread_mutex_unlock(&shared.lock);
  return at >= 0 ? m : fresh(bytes);
}

void lorikeet_shared_release(void *memory) {
  pthread_mutex_lock(&shared.lock);
  for (int i = 0; i < SPARE; i++)
    if (shared.all[i].memory == memory) {
      shared.all[i].taken = 0;
      memory = NULL;
    }
  pthread_mutex_unlock(&shared.lock);
  free(memory);
}

// may_use_tiles asks for leave to use AMX's registers.
static int may_use_tiles(void) {
#ifdef __linux__
  enum { REQUEST = 0x1023, TILE_DATA = 18 }; // ARCH_REQ_XCOMP_PERM
  return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
#else
  return 0;
#endif
}

int lorikeet_level(void) {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return LORIKEET_NONE;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl") ||
      !__builtin_cpu_supports("avx512dq"))
    return LORIKEET_AVX2;
  unsigned a, b, c, d, tiles;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return LORIKEET_AVX512;
  tiles = d;
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d)) return LORIKEET_AVX512;
  enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24, AVX512_BF16 = 1 << 5 };
  if ((a & AVX512_BF16) == 0) return LORIKEET_AVX512;
#ifdef LORIKEET_EMULATE_AMX
  return LORIKEET_AMX;
#endif
  if ((tiles & AMX_BF16) == 0 || (tiles & AMX_TILE) == 0 || !may_use_tiles()) return LORIKEET_AVX512BF16;
  return LORIKEET_AMX;
}

int lorikeet_multiply(const lorikeet_product *p, int level, lorikeet_pool *pool) {
  int halves = lorikeet_halves(p);
  if (level >= (halves ? LORIKEET_AMX : LORIKEET_BF16X3) && p->m >= (halves ? 4 : 16) && p->n >= 16 && p->k >= 32) return lorikeet_tiles(p, pool);
  return lorikeet_vector(p, level, pool);
}

enum { ROWS = 32 }; // of an item

typedef struct {
  const lorikeet_normalization *norm;
  int wide;
} norm_work;

static void norm_rows(void *arg, int64_t item) {
  const norm_work *w = arg;
  for (int64_t r = item * ROWS; r < w->norm->rows && r < (item + 1) * ROWS; r++) {
    if (w->norm->live != NULL && !w->norm->live[r]) {
      memset(w->norm->y + r * w->norm->dim, 0, (size_t)w->norm->dim * sizeof(float));
    } else {
      lorikeet_norm_row(w->norm, w->wide, r);
    }
  }
}

void lorikeet_norm(const lorikeet_normalization *norm, int level, lorikeet_pool *pool) {
  norm_work w = {norm, level >= LORIKEET_AVX512};
  int64_t items = lorikeet_divide_up(norm->rows, ROWS);
  if (norm->rows * norm->dim < 1 << 14) {
    lorikeet_alone(pool, items, norm_rows, &w);
  } else {
    pool->run(pool, items, norm_rows, &w);
  }
}
