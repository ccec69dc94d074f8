//go:build linux && amd64

#include "products.h"

#include <string.h>

enum { FLOATS = 1 << 16 }; // of an item

typedef struct {
  const lorikeet_rows *g;
  int64_t each; // rows of an item
} gather_work;

static void some_rows(void *arg, int64_t item) {
  const gather_work *w = arg;
  const lorikeet_rows *g = w->g;
  for (int64_t i = item * w->each; i < g->count && i < (item + 1) * w->each; i++) {
    int64_t row = g->index[i];
    row = row < 0 ? 0 : row < g->rows ? row : g->rows - 1;
    memcpy(g->y + i * g->size, g->table + row * g->size, (size_t)g->size * sizeof(float));
  }
}

void lorikeet_gather(const lorikeet_rows *g, lorikeet_pool *pool) {
  gather_work w = {g, FLOATS / g->size + 1};
  pool->run(pool, lorikeet_divide_up(g->count, w.each), some_rows, &w);
}
