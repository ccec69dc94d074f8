// Copies of parts of matrices, in the order the kernels read them in.
#ifndef LORIKEET_PANELS_H
#define LORIKEET_PANELS_H

#include "matmul.h"

// lorikeet_copy writes rows x cols elements of src (strides in elements, of the given type)
// to dst as float32, with `stride` elements from one row to the next.
void lorikeet_copy(float *dst, int64_t stride, const char *src, int type, int64_t s_row, int64_t s_col, int64_t rows, int64_t cols);

// lorikeet_copy_halves is lorikeet_copy of bfloat16, or of what is rounded to it, to the same. A row of an
// odd number of columns has a zero after it.
void lorikeet_copy_halves(uint16_t *dst, int64_t stride, const char *src, int type, int64_t s_row, int64_t s_col, int64_t rows, int64_t cols);

// lorikeet_zip_halves writes rows of bfloat16 in pairs: dst[row/2][column][row%2], with `stride` columns.
void lorikeet_zip_halves(uint16_t *dst, int64_t stride, const char *src, int type, int64_t s_row, int64_t s_col, int64_t rows, int64_t cols);

static inline const char *lorikeet_at(const char *p, int type, int64_t element) {
  return p + element * (type == LORIKEET_F32 || type == LORIKEET_ROUNDED ? 4 : type == LORIKEET_BF16 ? 2 : 1);
}

// lorikeet_pairs counts p's pairs of matrices, and lorikeet_pair is where the matrix of pair i lies.
static inline int64_t lorikeet_pairs(const lorikeet_product *p) { return p->batch[0] * p->batch[1] * p->batch[2]; }
static inline int64_t lorikeet_pair(const lorikeet_product *p, const int64_t stride[3], int64_t i) {
  return i / (p->batch[1] * p->batch[2]) * stride[0] + i / p->batch[2] % p->batch[1] * stride[1] + i % p->batch[2] * stride[2];
}

#endif
