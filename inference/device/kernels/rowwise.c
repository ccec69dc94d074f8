//go:build linux && amd64

#include "rowwise.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define ISA avx2
#define TARGET "avx2,fma"
#define LANES 8
#include "lanes.h"

#define ISA avx512
#define TARGET "avx512f,avx512dq,avx512vl,avx512bw,fma"
#define LANES 16
#include "lanes.h"

void lorikeet_finish(const lorikeet_product *p, int wide, int64_t i, int64_t m, int64_t n, int64_t rows, int64_t cols, const float *from, int64_t from_row) {
  if (from == NULL && !lorikeet_follows(p)) return;
  int64_t row = i * p->m + m;
  if (from == NULL) from = (const float *)p->c + row * p->n + n, from_row = p->n;
  if (wide) {
    avx512_finish(p, from, from_row, row, n, rows, cols);
  } else {
    avx2_finish(p, from, from_row, row, n, rows, cols);
  }
}

float lorikeet_softmax(int wide, float *row, const float *bias, float scale, int64_t n) {
  return wide ? avx512_softmax(row, bias, scale, n) : avx2_softmax(row, bias, scale, n);
}

void lorikeet_norm_row(const lorikeet_normalization *norm, int wide, int64_t row) {
  if (wide) {
    avx512_norm(norm, row);
  } else {
    avx2_norm(norm, row);
  }
}
