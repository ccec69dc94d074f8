// The parts of lorikeet_multiply.
#ifndef LORIKEET_PRODUCTS_H
#define LORIKEET_PRODUCTS_H

#include "matmul.h"

static inline int64_t lorikeet_divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// lorikeet_thread_scratch gives memory of this thread, aligned to 64 bytes, which stays as
// it is until the thread asks for the same purpose again; NULL where there is none.
enum { LORIKEET_FOR_PRODUCTS, LORIKEET_FOR_ATTENTION, LORIKEET_FOR_ROWS, LORIKEET_PURPOSES };
void *lorikeet_thread_scratch(int purpose, size_t bytes);

// lorikeet_shared_scratch gives memory, aligned to 64 bytes, until it is released: as often
// as not what another product used. NULL where there is none.
void *lorikeet_shared_scratch(size_t bytes);
void lorikeet_shared_release(void *memory);

// lorikeet_halves tells whether both factors are bfloat16, or are rounded to it.
static inline int lorikeet_halves(const lorikeet_product *p) { return p->a_type != LORIKEET_F32 && p->b_type == LORIKEET_BF16; }

// lorikeet_vector computes p by the vectors of a level.
int lorikeet_vector(const lorikeet_product *p, int level, lorikeet_pool *pool);

// lorikeet_tiles computes p by AMX, with float32 factors taken apart into two bfloat16 parts:
// each product is within 2^-16 of itself.
int lorikeet_tiles(const lorikeet_product *p, lorikeet_pool *pool);

#endif
