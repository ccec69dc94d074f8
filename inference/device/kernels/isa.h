// A template: what those of micro.h and lanes.h begin with, for ISA, TARGET and LANES.

#ifndef JOIN
#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#endif
#define NAME(x) JOIN(ISA, x)
#define INLINE __attribute__((target(TARGET), always_inline)) static inline

typedef float NAME(v) __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint32_t NAME(u) __attribute__((vector_size(4 * LANES)));
typedef uint16_t NAME(h) __attribute__((vector_size(2 * LANES), aligned(2)));
