// AMX's instructions in C, as Intel's manual has them, so that what tiles.c does with them is tested
// on processors without: see emulated_cgo.go.
#ifndef LORIKEET_TILES_EMULATED_H
#define LORIKEET_TILES_EMULATED_H

#include <stdint.h>
#include <string.h>

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#define _tile_loadconfig(config) ((void)(config))
#define _tile_release() ((void)0)
#define _tile_zero(t) memset(emulated[t], 0, sizeof emulated[t])
#define _tile_loadd(t, from, next) emulated_load(t, from, next)
#define _tile_stored(t, to, next) emulated_store(t, to, next)
#define _tile_dpbf16ps(c, a, b) emulated_multiply(c, a, b)

// Tiles of 16 rows of 64 bytes.
static __thread char emulated[8][16][64] __attribute__((aligned(64)));

static void emulated_load(int t, const void *from, int64_t next) {
  for (int r = 0; r < 16; r++) memcpy(emulated[t][r], (const char *)from + r * next, 64);
}

static void emulated_store(int t, void *to, int64_t next) {
  for (int r = 0; r < 16; r++) memcpy((char *)to + r * next, emulated[t][r], 64);
}

static float emulated_value(uint16_t half) {
  uint32_t bits = (uint32_t)half << 16;
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

static void emulated_multiply(int c, int a, int b) {
  float(*sum)[16] = (float(*)[16])emulated[c];
  const uint16_t(*left)[32] = (const uint16_t(*)[32])emulated[a], (*right)[32] = (const uint16_t(*)[32])emulated[b];
  for (int m = 0; m < 16; m++)
    for (int k = 0; k < 16; k++)
      for (int n = 0; n < 16; n++)
        for (int i = 0; i < 2; i++) sum[m][n] += emulated_value(left[m][2 * k + i]) * emulated_value(right[k][2 * n + i]);
}

#endif
