//go:build linux && amd64

#include "products.h"
#include "rowwise.h"

#include <string.h>

// Attention (Vaswani et al. 2017) without its scores in memory: those of some queries of one
// head are computed, exponentiated and multiplied with the values while they are in the
// cache, as in FlashAttention (Dao et al. 2022), but with all keys at a time.

enum { QUERIES = 128 }; // of an item

typedef struct {
  const lorikeet_attention *a;
  int level, failed;
  int64_t parts; // items of one head
} attend_work;

static void attend(void *arg, int64_t item) {
  attend_work *w = arg;
  const lorikeet_attention *a = w->a;
  int64_t from = item % w->parts * QUERIES, head = item / w->parts % a->heads, s = item / (w->parts * a->heads);
  int64_t n = a->queries - from < QUERIES ? a->queries - from : QUERIES;
  float *scores = lorikeet_thread_scratch(LORIKEET_FOR_ATTENTION, (size_t)(QUERIES * (a->keys + a->out)) * sizeof(float));
  if (scores == NULL) {
    __atomic_store_n(&w->failed, 1, __ATOMIC_RELAXED);
    return;
  }
  float *y = scores + QUERIES * a->keys, sums[QUERIES];
  // Padding is at the end, but for what nobody minds.
  int64_t keys = a->keys, all = n;
  while (a->live != NULL && n > 0 && !a->live[s * a->queries + from + n - 1]) n--;
  while (n > 0 && a->live_keys != NULL && keys > 1 && !a->live_keys[s * a->keys + keys - 1]) keys--;
  for (int64_t i = n; i < all; i++) memset(a->y + ((s * a->queries + from + i) * a->heads + head) * a->out, 0, (size_t)a->out * sizeof(float));
  if (n == 0) return;
  lorikeet_pool pool = {lorikeet_alone, 1};
  lorikeet_product p = {
      .m = n, .n = keys, .k = a->dim, .batch = {1, 1, 1}, .c = scores,
      .a = (const char *)(a->q + s * a->q_stride[0] + head * a->q_stride[1] + from * a->q_stride[2]), .a_m = a->q_stride[2], .a_k = a->q_stride[3],
      .b = (const char *)(a->k + s * a->k_stride[0] + head * a->k_stride[1]), .b_n = a->k_stride[2], .b_k = a->k_stride[3],
  };
  int bad = lorikeet_vector(&p, w->level, &pool);
  for (int64_t i = 0; i < n; i++) {
    const float *bias = a->bias + s * a->bias_stride[0] + head * a->bias_stride[1] + (from + i) * a->bias_stride[2];
    float *row = scores + i * keys;
    sums[i] = lorikeet_softmax(w->level >= LORIKEET_AVX512, row, bias, a->scale, keys);
  }
  p = (lorikeet_product){
      .m = n, .n = a->out, .k = keys, .batch = {1, 1, 1}, .c = y,
      .a = (const char *)scores, .a_m = keys, .a_k = 1,
      .b = (const char *)(a->v + s * a->v_stride[0] + head * a->v_stride[1]), .b_k = a->v_stride[2], .b_n = a->v_stride[3],
  };
  bad |= lorikeet_vector(&p, w->level, &pool);
  for (int64_t i = 0; i < n; i++) {
    float *to = a->y + ((s * a->queries + from + i) * a->heads + head) * a->out;
    for (int64_t j = 0; j < a->out; j++) to[j] = y[i * a->out + j] / sums[i];
  }
  if (bad) __atomic_store_n(&w->failed, 1, __ATOMIC_RELAXED);
}

int lorikeet_attend(const lorikeet_attention *a, int level, lorikeet_pool *pool) {
  attend_work w = {.a = a, .level = level, .parts = lorikeet_divide_up(a->queries, QUERIES)};
  pool->run(pool, a->batch * a->heads * w.parts, attend, &w);
  return w.failed ? -1 : 0;
}
