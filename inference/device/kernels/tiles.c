//go:build linux && amd64

#include "panels.h"
#include "products.h"
#include "rowwise.h"

#include <immintrin.h>
#include <string.h>
#ifdef LORIKEET_EMULATE_AMX
#include "tiles_emulated.h"
#endif

// Products by AMX, whose instruction multiplies a tile of [16 rows, 32 steps of k] with one of
// [32, 16], in bfloat16, and adds to 16x16 sums in float32. float32 factors are written as sums
// of two bfloat16 parts, and three of the four products of parts are added up: the
// scheme of Henry, Tang and Heinecke, "Leveraging the bfloat16 Artificial Intelligence
// Datatype for Higher-Precision Computations" (2019), with errors of 2^-16 for each product
// (float32: 2^-24; TF32: 2^-11). An infinite factor gives NaN. a is turned into tiles first;
// then blocks of the result are computed, 32x32 at a time.

#define AMX __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma")))

enum {
  TILE = 16 * 32, // values of a tile
  DEPTH = 32,     // steps of k in a tile
  ACROSS = 8,     // b's tiles side by side in a block at most
  CHUNK = 16,     // b's tiles one below the other in a block, all parts counted
  DOWN = 64,      // a's tiles one below the other in a block at most
};

typedef uint16_t half;

typedef struct {
  const lorikeet_product *p;
  int a_parts, b_parts, pairs;
  struct {
    int a, b;
  } pair[3];
  int64_t k_tiles, m_tiles, n_tiles; // the latter two even
  half *a;                           // [batch][m_tiles][k_tiles][a_parts][TILE]
  int64_t down, across, rows, cols;  // blocks of the result, and tiles in each
  int failed;
} tile_work;

// The order of a tile of a, and that of one of b, which holds pairs of steps of k:
// [16 pairs][16 columns][2].
static const half in_rows[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
static const half in_pairs[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                  8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};

// parts writes 32 values as bfloat16, then what was lost, and so on. Each goes to its tile.
AMX static inline __attribute__((always_inline)) void parts(__m512 low, __m512 high, half *to, const int n, __m512i order) {
#pragma GCC unroll 2
  for (int i = 0; i < n; i++) {
    __m512i bits = (__m512i)_mm512_cvtne2ps_pbh(high, low);
    _mm512_store_si512(to + i * TILE, _mm512_permutexvar_epi16(order, bits));
    if (i + 1 == n) break;
    __m512i l = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(bits)), 16);
    __m512i h = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(bits, 1)), 16);
    low = _mm512_sub_ps(low, _mm512_castsi512_ps(l));
    high = _mm512_sub_ps(high, _mm512_castsi512_ps(h));
  }
}

// row makes one row of a tile's parts from two times 16 values.
AMX static inline __attribute__((always_inline)) void row(half *to, const char *first, const char *second, const int type, const int n, __m512i order) {
  if (type == LORIKEET_BF16) {
    __m512i bits = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const void *)first)), _mm256_loadu_si256((const void *)second), 1);
    _mm512_store_si512(to, _mm512_permutexvar_epi16(order, bits));
  } else {
    parts(_mm512_loadu_ps(first), _mm512_loadu_ps(second), to, n, order);
  }
}

// rows makes tiles side by side, whose parts are `next` values from each other. From one row
// of a tile to the next are `down` elements of `from`, to the second half of a row `second`,
// and to the next tile `across`. What it reads lies in many pages: the next rows are fetched.
AMX static inline __attribute__((always_inline)) void rows(half *to, int64_t next, int64_t tiles, const char *from, const int type, int64_t down, int64_t second, int64_t across, const int n, __m512i order) {
  for (int r = 0; r < 16; r++)
    for (int64_t t = 0; t < tiles; t++) {
      const char *at = lorikeet_at(from, type, r * down + t * across);
      __builtin_prefetch(lorikeet_at(at, type, 2 * down));
      __builtin_prefetch(lorikeet_at(at, type, 2 * down + second));
      row(to + r * DEPTH + t * next, at, lorikeet_at(at, type, second), type, n, order);
    }
}

AMX static void fill(half *to, int64_t next, int64_t tiles, const char *from, int type, int64_t down, int64_t second, int64_t across, int n, const half *order) {
  __m512i o = _mm512_loadu_si512(order);
  if (type == LORIKEET_BF16) {
    rows(to, next, tiles, from, LORIKEET_BF16, down, second, across, 1, o);
  } else if (n == 1) {
    rows(to, next, tiles, from, LORIKEET_F32, down, second, across, 1, o);
  } else {
    rows(to, next, tiles, from, LORIKEET_F32, down, second, across, 2, o);
  }
}

// a_tile makes the tile of a at row m and step k.
AMX static void a_tile(const tile_work *w, int64_t i, int64_t m, int64_t k, half *to) {
  const lorikeet_product *p = w->p;
  int64_t rows = p->m - m < 16 ? p->m - m : 16, steps = p->k - k < DEPTH ? p->k - k : DEPTH;
  const char *from = lorikeet_at(p->a, p->a_type, lorikeet_pair(p, p->a_batch, i) + m * p->a_m + k * p->a_k);
  if (p->a_type != LORIKEET_S8 && p->a_k == 1 && rows == 16 && steps == DEPTH) {
    fill(to, 0, 1, from, p->a_type, p->a_m, 16, 0, w->a_parts, in_rows);
    return;
  }
  float part[TILE] __attribute__((aligned(64)));
  if (rows < 16 || steps < DEPTH) memset(part, 0, sizeof part);
  if (rows > 0) lorikeet_copy(part, DEPTH, from, p->a_type, p->a_m, p->a_k, rows, steps);
  fill(to, 0, 1, (const char *)part, LORIKEET_F32, DEPTH, 16, 0, w->a_parts, in_rows);
}

// b_tiles makes the tiles of b at step k and columns n and up, `next` values from each other.
AMX static void b_tiles(const tile_work *w, int64_t i, int64_t k, int64_t n, int64_t tiles, half *to, int64_t next) {
  const lorikeet_product *p = w->p;
  int64_t steps = p->k - k < DEPTH ? p->k - k : DEPTH;
  const char *from = lorikeet_at(p->b, p->b_type, lorikeet_pair(p, p->b_batch, i) + k * p->b_k + n * p->b_n);
  int64_t direct = 0;
  if (p->b_type != LORIKEET_S8 && p->b_n == 1 && steps == DEPTH) {
    direct = (p->n - n) / 16 < tiles ? (p->n - n) / 16 : tiles;
    fill(to, next, direct, from, p->b_type, 2 * p->b_k, p->b_k, 16, w->b_parts, in_pairs);
  }
  for (int64_t t = direct; t < tiles; t++) {
    float part[TILE] __attribute__((aligned(64)));
    int64_t cols = p->n - n - t * 16 < 16 ? p->n - n - t * 16 : 16;
    if (cols < 16 || steps < DEPTH) memset(part, 0, sizeof part);
    if (cols > 0) lorikeet_copy(part, 16, lorikeet_at(from, p->b_type, t * 16 * p->b_n), p->b_type, p->b_k, p->b_n, steps, cols);
    fill(to + t * next, 0, 1, (const char *)part, LORIKEET_F32, 32, 16, 0, w->b_parts, in_pairs);
  }
}

// dead tells whether none of 32 rows is read.
static int dead(const lorikeet_product *p, int64_t i, int64_t m) {
  if (p->live == NULL || m >= p->m) return 0;
  return memchr(p->live + i * p->m + m, 1, (size_t)(p->m - m < 32 ? p->m - m : 32)) == NULL;
}

// The first phase makes the tiles of a, 16 rows an item.
static void pack(void *arg, int64_t item) {
  const tile_work *w = arg;
  if (dead(w->p, item / w->m_tiles, item % w->m_tiles / 2 * 32)) return;
  half *to = w->a + item * w->k_tiles * w->a_parts * TILE;
  for (int64_t t = 0; t < w->k_tiles; t++) a_tile(w, item / w->m_tiles, item % w->m_tiles * 16, t * DEPTH, to + t * w->a_parts * TILE);
}

struct tile_config {
  uint8_t palette, start_row, reserved[14];
  uint16_t bytes[16];
  uint8_t rows[16];
};

AMX static inline void four(const half *a, int64_t a_next, const half *b, int64_t b_next) {
  _tile_loadd(4, a, 64);
  _tile_loadd(6, b, 64);
  _tile_loadd(7, b + b_next, 64);
  _tile_loadd(5, a + a_next, 64);
  _tile_dpbf16ps(0, 4, 6);
  _tile_dpbf16ps(1, 4, 7);
  _tile_dpbf16ps(2, 5, 6);
  _tile_dpbf16ps(3, 5, 7);
}

// square computes 32x32 of the result of pair i, from `tiles` tiles of k, of which `before` were
// done before.
AMX static void square(const tile_work *w, const half *a, const half *b, int64_t b_next, int64_t i, int64_t m, int64_t n, int64_t tiles, int64_t before) {
  const lorikeet_product *p = w->p;
  float *c = (float *)p->c + i * p->m * p->n;
  int first = before == 0;
  float part[32 * 32] __attribute__((aligned(64)));
  int64_t rows = p->m - m < 32 ? p->m - m : 32, cols = p->n - n < 32 ? p->n - n : 32;
  if (dead(p, i, m)) {
    for (int64_t r = 0; r < rows && cols > 0; r++) memset(c + (m + r) * p->n + n, 0, (size_t)cols * sizeof(float));
    return;
  }
  float *to = c + m * p->n + n;
  int64_t row = p->n;
  int whole = rows == 32 && cols == 32;
  if (!whole) {
    to = part, row = 32;
    if (!first)
      for (int64_t r = 0; r < rows; r++) memcpy(part + r * 32, c + (m + r) * p->n + n, (size_t)cols * sizeof(float));
  }
  if (first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, to, row * 4);
    _tile_loadd(1, to + 16, row * 4);
    _tile_loadd(2, to + 16 * row, row * 4);
    _tile_loadd(3, to + 16 * row + 16, row * 4);
  }
  int64_t a_step = w->a_parts * TILE, b_step = w->b_parts * TILE;
  for (int64_t t = 0; t < tiles; t++)
    for (int i = 0; i < w->pairs; i++)
      four(a + t * a_step + w->pair[i].a * TILE, w->k_tiles * a_step, b + t * b_step + w->pair[i].b * TILE, b_next);
  _tile_stored(0, to, row * 4);
  _tile_stored(1, to + 16, row * 4);
  _tile_stored(2, to + 16 * row, row * 4);
  _tile_stored(3, to + 16 * row + 16, row * 4);
  if (!whole)
    for (int64_t r = 0; r < rows; r++) memcpy(c + (m + r) * p->n + n, part + r * 32, (size_t)cols * sizeof(float));
  if (before + tiles == w->k_tiles && rows > 0 && cols > 0) lorikeet_finish(p, 1, i, m, n, rows, cols, NULL, 0);
}

// The second phase computes a block of the result: b's tiles are made as they are needed.
AMX static void tile_block(void *arg, int64_t item) {
  tile_work *w = arg;
  int64_t b_next = CHUNK * TILE;
  half *b = lorikeet_thread_scratch(LORIKEET_FOR_PRODUCTS, (size_t)(ACROSS * b_next) * sizeof(half));
  if (b == NULL) {
    __atomic_store_n(&w->failed, 1, __ATOMIC_RELAXED);
    return;
  }
  struct tile_config config = {.palette = 1};
  for (int i = 0; i < 8; i++) config.bytes[i] = 64, config.rows[i] = 16;
  _tile_loadconfig(&config);
  int64_t n0 = item % w->across * w->cols, m0 = item / w->across % w->down * w->rows, i = item / (w->across * w->down);
  int64_t n1 = n0 + w->cols < w->n_tiles ? n0 + w->cols : w->n_tiles, m1 = m0 + w->rows < w->m_tiles ? m0 + w->rows : w->m_tiles;
  const half *a = w->a + i * w->m_tiles * w->k_tiles * w->a_parts * TILE;
  int64_t chunk = CHUNK / w->b_parts;
  for (int64_t t = 0; t < w->k_tiles; t += chunk) {
    int64_t tiles = w->k_tiles - t < chunk ? w->k_tiles - t : chunk;
    for (int64_t u = 0; u < tiles; u++) b_tiles(w, i, (t + u) * DEPTH, n0 * 16, n1 - n0, b + u * w->b_parts * TILE, b_next);
    for (int64_t n = n0; n < n1; n += 2)
      for (int64_t m = m0; m < m1; m += 2)
        square(w, a + (m * w->k_tiles + t) * w->a_parts * TILE, b + (n - n0) * b_next, b_next, i, m * 16, n * 16, tiles, t);
  }
  _tile_release();
}

int lorikeet_tiles(const lorikeet_product *p, lorikeet_pool *pool) {
  tile_work w = {.p = p};
  w.a_parts = p->a_type == LORIKEET_F32 ? 2 : 1;
  w.b_parts = p->b_type == LORIKEET_F32 ? 2 : 1;
  // The smallest first; the product of two rests is too small to count.
  if (w.a_parts == 2) w.pair[w.pairs++].a = 1;
  if (w.b_parts == 2) w.pair[w.pairs++].b = 1;
  w.pairs++;
  w.k_tiles = lorikeet_divide_up(p->k, DEPTH);
  w.m_tiles = lorikeet_divide_up(p->m, 32) * 2;
  w.n_tiles = lorikeet_divide_up(p->n, 32) * 2;
  w.a = lorikeet_shared_scratch((size_t)(lorikeet_pairs(p) * w.m_tiles * w.k_tiles * w.a_parts) * TILE * sizeof(half));
  if (w.a == NULL) return -1;
  pool->run(pool, lorikeet_pairs(p) * w.m_tiles, pack, &w);

  // Each block makes b's tiles anew and goes through a's: large ones save that, but all
  // threads want the same number of them.
  w.rows = w.m_tiles < DOWN ? w.m_tiles : DOWN;
  w.cols = w.n_tiles < ACROSS ? w.n_tiles : ACROSS;
  for (;;) {
    int64_t blocks = lorikeet_pairs(p) * lorikeet_divide_up(w.m_tiles, w.rows) * lorikeet_divide_up(w.n_tiles, w.cols);
    if (blocks >= 4 * pool->threads || (blocks >= 2 * pool->threads && blocks % pool->threads == 0)) break;
    if (w.rows > 16 || (w.cols == 2 && w.rows > 4)) {
      w.rows = lorikeet_divide_up(w.rows, 4) * 2;
    } else if (w.cols > 2) {
      w.cols = lorikeet_divide_up(w.cols, 4) * 2;
    } else {
      break;
    }
  }
  w.down = lorikeet_divide_up(w.m_tiles, w.rows), w.across = lorikeet_divide_up(w.n_tiles, w.cols);
  pool->run(pool, lorikeet_pairs(p) * w.down * w.across, tile_block, &w);
  lorikeet_shared_release(w.a);
  return w.failed ? -1 : 0;
}
