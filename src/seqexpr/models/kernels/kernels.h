/* What the library offers. Every function exists once for each instruction set, its name ending in INSTRUCTION_SET.

   Arrays are float32, contiguous, the last dimension fastest. Functions return 0, or 1 when there is no memory. */

#ifndef SEQEXPR_KERNELS_H
#define SEQEXPR_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#define JOIN(name, suffix) name##_##suffix
#define JOINED(name, suffix) JOIN(name, suffix)
#define NAMED(name) JOINED(name, INSTRUCTION_SET)

/* Rows of `width` floats that queries attend to: row j of a window lies at window_stride and row_stride, and where
   there are tokens, the row of letter t lies t rows further. Positions whose mask is 0 are left out. */
typedef struct {
    const float *rows;
    const uint8_t *tokens; /* (windows, letters) or NULL */
    const uint8_t *mask;   /* (windows, letters) or NULL */
    size_t window_stride, row_stride, letters, width;
} attention_context;

/* Weights are dropped with a probability of threshold / 256; which ones follows from the key and the window's number. */
typedef struct {
    uint32_t key[2];
    uint32_t threshold;
    size_t first_window;
} attention_dropout;

/* query (windows, latents, width), scaled -> output (windows, latents, width); log_sums (windows, latents), the
   logarithms to base 2 of the softmax's sums. */
int NAMED(attend_forward)(const float *query, const attention_context *context, const attention_dropout *dropout, size_t windows,
                          size_t latents, float *output, float *log_sums);

/* query (latents, width), scaled, that all windows share, and rows (count, width) -> logits (count, latents) to base 2. */
int NAMED(attend_logits)(const float *query, const float *rows, size_t count, size_t width, size_t latents, float *logits);

/* attend_forward, without dropout, of such logits for the context's rows of all letters at all positions, (letters,
   vocabulary, latents); there must be tokens. The same bits. */
int NAMED(attend_shared)(const float *logits, const attention_context *context, size_t windows, size_t latents, float *output,
                         float *log_sums);

/* Gradients of attend_forward for query and for context rows (windows, letters, width); those of masked rows are not written. */
int NAMED(attend_backward)(const float *query, const attention_context *context, const attention_dropout *dropout,
                           size_t windows, size_t latents, const float *output, const float *log_sums,
                           const float *output_gradient, float *query_gradient, float *context_gradient);

typedef struct {
    size_t windows, letters;
    size_t vocabulary; /* with padding, which is letter 0 */
    size_t kernel, channels, pool;
} stem_shape;

/* Matrices are (channels, channels): as torch's Linear holds them, and transposed. */
typedef struct {
    const float *stem; /* (kernel, vocabulary, channels): what a letter at an offset adds */
    const float *stem_bias;
    const float *scale, *shift;           /* BatchNorm with its weights */
    const float *unit_scale, *unit_shift; /* BatchNorm without them */
    const float *residual, *residual_transposed, *residual_bias;
    const float *logits, *logits_transposed;
} stem_weights;

/* Sums over all positions, for Python to finish: BatchNorm's own statistics depend on all positions too. */
typedef struct {
    float *stem;          /* (kernel, vocabulary, channels): of gradients, the statistics taken as constant */
    float *stem_standard; /* (kernel, vocabulary, channels): of x standardised */
    float *stem_counts;   /* (kernel, vocabulary): letters at offsets */
    float *norm_sums, *norm_products; /* gradients behind BatchNorm; those times x standardised */
    float *residual_transposed, *residual_bias, *logits_transposed;
} stem_gradients;

/* Sums of x and of its squares over all positions, (channels) each. */
int NAMED(stem_statistics)(const stem_shape *s, const uint8_t *tokens, const stem_weights *w, double *sums, double *squares);

/* tokens (windows, letters) -> pooled (windows, letters / pool, channels). */
int NAMED(stem_forward)(const stem_shape *s, const uint8_t *tokens, const stem_weights *w, float *pooled);

int NAMED(stem_backward)(const stem_shape *s, const uint8_t *tokens, const stem_weights *w, const float *pooled_gradient,
                         const stem_gradients *d);

#endif
