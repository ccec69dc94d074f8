// A template: the small kernels of one set of instructions, included once for each. It wants
//   ISA      the prefix of the names
//   TARGET   what the compiler may use
//   LANES    floats in a vector
//   TALL     rows of the result in registers, by two vectors
//   WIDE     vectors of the result in registers, by one row
//   PAIRS    1 where a step of k is a pair of bfloat16, multiplied and added up by one instruction
// and undefines them.

#include "isa.h"

#define UNROLL _Pragma("GCC unroll 16")
#define ACROSS(rows) ((rows) == 1 ? WIDE : (rows) <= 3 ? WIDE / 2 : (rows) < TALL ? 2 * TALL / (rows) : 2)

typedef int8_t NAME(b) __attribute__((vector_size(LANES), aligned(1)));

// load gives the v-th vector of step k of b as it lies in memory, or of a panel, which is float32
// or, of pairs, looks like it.
INLINE NAME(v) NAME(load)(const char *b, const int type, int64_t k, int64_t b_row, int v) {
#if PAIRS
  if (type == LORIKEET_BF16) {
    const char *at = lorikeet_at(b, type, 2 * k * b_row + v * LANES);
    __m512i both = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)at));
    both = _mm512_inserti64x4(both, _mm256_loadu_si256((const void *)lorikeet_at(at, type, b_row)), 1);
    return (NAME(v))_mm512_permutexvar_epi16(_mm512_loadu_si512(lorikeet_zip), both);
  }
#else
  if (type == LORIKEET_S8) return __builtin_convertvector(*(const NAME(b) *)lorikeet_at(b, type, k * b_row + v * LANES), NAME(v));
  if (type == LORIKEET_BF16) return (NAME(v))(__builtin_convertvector(*(const NAME(h) *)lorikeet_at(b, type, k * b_row + v * LANES), NAME(u)) << 16);
#endif
  return *(const NAME(v) *)lorikeet_at(b, LORIKEET_F32, k * b_row + v * LANES);
}

INLINE NAME(v) NAME(add)(NAME(v) sum, NAME(v) y, NAME(v) x) {
#if PAIRS
  return (NAME(v))_mm512_dpbf16_ps((__m512)sum, (__m512bh)y, (__m512bh)x);
#else
  return sum + y * x;
#endif
}

// spread fills a vector with one step of a, whose bits are no number where they are a pair.
INLINE NAME(v) NAME(spread)(const float *a) {
  int32_t bits;
  memcpy(&bits, a, sizeof bits);
#if LANES == 16
  return (NAME(v))_mm512_set1_epi32(bits);
#else
  return (NAME(v))_mm256_set1_epi32(bits);
#endif
}

// rows adds a[rows][steps] · b[steps][wide vectors] to c, and copies what it reads of b to a panel, if there is one.
INLINE void NAME(rows)(const int rows, const int wide, const int type, const int ahead, int64_t steps, const float *a, const char *b, int64_t b_row, float *c, int64_t c_row, int first, float *panel) {
  NAME(v) sum[TALL][16];
  UNROLL for (int r = 0; r < rows; r++)
    UNROLL for (int v = 0; v < wide; v++) sum[r][v] = (NAME(v)){0};
  for (int64_t k = 0; k < steps; k++) {
    if (ahead) // each row is in another page; of a pair's two rows, two vectors share a line
      UNROLL for (int v = 0; v < wide; v++) {
        int64_t then = k + (wide < 3 ? 32 : wide < 8 ? 16 : 8);
        __builtin_prefetch(PAIRS ? lorikeet_at(b, type, (2 * then + v % 2) * b_row + v / 2 * 2 * LANES) : lorikeet_at(b, type, then * b_row + v * LANES));
      }
    NAME(v) x[16];
    UNROLL for (int v = 0; v < wide; v++) x[v] = NAME(load)(b, type, k, b_row, v);
    if (panel != NULL)
      UNROLL for (int v = 0; v < wide; v++) *(NAME(v) *)(panel + (wide * k + v) * LANES) = x[v];
    UNROLL for (int r = 0; r < rows; r++) {
      NAME(v) y = NAME(spread)(a + r * LINE + k);
      UNROLL for (int v = 0; v < wide; v++) sum[r][v] = NAME(add)(sum[r][v], y, x[v]);
    }
  }
  UNROLL for (int r = 0; r < rows; r++)
    UNROLL for (int v = 0; v < wide; v++) {
      NAME(v) *to = (NAME(v) *)(c + r * c_row + v * LANES);
      *to = first ? sum[r][v] : *to + sum[r][v];
    }
}

// some is rows for as many of them as there are, of b as it lies or of a panel.
INLINE void NAME(some)(int rows, const int wide, const int type, const int ahead, int64_t steps, const float *a, const char *b, int64_t b_row, float *c, int64_t c_row, int first) {
  switch (rows) {
  case TALL: NAME(rows)(TALL, wide, type, ahead, steps, a, b, b_row, c, c_row, first, NULL); return;
#if TALL > 6
  case 6: NAME(rows)(6, wide, type, ahead, steps, a, b, b_row, c, c_row, first, NULL); return;
#endif
  case 4: NAME(rows)(4, wide, type, ahead, steps, a, b, b_row, c, c_row, first, NULL); return;
  case 2: NAME(rows)(2, wide, type, ahead, steps, a, b, b_row, c, c_row, first, NULL); return;
  default: NAME(rows)(1, wide, type, ahead, steps, a, b, b_row, c, c_row, first, NULL);
  }
}

// tile takes b from a panel of two vectors, or of one.
__attribute__((target(TARGET))) static void NAME(tile)(int rows, int wide, int64_t steps, const float *a, const float *b, float *c, int64_t c_row, int first) {
  if (wide == 2) {
    NAME(some)(rows, 2, LORIKEET_F32, 0, steps, a, (const char *)b, 2 * LANES, c, c_row, first);
  } else {
    NAME(some)(rows, 1, LORIKEET_F32, 0, steps, a, (const char *)b, LANES, c, c_row, first);
  }
}

// flat takes two vectors of b as it lies; most as many as registers hold of so few rows, which
// across tells.
__attribute__((target(TARGET))) static void NAME(flat)(int type, int rows, int64_t steps, const float *a, const char *b, int64_t b_row, float *c, int64_t c_row, int first) {
  switch (type) {
  case LORIKEET_BF16: NAME(some)(rows, 2, LORIKEET_BF16, 1, steps, a, b, b_row, c, c_row, first); return;
#if !PAIRS
  case LORIKEET_S8: NAME(some)(rows, 2, LORIKEET_S8, 1, steps, a, b, b_row, c, c_row, first); return;
  default: NAME(some)(rows, 2, LORIKEET_F32, 1, steps, a, b, b_row, c, c_row, first);
#endif
  }
}

__attribute__((target(TARGET))) static void NAME(most)(int type, int rows, int64_t steps, const float *a, const char *b, int64_t b_row, float *c, int64_t c_row, int first) {
#define CASE(R, T)                                                                                 \
  case R:                                                                                          \
    if (R <= TALL) NAME(rows)(R <= TALL ? R : 1, ACROSS(R), T, 1, steps, a, b, b_row, c, c_row, first, NULL); \
    return;
#define MOST(T)                                                                               \
  switch (rows) {                                                                             \
    CASE(1, T) CASE(2, T) CASE(3, T) CASE(4, T) CASE(5, T) CASE(6, T)                         \
    CASE(7, T) CASE(8, T) CASE(9, T) CASE(10, T) CASE(11, T) CASE(12, T)                      \
  }                                                                                           \
  return
  switch (type) {
  case LORIKEET_BF16: MOST(LORIKEET_BF16);
#if !PAIRS
  case LORIKEET_S8: MOST(LORIKEET_S8);
  default: MOST(LORIKEET_F32);
#endif
  }
#undef MOST
#undef CASE
}

static int NAME(across)(int rows) { return ACROSS(rows); }

// start is flat for TALL rows, and fills a panel for the rows that follow.
__attribute__((target(TARGET))) static void NAME(start)(int type, int64_t steps, const float *a, const char *b, int64_t b_row, float *c, int64_t c_row, int first, float *panel) {
  switch (type) {
  case LORIKEET_BF16: NAME(rows)(TALL, 2, LORIKEET_BF16, 1, steps, a, b, b_row, c, c_row, first, panel); return;
#if !PAIRS
  case LORIKEET_S8: NAME(rows)(TALL, 2, LORIKEET_S8, 1, steps, a, b, b_row, c, c_row, first, panel); return;
  default: NAME(rows)(TALL, 2, LORIKEET_F32, 1, steps, a, b, b_row, c, c_row, first, panel);
#endif
  }
}

#undef ISA
#undef TARGET
#undef LANES
#undef TALL
#undef WIDE
#undef PAIRS
#undef NAME
#undef INLINE
#undef UNROLL
#undef ACROSS
