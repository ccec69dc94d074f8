//go:build linux && amd64

#include "panels.h"

#include <immintrin.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2,fma")))

static inline float one(const char *p, int type) {
  if (type == LORIKEET_S8) return *(const int8_t *)p;
  uint32_t bits;
  float f;
  if (type == LORIKEET_F32) return memcpy(&f, p, 4), f;
  if (type == LORIKEET_ROUNDED) {
    memcpy(&bits, p, 4);
    bits = (bits & 0x7fffffff) > 0x7f800000 ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1);
    bits &= 0xffff0000;
    return memcpy(&f, &bits, 4), f;
  }
  uint16_t half;
  memcpy(&half, p, 2);
  bits = (uint32_t)half << 16;
  return memcpy(&f, &bits, 4), f;
}

// eight gives eight consecutive elements.
AVX2 static inline __m256 eight(const char *p, int type) {
  if (type == LORIKEET_F32) return _mm256_loadu_ps((const float *)p);
  if (type == LORIKEET_ROUNDED) { // to the nearest, of two to the even one; what is no number stays so
    __m256i bits = _mm256_loadu_si256((const __m256i *)p);
    __m256i up = _mm256_add_epi32(_mm256_set1_epi32(0x7fff), _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1)));
    __m256 nan = _mm256_cmp_ps(_mm256_castsi256_ps(bits), _mm256_castsi256_ps(bits), _CMP_UNORD_Q);
    __m256i near = _mm256_add_epi32(bits, up), quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    near = _mm256_blendv_epi8(near, quiet, _mm256_castps_si256(nan));
    return _mm256_castsi256_ps(_mm256_and_si256(near, _mm256_set1_epi32((int)0xffff0000)));
  }
  if (type == LORIKEET_BF16) {
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

// turn writes the transpose of eight rows of eight.
AVX2 static inline void turn(float *dst, int64_t stride, __m256 r[8]) {
  __m256 t[8], u[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (int i = 0; i < 4; i++) {
    _mm256_storeu_ps(dst + i * stride, _mm256_permute2f128_ps(u[i], u[i + 4], 0x20));
    _mm256_storeu_ps(dst + (i + 4) * stride, _mm256_permute2f128_ps(u[i], u[i + 4], 0x31));
  }
}

AVX2 static inline __attribute__((always_inline)) void copy(float *dst, int64_t stride, const char *src, const int type, int64_t s_row, int64_t s_col, int64_t rows, int64_t cols) {
  int64_t r = 0, c = 0;
  if (s_col == 1) {
    for (; r < rows; r++)
      for (c = 0; c < cols; c++) {
        if (c + 8 <= cols) {
          _mm256_storeu_ps(dst + r * stride + c, eight(lorikeet_at(src, type, r * s_row + c), type));
          c += 7;
        } else {
          dst[r * stride + c] = one(lorikeet_at(src, type, r * s_row + c), type);
        }
      }
    return;
  }
  if (s_row == 1)
    for (; c + 8 <= cols; c += 8)
      for (r = 0; r < rows; r++) {
        if (r + 8 <= rows) {
          __m256 v[8];
          for (int i = 0; i < 8; i++) v[i] = eight(lorikeet_at(src, type, r + (c + i) * s_col), type);
          turn(dst + r * stride + c, stride, v);
          r += 7;
        } else {
          for (int i = 0; i < 8; i++) dst[r * stride + c + i] = one(lorikeet_at(src, type, r + (c + i) * s_col), type);
        }
      }
  for (; c < cols; c++)
    for (r = 0; r < rows; r++) dst[r * stride + c] = one(lorikeet_at(src, type, r * s_row + c * s_col), type);
}

AVX2 void lorikeet_copy(float *dst, int64_t stride, const char *src, int type, int64_t s_row, int64_t s_col, int64_t rows, int64_t cols) {
  switch (type) {
  case LORIKEET_F32: copy(dst, stride, src, LORIKEET_F32, s_row, s_col, rows, cols); return;
  case LORIKEET_BF16: copy(dst, stride, src, LORIKEET_BF16, s_row, s_col, rows, cols); return;
  case LORIKEET_ROUNDED: copy(dst, stride, src, LORIKEET_ROUNDED, s_row, s_col, rows, cols); return;
  default: copy(dst, stride, src, LORIKEET_S8, s_row, s_col, rows, cols);
  }
}

static inline uint16_t half(const char *p, int type) {
  float f = one(p, type);
  uint32_t bits;
  memcpy(&bits, &f, 4);
  return (uint16_t)(bits >> 16);
}

AVX2 void lorikeet_copy_halves(uint16_t *dst, int64_t stride, const char *src, int type, int64_t s_row, int64_t s_col, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; r++) {
    uint16_t *to = dst + r * stride;
    const char *from = lorikeet_at(src, type, r * s_row);
    int64_t c = 0;
    if (s_col == 1 && type == LORIKEET_BF16) {
      memcpy(to, from, (size_t)cols * sizeof *to);
      c = cols;
    }
    if (s_col == 1 && type == LORIKEET_ROUNDED)
      for (; c + 16 <= cols; c += 16) {
        __m256i low = _mm256_castps_si256(eight(lorikeet_at(from, LORIKEET_ROUNDED, c), LORIKEET_ROUNDED));
        __m256i high = _mm256_castps_si256(eight(lorikeet_at(from, LORIKEET_ROUNDED, c + 8), LORIKEET_ROUNDED));
        __m256i both = _mm256_packus_epi32(_mm256_srli_epi32(low, 16), _mm256_srli_epi32(high, 16));
        _mm256_storeu_si256((__m256i *)(to + c), _mm256_permute4x64_epi64(both, 0xd8));
      }
    for (; c < cols; c++) to[c] = half(lorikeet_at(from, type, c * s_col), type);
    if (cols % 2 != 0) to[cols] = 0;
  }
}

void lorikeet_zip_halves(uint16_t *dst, int64_t stride, const char *src, int type, int64_t s_row, int64_t s_col, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < cols; c++) dst[(r / 2 * stride + c) * 2 + r % 2] = half(lorikeet_at(src, type, r * s_row + c * s_col), type);
}
