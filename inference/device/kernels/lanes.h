// A template: what is done to rows by one set of instructions. It wants
//   ISA     the prefix of the names
//   TARGET  what the compiler may use
//   LANES   floats in a vector
// and undefines them.

#include "isa.h"

#define TARGETED __attribute__((target(TARGET))) static

typedef int32_t NAME(i) __attribute__((vector_size(4 * LANES), aligned(4)));

INLINE NAME(v) NAME(all)(float x) { return x - (NAME(v)){0}; }

// least and most are the limit or x, and x where that is no number.
#if LANES == 16
INLINE NAME(v) NAME(least)(NAME(v) limit, NAME(v) x) { return (NAME(v))_mm512_min_ps((__m512)limit, (__m512)x); }
INLINE NAME(v) NAME(most)(NAME(v) limit, NAME(v) x) { return (NAME(v))_mm512_max_ps((__m512)limit, (__m512)x); }
#else
INLINE NAME(v) NAME(least)(NAME(v) limit, NAME(v) x) { return (NAME(v))_mm256_min_ps((__m256)limit, (__m256)x); }
INLINE NAME(v) NAME(most)(NAME(v) limit, NAME(v) x) { return (NAME(v))_mm256_max_ps((__m256)limit, (__m256)x); }
#endif

// read and write are of a vector, or of the first n floats of one.
INLINE NAME(v) NAME(read)(const float *p, int64_t n) {
  if (n >= LANES) return *(const NAME(v) *)p;
  NAME(v) x = {0};
  memcpy(&x, p, (size_t)n * sizeof(float));
  return x;
}

INLINE void NAME(write)(float *p, NAME(v) x, int64_t n) {
  if (n >= LANES) {
    *(NAME(v) *)p = x;
  } else {
    memcpy(p, &x, (size_t)n * sizeof(float));
  }
}

// narrow writes bfloat16: the nearest, of two the even one; what is no number stays so.
INLINE void NAME(narrow)(uint16_t *p, NAME(v) x, int64_t n) {
  NAME(u) bits = (NAME(u))x, near = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, quiet = bits >> 16 | 0x40;
  NAME(u) nan = (NAME(u))(x != x);
  NAME(h) halves = __builtin_convertvector((nan & quiet) | (~nan & near), NAME(h));
  memcpy(p, &halves, (size_t)(n < LANES ? n : LANES) * sizeof *p);
}

INLINE float NAME(sum)(NAME(v) x) {
  float s = 0;
  for (int j = 0; j < LANES; j++) s += x[j];
  return s;
}

// exp is that of Cephes: within 2 units of the last place; 0 below -87.
INLINE NAME(v) NAME(exp)(NAME(v) x) {
  NAME(v) low = NAME(all)(-87.0f), high = NAME(all)(88.0f), rounder = NAME(all)(12582912.0f); // 1.5 * 2^23
  NAME(i) small = x < low;
  x = NAME(least)(high, NAME(most)(low, x));
  NAME(v) n = x * 1.44269504088896341f + rounder;
  NAME(i) power = ((NAME(i))n - (NAME(i))rounder + 127) << 23;
  n -= rounder;
  x = x - n * 0.693359375f + n * 2.12194440e-4f;
  NAME(v) y = x * 1.9875691500e-4f + 1.3981999507e-3f;
  y = y * x + 8.3334519073e-3f;
  y = y * x + 4.1665795894e-2f;
  y = y * x + 1.6666665459e-1f;
  y = y * x + 5.0000001201e-1f;
  y = y * x * x + x + 1.0f;
  return (NAME(v))((NAME(i))(y * (NAME(v))power) & ~small);
}

// erf is a quotient of polynomials in x², for |x| at most where it is 1.
INLINE NAME(v) NAME(erf)(NAME(v) x) {
  NAME(v) end = NAME(all)(3.7439211627767994f);
  x = NAME(least)(end, NAME(most)(-end, x));
  NAME(v) s = x * x;
  NAME(v) p = s * 0.00022905065861350646f + 0.0034082910107109506f;
  p = p * s + 0.050955695062380861f;
  p = p * s + 0.18520832239976145f;
  p = p * s + 1.128379143519084f;
  NAME(v) q = s * -1.1791602954361697e-7f + 0.000023547966471313185f;
  q = q * s + 0.0010179625278914885f;
  q = q * s + 0.014070470171167667f;
  q = q * s + 0.11098505178285362f;
  q = q * s + 0.49746925110067538f;
  q = q * s + 1.0f;
  return x * p / q;
}

INLINE NAME(v) NAME(activate)(NAME(v) x, const int activation) {
  switch (activation) {
  case LORIKEET_RELU: return NAME(most)(NAME(all)(0), x);
  case LORIKEET_GELU: return x * 0.5f * (NAME(erf)(x * 0.70710678118654752f) + 1.0f);
  case LORIKEET_SILU: return x / (NAME(exp)(-x) + 1.0f);
  default: return x;
  }
}

// lower adds low·up to x, the values of a column's vector in so many rows.
INLINE void NAME(lower)(const lorikeet_product *p, NAME(v) *x, int64_t row, int64_t n, int64_t rows, int64_t some) {
  for (int64_t r = 0, end; r < rows; r = end) {
    int64_t i = (row + r) / p->each;
    end = (i + 1) * p->each - row;
    if (end > rows) end = rows;
    for (int64_t q = 0; q < p->rank; q += 8) {
      NAME(v) up[8];
      for (int k = 0; k < 8; k++) up[k] = NAME(read)(p->up + (i * p->rank + q + k) * p->n + n, some);
      for (int64_t m = r; m < end; m++)
        for (int k = 0; k < 8; k++) x[m] += p->low[(row + m) * p->rank + q + k] * up[k];
    }
  }
}

INLINE void NAME(finished)(const lorikeet_product *p, const float *from, int64_t from_row, int64_t row, int64_t n, int64_t rows, int64_t cols, const int activation) {
  NAME(v) x[LORIKEET_TALLEST];
  for (int64_t j = 0; j < cols; j += LANES) {
    int64_t some = cols - j, at = row * p->n + n + j;
    NAME(v) scale = p->scale != NULL ? NAME(read)(p->scale + n + j, some) : NAME(all)(1);
    NAME(v) bias = p->bias != NULL ? NAME(read)(p->bias + n + j, some) : NAME(all)(0);
    for (int64_t r = 0; r < rows; r++) {
      x[r] = NAME(read)(from + r * from_row + j, some) * scale + bias;
      for (int i = 0; i < 2; i++)
        if (p->more[i] != NULL) x[r] += NAME(read)(p->more[i] + at + r * p->n, some);
    }
    if (p->low != NULL) NAME(lower)(p, x, row, n + j, rows, some);
    for (int64_t r = 0; r < rows; r++) {
      NAME(v) y = NAME(activate)(x[r], activation);
      if (p->c_type == LORIKEET_BF16) {
        NAME(narrow)((uint16_t *)p->c + at + r * p->n, y, some);
      } else {
        NAME(write)((float *)p->c + at + r * p->n, y, some);
      }
    }
  }
}

// finish is what follows a product, from at most LORIKEET_TALLEST rows of floats to those of c, of columns n and up.
TARGETED void NAME(finish)(const lorikeet_product *p, const float *from, int64_t from_row, int64_t row, int64_t n, int64_t rows, int64_t cols) {
  switch (p->activation) {
  case LORIKEET_RELU: NAME(finished)(p, from, from_row, row, n, rows, cols, LORIKEET_RELU); return;
  case LORIKEET_GELU: NAME(finished)(p, from, from_row, row, n, rows, cols, LORIKEET_GELU); return;
  case LORIKEET_SILU: NAME(finished)(p, from, from_row, row, n, rows, cols, LORIKEET_SILU); return;
  default: NAME(finished)(p, from, from_row, row, n, rows, cols, LORIKEET_IDENTITY);
  }
}

TARGETED float NAME(softmax)(float *row, const float *bias, float scale, int64_t n) {
  NAME(v) most = NAME(all)(-INFINITY), sum = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    NAME(v) x = *(NAME(v) *)(row + i) * scale + *(const NAME(v) *)(bias + i);
    *(NAME(v) *)(row + i) = x;
    most = NAME(most)(most, x);
  }
  float top = -INFINITY;
  for (; i < n; i++) {
    row[i] = row[i] * scale + bias[i];
    top = row[i] > top ? row[i] : top;
  }
  for (int j = 0; j < LANES; j++) top = most[j] > top ? most[j] : top;
  for (i = 0; i + LANES <= n; i += LANES) {
    NAME(v) x = NAME(exp)(*(NAME(v) *)(row + i) - top);
    *(NAME(v) *)(row + i) = x;
    sum += x;
  }
  if (i < n) {
    float rest[LANES], total = 0;
    for (int j = 0; j < LANES; j++) rest[j] = i + j < n ? row[i + j] - top : -INFINITY;
    NAME(v) x = NAME(exp)(*(NAME(v) *)rest);
    for (int j = 0; i + j < n; j++) row[i + j] = x[j], total += x[j];
    sum[0] += total;
  }
  return NAME(sum)(sum);
}

// norm goes over a row three times: it is in the first cache then.
TARGETED void NAME(norm)(const lorikeet_normalization *norm, int64_t row) {
  int64_t n = norm->dim;
  const float *from = norm->x + row * n;
  float *to = norm->y + row * n;
  float mean = 0;
  if (norm->centered) {
    NAME(v) sum = {0};
    for (int64_t j = 0; j < n; j += LANES) sum += NAME(read)(from + j, n - j);
    mean = NAME(sum)(sum) / (float)n;
  }
  NAME(v) squares = {0};
  for (int64_t j = 0; j < n; j += LANES) {
    NAME(v) x = NAME(read)(from + j, n - j) - mean;
    if (n - j < LANES)
      for (int64_t k = n - j; k < LANES; k++) x[k] = 0;
    squares += x * x;
  }
  float by = 1 / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(NAME(sum)(squares) / (float)n + norm->epsilon)));
  for (int64_t j = 0; j < n; j += LANES) {
    NAME(v) x = (NAME(read)(from + j, n - j) - mean) * by * NAME(read)(norm->weight + j, n - j);
    if (norm->bias != NULL) x += NAME(read)(norm->bias + j, n - j);
    NAME(write)(to + j, x, n - j);
  }
}

#undef ISA
#undef TARGET
#undef LANES
#undef NAME
#undef INLINE
#undef TARGETED
