/* Vectors of floats by the compilers' own extension (GCC and Clang), the same source for every instruction set.

   PANEL neighbouring columns are PANEL_VECTORS vectors; a tile of TILE_ROWS rows and one panel fills the registers. */

#ifndef SEQEXPR_VECTORS_H
#define SEQEXPR_VECTORS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define LARGER(a, b) _mm512_max_ps((__m512)(a), (__m512)(b))
#define LANES 16
#define PANEL_VECTORS 4
#define TILE_ROWS 6
#define WIDE_ROWS 12
#elif defined(__AVX2__)
#include <immintrin.h>
#define LARGER(a, b) _mm256_max_ps((__m256)(a), (__m256)(b))
#define LANES 8
#define PANEL_VECTORS 2
#define TILE_ROWS 6
#define WIDE_ROWS 3
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#define LARGER(a, b) vmaxq_f32((float32x4_t)(a), (float32x4_t)(b))
#define LANES 4
#define PANEL_VECTORS 4
#define TILE_ROWS 6
#define WIDE_ROWS 3
#endif
#define PANEL (LANES * PANEL_VECTORS)

typedef float floats __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ints __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t words __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

INLINE floats load(const float *from) { return *(const floats *)from; }
INLINE void store(float *to, floats value) { *(floats *)to = value; }
INLINE floats all(float value) { return value - (floats){0}; }
/* The larger of two; b when either is not a number. */
INLINE floats larger(floats a, floats b) { return (floats)LARGER(a, b); }

/* 2^x within 2e-7 of itself, for x up to 127; what is below -126 counts as -126. NaN stays NaN. */
INLINE floats power_of_two(floats x) {
    const float magic = 12582912.0f + 127; /* 1.5 x 2^23: adding it rounds to an integer; 127 is the exponent's bias */
    x = larger(all(-126.0f), x);
    floats shifted = x + magic;
    floats f = x - (shifted - magic); /* from -1/2 to 1/2; the polynomial is a minimax fit there, within 8e-8 */
    floats p = f * 0.0013276466634124517f + 0.009675540961325169f;
    p = p * f + 0.05550713464617729f;
    p = p * f + 0.24022120237350464f;
    p = p * f + 0.6931469440460205f;
    p = p * f + 1.0000001192092896f;
    return p * (floats)((ints)shifted << 23); /* only the exponent's bits survive the shift */
}

/* A tile of a matrix product: out[r][0 .. vectors x LANES) (+)= sum over k of a[r, k] x b[k][...].

   What is there already is added last: a sum over blocks is then a sum of sums, which rounds far less than one long chain. */
INLINE void tile(float *out, size_t out_stride, int accumulate, const float *a, size_t row_stride, size_t depth_stride,
                 const float *b, size_t b_stride, size_t depth, const int rows, const int vectors) {
    floats sums[12][8];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++) sums[r][v] = all(0);
    for (size_t k = 0; k < depth; k++) {
        floats column[8];
        UNROLL for (int v = 0; v < vectors; v++) column[v] = load(b + k * b_stride + v * LANES);
        UNROLL for (int r = 0; r < rows; r++) {
            float factor = a[r * row_stride + k * depth_stride];
            UNROLL for (int v = 0; v < vectors; v++) sums[r][v] += column[v] * factor;
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++) {
            float *to = out + r * out_stride + v * LANES;
            store(to, sums[r][v] + (accumulate ? load(to) : all(0)));
        }
}

/* out (rows x PANEL) (+)= a (rows x depth) b (depth x PANEL). */
INLINE void product(float *out, size_t out_stride, int accumulate, const float *a, size_t row_stride, size_t depth_stride,
                    const float *b, size_t b_stride, size_t rows, size_t depth) {
    size_t r = 0;
    for (; r + TILE_ROWS <= rows; r += TILE_ROWS)
        tile(out + r * out_stride, out_stride, accumulate, a + r * row_stride, row_stride, depth_stride, b, b_stride, depth,
             TILE_ROWS, PANEL_VECTORS);
    for (; r + 2 <= rows; r += 2)
        tile(out + r * out_stride, out_stride, accumulate, a + r * row_stride, row_stride, depth_stride, b, b_stride, depth,
             2, PANEL_VECTORS);
    for (; r < rows; r++)
        tile(out + r * out_stride, out_stride, accumulate, a + r * row_stride, row_stride, depth_stride, b, b_stride, depth,
             1, PANEL_VECTORS);
}

#endif
