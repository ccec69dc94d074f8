//go:build linux && amd64

#include "panels.h"
#include "products.h"
#include "rowwise.h"

#include <immintrin.h>
#include <string.h>

// Products by the multiply-adds of AVX2 and AVX-512, and those of pairs of bfloat16 that
// AVX-512 has too. A block of the result is computed from some steps of k at a time, all rows
// of it from two vectors of b, while these stay in the first cache; a kernel keeps some
// rows by those two vectors in registers. Both factors' parts are copied first: a's
// rows as they are and b's vectors one after the other, so that all distances in
// the kernel are constants.

enum {
  KC = 384,       // steps at a time at most
  LINE = KC + 16, // from one copied row of a to the next: not a power of two
  NC = 512,       // columns of a block at most, where k is not all done at a time
  MC = 264,       // rows
};

// lorikeet_zip is the order that makes pairs of two rows of bfloat16.
static const uint16_t lorikeet_zip[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                          8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};

#define ISA avx2
#define TARGET "avx2,fma"
#define LANES 8
#define TALL 6
#define WIDE 8
#define PAIRS 0
#include "micro.h"

#define ISA avx512
#define TARGET "avx512f,avx512dq,avx512vl,avx512bw,fma"
#define LANES 16
#define TALL 12
#define WIDE 16
#define PAIRS 0
#include "micro.h"

#define ISA pairs
#define TARGET "avx512f,avx512dq,avx512vl,avx512bw,avx512bf16,fma"
#define LANES 16
#define TALL 12
#define WIDE 16
#define PAIRS 1
#include "micro.h"

// A set of kernels: see micro.h.
static const struct kernel {
  int lanes, tall, pairs;
  int (*across)(int);
  void (*tile)(int, int, int64_t, const float *, const float *, float *, int64_t, int);
  void (*flat)(int, int, int64_t, const float *, const char *, int64_t, float *, int64_t, int);
  void (*most)(int, int, int64_t, const float *, const char *, int64_t, float *, int64_t, int);
  void (*start)(int, int64_t, const float *, const char *, int64_t, float *, int64_t, int, float *);
} kernels[] = {
    {8, 6, 0, avx2_across, avx2_tile, avx2_flat, avx2_most, avx2_start},
    {16, 12, 0, avx512_across, avx512_tile, avx512_flat, avx512_most, avx512_start},
    {16, 12, 1, pairs_across, pairs_tile, pairs_flat, pairs_most, pairs_start},
};

// tall is the largest number of rows a kernel has that is not over n.
static int tall(int64_t n, int limit) {
  static const int sizes[] = {12, 6, 4, 2, 1};
  for (int i = 0;; i++)
    if (sizes[i] <= n && sizes[i] <= limit) return sizes[i];
}

typedef struct {
  const lorikeet_product *p;
  const struct kernel *kernel;
  int64_t steps, each;  // of k: all of them, and at a time
  int64_t rows, cols;   // of a block
  int64_t down, across; // blocks of a product
  // The live rows of pair i are list[from[i]] up to list[from[i+1]]; NULL where all are.
  const int32_t *list, *from;
  float *copied; // a's rows that live, for each part of k: [parts][rows][LINE]; NULL where blocks copy their own
  int failed;
} vector_work;

// part is what a block is computed from at a time: `steps` steps from `k` on, of pair i.
typedef struct {
  const vector_work *w;
  const float *rows; // of a, from row m0 to m1 of those that live
  int64_t i, k, steps, m0, m1;
} part;

// living is how many rows of a pair live, and row is where the m-th of them is; beyond the last, the end.
static int64_t living(const vector_work *w, int64_t i) { return w->list == NULL ? w->p->m : w->from[i + 1] - w->from[i]; }
static int64_t row(const vector_work *w, int64_t i, int64_t m) {
  if (m >= living(w, i)) return w->p->m;
  return w->list == NULL ? m : w->list[w->from[i] + m];
}

// run is how many rows from the m-th on, of so many, are neighbours.
static int64_t run(const part *s, int64_t m, int64_t most) {
  if (s->w->list == NULL) return most;
  int64_t first = row(s->w, s->i, m), n = 1;
  while (n < most && row(s->w, s->i, m + n) == first + n) n++;
  return n;
}

// result is c at a live row and column, where it is float32.
static float *result(const part *s, int64_t m, int64_t n) { return (float *)s->w->p->c + (s->i * s->w->p->m + row(s->w, s->i, m)) * s->w->p->n + n; }

// of_b is b at a step and column.
static const char *of_b(const part *s, int64_t n) {
  const lorikeet_product *p = s->w->p;
  return lorikeet_at(p->b, p->b_type, lorikeet_pair(p, p->b_batch, s->i) + s->k * (1 + s->w->kernel->pairs) * p->b_k + n * p->b_n);
}

static int last(const part *s) { return s->k + s->steps == s->w->steps; }

// down computes all rows of up to two vectors of columns: from a panel, which is filled first where it
// is empty, or without one from b as it lies.
static void down(const part *s, int64_t n, int64_t cols, float *panel, int empty) {
  const lorikeet_product *p = s->w->p;
  const struct kernel *t = s->w->kernel;
  int nr = 2 * t->lanes, wide = cols > t->lanes ? 2 : 1;
  int fits = p->c_type == LORIKEET_F32 && (panel == NULL || cols == wide * t->lanes) && !(s->k == 0 && last(s) && lorikeet_follows(p));
  float edge[12 * 32];
  for (int64_t m = s->m0; m < s->m1;) {
    int r = tall(s->m1 - m, t->tall), together = run(s, m, r) == r;
    int whole = fits && together, first = s->k == 0 || !whole; // a whole tile lies in c
    const float *a = s->rows + (m - s->m0) * LINE;
    float *c = whole ? result(s, m, n) : edge;
    int64_t next = whole ? p->n : nr;
    if (panel == NULL) {
      t->flat(p->b_type, r, s->steps, a, of_b(s, n), p->b_k, c, next, first);
    } else if (empty) { // there are enough rows for the largest kernel
      t->start(p->b_type, s->steps, a, of_b(s, n), p->b_k, c, next, first, panel);
      empty = 0;
    } else {
      t->tile(r, wide, s->steps, a, panel, c, next, first);
    }
    if (!whole && s->k > 0)
      for (int j = 0; j < r; j++)
        for (int64_t x = 0; x < cols; x++) edge[j * nr + x] += result(s, m + j, n)[x];
    if (last(s)) {
      for (int j = 0; j < r; j += together ? r : 1)
        lorikeet_finish(p, t->lanes == 16, s->i, row(s->w, s->i, m + j), n, together ? r : 1, cols, whole ? NULL : edge + j * nr, nr);
    } else if (!whole) {
      for (int j = 0; j < r; j++) memcpy(result(s, m + j, n), edge + j * nr, (size_t)cols * sizeof(float));
    }
    m += r;
  }
}

// few computes a block of few rows, with b as it lies in memory, from column n0 on, and tells
// where it stopped: all is done but some columns that do not fill two vectors.
static int64_t few(const part *s, int64_t n0, int64_t n1) {
  const lorikeet_product *p = s->w->p;
  const struct kernel *t = s->w->kernel;
  int rows = (int)(s->m1 - s->m0);
  int64_t wide = t->across(rows) * t->lanes, n = n0;
  for (; n + wide <= n1; n += wide) {
    t->most(p->b_type, rows, s->steps, s->rows, of_b(s, n), p->b_k, result(s, s->m0, n), p->n, s->k == 0);
    if (last(s)) lorikeet_finish(p, t->lanes == 16, s->i, row(s->w, s->i, s->m0), n, rows, wide, NULL, 0);
  }
  return n;
}

// blank has zeros in columns of the rows that do not live, from one block to the next.
static void blank(const vector_work *w, int64_t i, int64_t m0, int64_t n0, int64_t n1) {
  const lorikeet_product *p = w->p;
  int size = p->c_type == LORIKEET_BF16 ? 2 : 4;
  for (int64_t m = m0 == 0 ? 0 : row(w, i, m0), end = row(w, i, m0 + w->rows); m < end; m++)
    if (!p->live[i * p->m + m]) memset((char *)p->c + ((i * p->m + m) * p->n + n0) * size, 0, (size_t)((n1 - n0) * size));
}

// cut is the part of a block from step k on.
static part cut(const vector_work *w, const float *rows, int64_t i, int64_t k, int64_t m0, int64_t m1) {
  return (part){w, rows, i, k, w->steps - k < w->each ? w->steps - k : w->each, m0, m1};
}

// depth is how many numbers of each row are in a part: the last pair may be half of one.
static int64_t depth(const part *s) {
  int64_t by = 1 + s->w->kernel->pairs, left = s->w->p->k - s->k * by;
  return left < s->steps * by ? left : s->steps * by;
}

// copy writes a's rows of a part.
static void copy(const part *s, float *to) {
  const lorikeet_product *p = s->w->p;
  int64_t by = 1 + s->w->kernel->pairs, cols = depth(s);
  for (int64_t m = s->m0, some; m < s->m1; m += some, to += some * LINE) {
    some = run(s, m, s->m1 - m);
    const char *a = lorikeet_at(p->a, p->a_type, lorikeet_pair(p, p->a_batch, s->i) + row(s->w, s->i, m) * p->a_m + s->k * by * p->a_k);
    if (s->w->kernel->pairs) {
      lorikeet_copy_halves((uint16_t *)to, 2 * LINE, a, p->a_type, p->a_m, p->a_k, some, cols);
    } else {
      lorikeet_copy(to, LINE, a, p->a_type, p->a_m, p->a_k, some, cols);
    }
  }
}

// A block's rows are copied by itself, or before all blocks, COPIED rows of a part at a time, where
// many blocks want the same and these are all there are: they stay in a cache.
enum { COPIED = 32 };

static void copy_some(void *arg, int64_t item) {
  const vector_work *w = arg;
  int64_t m = living(w, 0), groups = lorikeet_divide_up(m, COPIED), k = item / groups * w->each, m0 = item % groups * COPIED;
  part s = cut(w, NULL, 0, k, m0, m - m0 < COPIED ? m : m0 + COPIED);
  copy(&s, w->copied + (item / groups * m + m0) * LINE);
}

static void vector_block(void *arg, int64_t item) {
  vector_work *w = arg;
  const lorikeet_product *p = w->p;
  const struct kernel *t = w->kernel;
  int64_t nr = 2 * t->lanes, by = 1 + t->pairs;
  float *panel = lorikeet_thread_scratch(LORIKEET_FOR_PRODUCTS, (size_t)(KC * nr + (w->copied == NULL ? w->rows * LINE : 0)) * sizeof(float));
  if (panel == NULL) {
    __atomic_store_n(&w->failed, 1, __ATOMIC_RELAXED);
    return;
  }
  float *rows = panel + KC * nr;
  int64_t n0 = item % w->across * w->cols, m0 = item / w->across % w->down * w->rows, i = item / (w->across * w->down);
  int64_t n1 = n0 + w->cols < p->n ? n0 + w->cols : p->n, m1 = living(w, i);
  if (m1 > m0 + w->rows) m1 = m0 + w->rows;
  if (w->list != NULL) blank(w, i, m0, n0, n1);
  if (m0 >= m1) return;
  for (int64_t k = 0; k < w->steps; k += w->each) {
    part s = cut(w, w->copied == NULL ? rows : w->copied + (k / w->each * living(w, 0) + m0) * LINE, i, k, m0, m1);
    if (w->copied == NULL) copy(&s, rows);
    int64_t deep = depth(&s);
    int lies = p->b_n == 1 && deep == s.steps * by; // rows of b can be read as they are
    int64_t n = lies && m1 - m0 <= t->tall && p->c_type == LORIKEET_F32 && run(&s, m0, m1 - m0) == m1 - m0 ? few(&s, n0, n1) : n0;
    for (; n < n1; n += nr) {
      int64_t cols = n1 - n < nr ? n1 - n : nr;
      if (lies && cols == nr) {
        down(&s, n, nr, m1 - m0 <= t->tall + 4 ? NULL : panel, 1);
        continue;
      }
      int64_t wide = cols > t->lanes ? nr : t->lanes;
      if (cols < wide || deep < s.steps * by) memset(panel, 0, (size_t)(s.steps * wide) * sizeof(float));
      if (t->pairs) {
        lorikeet_zip_halves((uint16_t *)panel, wide, of_b(&s, n), p->b_type, p->b_k, p->b_n, deep, cols);
      } else {
        lorikeet_copy(panel, wide, of_b(&s, n), p->b_type, p->b_k, p->b_n, s.steps, cols);
      }
      down(&s, n, cols, panel, 0);
    }
  }
}

// paired tells whether the products are of pairs.
static int paired(const lorikeet_product *p, int level) { return level >= LORIKEET_AVX512BF16 && lorikeet_halves(p) && p->m > 3; }

int lorikeet_narrows(const lorikeet_product *p, int level) { return level == LORIKEET_AVX512BF16 && paired(p, level) && p->k <= 2 * KC; }

// find_living lists the live rows, unless all are, and tells how many the pair has that has most; -1
// where there is no memory.
static int64_t find_living(vector_work *w, int64_t pairs) {
  const lorikeet_product *p = w->p;
  int64_t all = pairs * p->m, n = 0, most = 1;
  if (p->live == NULL || memchr(p->live, 0, (size_t)all) == NULL) return p->m;
  int32_t *from = lorikeet_thread_scratch(LORIKEET_FOR_ROWS, (size_t)(pairs + 1 + all) * sizeof(int32_t));
  if (from == NULL) return -1;
  int32_t *list = from + pairs + 1;
  for (int64_t i = 0; i < pairs; i++) {
    from[i] = (int32_t)n;
    for (int64_t m = 0; m < p->m; m++)
      if (p->live[i * p->m + m]) list[n++] = (int32_t)m;
    if (n - from[i] > most) most = n - from[i];
  }
  from[pairs] = (int32_t)n;
  w->list = list, w->from = from;
  return most;
}

int lorikeet_vector(const lorikeet_product *p, int level, lorikeet_pool *pool) {
  vector_work w = {.p = p, .kernel = &kernels[level == LORIKEET_AVX2 ? 0 : paired(p, level) ? 2 : 1]};
  int64_t nr = 2 * w.kernel->lanes, pairs = lorikeet_pairs(p), m = find_living(&w, pairs);
  if (m < 0) return -1;
  w.steps = w.kernel->pairs ? lorikeet_divide_up(p->k, 2) : p->k;
  w.each = lorikeet_divide_up(w.steps, lorikeet_divide_up(w.steps, KC));
  // As many blocks for each thread, at least two, unless they would be narrow.
  w.down = lorikeet_divide_up(m, MC);
  if (w.down > 1 && pairs % pool->threads != 0) w.down = lorikeet_divide_up(w.down, pool->threads) * pool->threads;
  int64_t wanted = lorikeet_divide_up(2 * (int64_t)pool->threads, w.down * pairs);
  w.cols = lorikeet_divide_up(lorikeet_divide_up(p->n, wanted), nr) * nr;
  int64_t least = m <= w.kernel->tall ? 4 * nr : 2 * nr;
  if (w.cols < least) w.cols = least;
  if (w.cols > NC && w.each < w.steps) w.cols = NC; // else what is summed up so far is read again from afar
  w.across = lorikeet_divide_up(p->n, w.cols);
  w.rows = lorikeet_divide_up(lorikeet_divide_up(m, w.down), 4) * 4;
  w.down = lorikeet_divide_up(m, w.rows);
  int64_t items = pairs * w.down * w.across, parts = lorikeet_divide_up(w.steps, w.each);
  if (pairs == 1 && w.down == 1 && m > 2 * COPIED && w.across > 2) w.copied = lorikeet_shared_scratch((size_t)(parts * m * LINE) * sizeof(float));
  if (w.copied != NULL) pool->run(pool, parts * lorikeet_divide_up(m, COPIED), copy_some, &w);
  if (2.0 * (double)pairs * (double)m * (double)p->n * (double)p->k < 2e5) {
    lorikeet_alone(pool, items, vector_block, &w);
  } else {
    pool->run(pool, items, vector_block, &w);
  }
  if (w.copied != NULL) lorikeet_shared_release(w.copied);
  return w.failed ? -1 : 0;
}
