// What is done to rows of results, by AVX2 or, where wide is not 0, by AVX-512.
#ifndef LORIKEET_ROWWISE_H
#define LORIKEET_ROWWISE_H

#include "matmul.h"

// lorikeet_follows tells whether anything is done to p's product.
static inline int lorikeet_follows(const lorikeet_product *p) {
  return p->scale != NULL || p->bias != NULL || p->more[0] != NULL || p->more[1] != NULL || p->low != NULL || p->activation != LORIKEET_IDENTITY;
}

enum { LORIKEET_TALLEST = 32 }; // rows that are finished at a time

// lorikeet_finish does what follows p's product to c[m..m+rows][n..n+cols] of pair i, which so
// far is at `from`, with from_row floats from one row to the next: in c itself where that is NULL.
void lorikeet_finish(const lorikeet_product *p, int wide, int64_t i, int64_t m, int64_t n, int64_t rows, int64_t cols, const float *from, int64_t from_row);

// lorikeet_softmax turns a row of n products into exp(scale·x + bias - their maximum), and
// gives the sum.
float lorikeet_softmax(int wide, float *row, const float *bias, float scale, int64_t n);

// lorikeet_norm_row is one row of lorikeet_norm.
void lorikeet_norm_row(const lorikeet_normalization *norm, int wide, int64_t row);

#endif
