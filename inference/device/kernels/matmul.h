// Matrix products for processors of the x86-64 family, in the manner of Goto and van de
// Geijn (2008) and BLIS: both matrices are copied block by block into the order in which a
// small kernel reads them, which keeps a tile of the result in registers.
#ifndef LORIKEET_MATMUL_H
#define LORIKEET_MATMUL_H

#include <stddef.h>
#include <stdint.h>

// The types of factors. A float32 factor may be asked to be rounded to bfloat16 first.
enum { LORIKEET_F32, LORIKEET_BF16, LORIKEET_S8, LORIKEET_ROUNDED };

// lorikeet_product is c = a·b for each of batch[0] x batch[1] x batch[2] pairs. a is [m, k]
// of float32, rounded or not, or bfloat16, b is [k, n] of float32, bfloat16 or int8, both with any
// strides, counted in elements; c is [m, n] without gaps, one after another, of float32, or of
// bfloat16 where lorikeet_narrows. No size is 0. What follows a product is done while it is
// in the cache: c = activation(a·b·scale + bias + more[0] + more[1] + low·up), of which any may be
// missing (NULL). low·up is what adapters add (Hu et al. 2021): low is [rows of c, rank], and so many
// rows after another, `each`, have one up [rank, n].
typedef struct {
  int64_t m, n, k;
  const char *a, *b; // bytes
  int64_t a_m, a_k, b_k, b_n;
  int64_t batch[3], a_batch[3], b_batch[3];
  int a_type, b_type, c_type;
  void *c;
  const float *scale, *bias; // [n]
  const float *more[2];      // as c, but float32
  const float *low, *up;
  int64_t rank, each; // the rank is a multiple of 8
  int activation;
  const uint8_t *live; // [batch·m], 0 for rows of c that nobody reads: they are 0 too. NULL: all are read
} lorikeet_product;

enum { LORIKEET_IDENTITY, LORIKEET_RELU, LORIKEET_GELU, LORIKEET_SILU };

// lorikeet_pool runs work(arg, 0), …, work(arg, count-1), some of them at a time, and
// returns when all are done.
typedef struct lorikeet_pool {
  void (*run)(struct lorikeet_pool *pool, int64_t count, void (*work)(void *arg, int64_t item), void *arg);
  int threads;
} lorikeet_pool;

// lorikeet_alone is the run of a pool of nobody but the caller.
void lorikeet_alone(lorikeet_pool *pool, int64_t count, void (*work)(void *arg, int64_t item), void *arg);

// What a processor can do: each level includes those before it. The last has float32 factors
// taken apart for AMX too.
enum { LORIKEET_NONE, LORIKEET_AVX2, LORIKEET_AVX512, LORIKEET_AVX512BF16, LORIKEET_AMX, LORIKEET_BF16X3 };

// lorikeet_level finds out what this processor and its system can do, and asks the system
// for leave to use AMX where it must be asked.
int lorikeet_level(void);

// lorikeet_multiply computes p by the instructions of a level that lorikeet_level allows. It
// returns 0, or -1 where there is no memory.
int lorikeet_multiply(const lorikeet_product *p, int level, lorikeet_pool *pool);

// lorikeet_narrows tells whether the result may be bfloat16: by the level LORIKEET_AVX512BF16
// alone, where what is summed up is not put down in between. See narrows in rewrite.go.
int lorikeet_narrows(const lorikeet_product *p, int level);

// lorikeet_attention is softmax(scale·q·kᵀ + bias)·v for each sequence and head. q is
// [batch, heads, queries, dim], k [batch, heads, keys, dim], v [batch, heads, keys, out] and bias
// [batch, heads, queries, keys], all float32 with strides in elements (0 where one value
// stands for all; the bias's last is 1); y is [batch, queries, heads, out] without gaps.
typedef struct {
  int64_t batch, heads, queries, keys, dim, out;
  const float *q, *k, *v, *bias;
  int64_t q_stride[4], k_stride[4], v_stride[4], bias_stride[3];
  float scale;
  float *y;
  const uint8_t *live;      // [batch, queries], 0 for rows of y that nobody reads: they are 0. NULL: all are read
  const uint8_t *live_keys; // [batch, keys], 0 for keys that the bias hides; NULL: any may be seen
} lorikeet_attention;

// lorikeet_attend computes a; 0, or -1 where there is no memory.
int lorikeet_attend(const lorikeet_attention *a, int level, lorikeet_pool *pool);

// lorikeet_normalization is layer normalization (Ba et al. 2016) of each row of x [rows, dim],
// or what divides by the root mean square alone (Zhang & Sennrich 2019) where centered is 0:
// y = (x - mean) / sqrt(variance + epsilon) · weight + bias, of which the bias may be missing.
typedef struct {
  int64_t rows, dim;
  const float *x, *weight, *bias;
  float *y;
  float epsilon;
  int centered;
  const uint8_t *live; // [rows], 0 for rows that nobody reads: they are 0. NULL: all are read
} lorikeet_normalization;

void lorikeet_norm(const lorikeet_normalization *norm, int level, lorikeet_pool *pool);

// lorikeet_rows are rows of a table [rows, size] by their numbers, each at the nearest that
// there is: y [count, size].
typedef struct {
  int64_t rows, size, count;
  const float *table;
  const int32_t *index;
  float *y;
} lorikeet_rows;

void lorikeet_gather(const lorikeet_rows *g, lorikeet_pool *pool);

#endif
