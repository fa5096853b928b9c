/* Attention of one head over a long context that is key and value at once: no logits in memory, forward or backward.

   Positions pass in blocks. A block's logits, (positions, PANEL latents), stay in the first-level cache; the softmax's sum and
   the attended context grow with every block and are scaled anew when a larger logit comes (the "online" softmax of Milakov and
   Gimelshein 2018). Positions that are masked are not even read. The backward pass computes the weights again. */

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "kernels.h"
#include "vectors.h"

#define BLOCK 48        /* positions; a multiple of TILE_ROWS and WIDE_ROWS */
#define WIDTH_STEP 32   /* the context's width is a multiple of it */
#define RISE 12.0f      /* a maximum may be exceeded by this before sums are scaled anew: 2^12 is no danger to them */
#define LOG2_E 1.44269504f /* logits are computed times this, for weights to be powers of two */
#define SIDE_BY_SIDE 16 /* windows that pass a position together: its logits then come from a near cache */
#define MASK_GROUP 64   /* latents that share 16 random words, a byte each: the same for every instruction set */

typedef struct {
    size_t count;
    int32_t position[BLOCK];
    float *rows; /* (BLOCK, width); beyond count: zeros */
} block;

/* The next positions that are attended to; returns where to go on. */
static size_t gather(block *b, size_t next, const attention_context *context, size_t window) {
    const size_t width = context->width;
    const uint8_t *mask = context->mask ? context->mask + window * context->letters : NULL;
    const uint8_t *letter = context->tokens ? context->tokens + window * context->letters : NULL;
    const float *rows = context->rows + window * context->window_stride;
    b->count = 0;
    for (; next < context->letters && b->count < BLOCK; next++) {
        if (mask && !mask[next]) continue;
        const float *row = rows + next * context->row_stride + (letter ? letter[next] * width : 0);
        memcpy(b->rows + b->count * width, row, width * sizeof(float));
        b->position[b->count++] = (int32_t)next;
    }
    if (b->count < BLOCK) memset(b->rows + b->count * width, 0, (BLOCK - b->count) * width * sizeof(float));
    return next;
}

/* (latents, width) -> (latents / PANEL, width, PANEL). */
static void to_panels(float *panels, const float *rows, size_t latents, size_t width, float scale) {
    for (size_t l = 0; l < latents; l++)
        for (size_t d = 0; d < width; d++) panels[(l / PANEL * width + d) * PANEL + l % PANEL] = rows[l * width + d] * scale;
}

/* 16 random words for the latents of a group: murmur3's finaliser over a counter, keyed twice. */
INLINE words random_words(const attention_dropout *dropout, size_t counter) {
    words x;
    UNROLL for (int i = 0; i < LANES; i++) x[i] = (uint32_t)i;
    x = (x + (uint32_t)counter) ^ dropout->key[0];
    x = (x ^ (x >> 16)) * 0x85ebca6bu;
    x = ((x ^ (x >> 13)) + dropout->key[1]) * 0xc2b2ae35u;
    return x ^ (x >> 16);
}

/* For a position and the latents from `latent` on: all bits where the weight is kept, none where it is dropped. */
INLINE ints kept(const attention_dropout *dropout, size_t row, size_t latents, size_t latent) {
    size_t groups = (latents + MASK_GROUP - 1) / MASK_GROUP;
    size_t counter = (row * groups + latent / MASK_GROUP) * 16 + latent % 16;
    words word = random_words(dropout, counter);
    int byte = (int)(latent % MASK_GROUP / 16);
    ints value = (ints)((word >> (8 * byte)) & 255u);
    return value >= (ints)((words){0} + dropout->threshold);
}

/* A block's logits for PANEL latents, (BLOCK, PANEL), become weights: the softmax's sums and the attended context grow. */
INLINE void add_block(float *logits, const block *b, size_t width, float *attended, float *largest, float *weight_sums,
                      const attention_dropout *dropout, size_t first_row, size_t latents, size_t latent) {
    int rises = 0;
    floats top[PANEL_VECTORS], total[PANEL_VECTORS];
    UNROLL for (int v = 0; v < PANEL_VECTORS; v++) {
        top[v] = load(logits + v * LANES);
        for (size_t j = 1; j < b->count; j++) top[v] = larger(top[v], load(logits + j * PANEL + v * LANES));
        ints higher = top[v] > load(largest + v * LANES) + RISE;
        for (int i = 0; i < LANES; i++) rises |= higher[i];
    }
    if (rises) {
        UNROLL for (int v = 0; v < PANEL_VECTORS; v++) {
            size_t at = v * LANES;
            floats old = load(largest + at), now = larger(old, top[v]);
            floats factor = power_of_two(old - now);
            store(largest + at, now);
            store(weight_sums + at, load(weight_sums + at) * factor);
            for (size_t d = 0; d < width; d++)
                store(attended + d * PANEL + v * LANES, load(attended + d * PANEL + v * LANES) * factor);
        }
    }
    UNROLL for (int v = 0; v < PANEL_VECTORS; v++) {
        top[v] = load(largest + v * LANES);
        total[v] = all(0);
    }
    for (size_t j = 0; j < b->count; j++) {
        size_t row = first_row + (size_t)b->position[j];
        UNROLL for (int v = 0; v < PANEL_VECTORS; v++) {
            floats weight = power_of_two(load(logits + j * PANEL + v * LANES) - top[v]);
            total[v] += weight;
            if (dropout->threshold)
                weight = (floats)((ints)weight & kept(dropout, row, latents, latent + v * LANES));
            store(logits + j * PANEL + v * LANES, weight);
        }
    }
    UNROLL for (int v = 0; v < PANEL_VECTORS; v++) {
        float *sum = weight_sums + v * LANES;
        store(sum, load(sum) + total[v]);
    }
    /* Rows beyond count hold no weight: their logits meet rows of zeros. */
    product(attended, PANEL, 1, b->rows, 1, width, logits, PANEL, width, b->count);
}

int NAMED(attend_forward)(const float *query, const attention_context *context, const attention_dropout *dropout, size_t windows,
                          size_t latents, float *output, float *log_sums) {
    const size_t width = context->width, panels = latents / PANEL;
    if (!windows || !latents || !width) return 0; /* empty arrays have no address, which memcpy must not be given */
    float *memory = aligned_alloc(64, sizeof(float) * (BLOCK * width + 2 * latents * width + 2 * latents));
    if (!memory) return 1;
    block b = {.rows = memory};
    float *query_panels = memory + BLOCK * width, *sums = query_panels + latents * width;
    float *largest = sums + latents * width, *weight_sums = largest + latents;
    float logits[BLOCK * PANEL] __attribute__((aligned(64)));

    for (size_t window = 0; window < windows; window++) {
        to_panels(query_panels, query + window * latents * width, latents, width, LOG2_E);
        memset(sums, 0, sizeof(float) * latents * width);
        for (size_t l = 0; l < latents; l++) largest[l] = -FLT_MAX, weight_sums[l] = 0;
        for (size_t next = 0; next < context->letters;) {
            next = gather(&b, next, context, window);
            if (!b.count) break;
            for (size_t panel = 0; panel < panels; panel++) {
                float *attended = sums + panel * width * PANEL;
                product(logits, PANEL, 0, b.rows, width, 1, query_panels + panel * width * PANEL, PANEL, BLOCK, width);
                add_block(logits, &b, width, attended, largest + panel * PANEL, weight_sums + panel * PANEL, dropout,
                          (dropout->first_window + window) * context->letters, latents, panel * PANEL);
            }
        }
        const float scale = 256.0f / (256 - dropout->threshold);
        for (size_t l = 0; l < latents; l++) {
            for (size_t d = 0; d < width; d++)
                output[(window * latents + l) * width + d] =
                    sums[(l / PANEL * width + d) * PANEL + l % PANEL] * scale / weight_sums[l];
            log_sums[window * latents + l] = largest[l] + log2f(weight_sums[l]);
        }
    }
    free(memory);
    return 0;
}

/* out (BLOCK, width) += weights (BLOCK, PANEL latents) rows (PANEL latents, width). */
INLINE void onto_positions(float *out, const float *weights, const float *rows, size_t width) {
    for (size_t d = 0; d < width; d += WIDTH_STEP)
        for (size_t j = 0; j < BLOCK; j += WIDE_ROWS)
            tile(out + j * width + d, width, 1, weights + j * PANEL, PANEL, 1, rows + d, width, PANEL, WIDE_ROWS,
                 WIDTH_STEP / LANES);
}

/* Logits of every letter at every position, for queries that all windows share. */
int NAMED(attend_logits)(const float *query, const float *rows, size_t count, size_t width, size_t latents, float *logits) {
    float *query_panels = aligned_alloc(64, sizeof(float) * latents * width);
    if (!query_panels) return 1;
    to_panels(query_panels, query, latents, width, LOG2_E);
    for (size_t panel = 0; panel < latents / PANEL; panel++)
        product(logits + panel * PANEL, latents, 0, rows, width, 1, query_panels + panel * width * PANEL, PANEL, count, width);
    free(query_panels);
    return 0;
}

int NAMED(attend_shared)(const float *logits, const attention_context *context, size_t windows, size_t latents, float *output,
                         float *log_sums) {
    const size_t width = context->width, panels = latents / PANEL, vocabulary = context->row_stride / width;
    const size_t state = latents * (width + 2);
    const attention_dropout none = {{0, 0}, 0, 0};
    float *memory = aligned_alloc(64, sizeof(float) * (BLOCK * width + SIDE_BY_SIDE * state));
    if (!memory) return 1;
    block b = {.rows = memory};
    float chosen[BLOCK * PANEL] __attribute__((aligned(64)));

    for (size_t first = 0; first < windows; first += SIDE_BY_SIDE) {
        size_t count = first + SIDE_BY_SIDE < windows ? SIDE_BY_SIDE : windows - first, next[SIDE_BY_SIDE] = {0};
        memset(memory + BLOCK * width, 0, sizeof(float) * count * state);
        for (size_t w = 0; w < count; w++)
            for (size_t l = 0; l < latents; l++) memory[BLOCK * width + w * state + latents * width + l] = -FLT_MAX;
        for (int any = 1; any;) {
            any = 0;
            for (size_t w = 0; w < count; w++) {
                float *sums = memory + BLOCK * width + w * state, *largest = sums + latents * width;
                next[w] = gather(&b, next[w], context, first + w);
                if (!b.count) continue;
                any = 1;
                for (size_t panel = 0; panel < panels; panel++) {
                    for (size_t j = 0; j < b.count; j++) {
                        size_t row = (size_t)b.position[j];
                        size_t letter = context->tokens[(first + w) * context->letters + row];
                        const float *from = logits + (row * vocabulary + letter) * latents + panel * PANEL;
                        UNROLL for (int v = 0; v < PANEL_VECTORS; v++) store(chosen + j * PANEL + v * LANES, load(from + v * LANES));
                    }
                    add_block(chosen, &b, width, sums + panel * width * PANEL, largest + panel * PANEL,
                              largest + latents + panel * PANEL, &none, 0, latents, panel * PANEL);
                }
            }
        }
        for (size_t w = 0; w < count; w++) {
            const float *sums = memory + BLOCK * width + w * state, *largest = sums + latents * width;
            const float *weight_sums = largest + latents;
            for (size_t l = 0; l < latents; l++) {
                log_sums[(first + w) * latents + l] = largest[l] + log2f(weight_sums[l]);
                for (size_t d = 0; d < width; d++)
                    output[((first + w) * latents + l) * width + d] =
                        sums[(l / PANEL * width + d) * PANEL + l % PANEL] / weight_sums[l];
            }
        }
    }
    free(memory);
    return 0;
}

int NAMED(attend_backward)(const float *query, const attention_context *context, const attention_dropout *dropout,
                           size_t windows, size_t latents, const float *output, const float *log_sums,
                           const float *output_gradient, float *query_gradient, float *context_gradient) {
    const size_t width = context->width, panels = latents / PANEL;
    if (!windows || !latents || !width) return 0;
    float *memory = aligned_alloc(64, sizeof(float) * (2 * BLOCK * width + 3 * latents * width + latents));
    if (!memory) return 1;
    block b = {.rows = memory};
    float *rows_gradient = memory + BLOCK * width, *query_panels = rows_gradient + BLOCK * width;
    float *output_panels = query_panels + latents * width, *sums = output_panels + latents * width;
    float *means = sums + latents * width;
    float weights[BLOCK * PANEL] __attribute__((aligned(64))), slopes[BLOCK * PANEL] __attribute__((aligned(64)));
    const float scale = 256.0f / (256 - dropout->threshold);

    for (size_t window = 0; window < windows; window++) {
        const float *window_query = query + window * latents * width, *gradient = output_gradient + window * latents * width;
        const float *log_sum = log_sums + window * latents, *result = output + window * latents * width;
        to_panels(query_panels, window_query, latents, width, LOG2_E);
        to_panels(output_panels, gradient, latents, width, 1);
        memset(sums, 0, sizeof(float) * latents * width);
        for (size_t l = 0; l < latents; l++) {
            means[l] = 0;
            for (size_t d = 0; d < width; d++) means[l] += gradient[l * width + d] * result[l * width + d];
        }
        for (size_t next = 0; next < context->letters;) {
            next = gather(&b, next, context, window);
            if (!b.count) break;
            memset(rows_gradient, 0, sizeof(float) * BLOCK * width);
            for (size_t panel = 0; panel < panels; panel++) {
                size_t first = panel * PANEL;
                product(weights, PANEL, 0, b.rows, width, 1, query_panels + first * width, PANEL, BLOCK, width);
                product(slopes, PANEL, 0, b.rows, width, 1, output_panels + first * width, PANEL, BLOCK, width);
                memset(weights + b.count * PANEL, 0, sizeof(float) * (BLOCK - b.count) * PANEL);
                memset(slopes + b.count * PANEL, 0, sizeof(float) * (BLOCK - b.count) * PANEL);
                for (size_t j = 0; j < b.count; j++) {
                    size_t row = (dropout->first_window + window) * context->letters + (size_t)b.position[j];
                    UNROLL for (int v = 0; v < PANEL_VECTORS; v++) {
                        size_t at = j * PANEL + v * LANES, latent = first + v * LANES;
                        floats weight = power_of_two(load(weights + at) - load(log_sum + latent));
                        floats slope = load(slopes + at) * scale, used = weight * scale;
                        if (dropout->threshold) {
                            ints keep = kept(dropout, row, latents, latent);
                            slope = (floats)((ints)slope & keep);
                            used = (floats)((ints)used & keep);
                        }
                        store(weights + at, used);
                        store(slopes + at, weight * (slope - load(means + latent)));
                    }
                }
                product(sums + first * width, PANEL, 1, b.rows, 1, width, slopes, PANEL, width, b.count);
                onto_positions(rows_gradient, weights, gradient + first * width, width);
                onto_positions(rows_gradient, slopes, window_query + first * width, width);
            }
            for (size_t j = 0; j < b.count; j++)
                memcpy(context_gradient + (window * context->letters + (size_t)b.position[j]) * width, rows_gradient + j * width,
                       width * sizeof(float));
        }
        for (size_t l = 0; l < latents; l++)
            for (size_t d = 0; d < width; d++)
                query_gradient[(window * latents + l) * width + d] = sums[(l / PANEL * width + d) * PANEL + l % PANEL];
    }
    free(memory);
    return 0;
}
