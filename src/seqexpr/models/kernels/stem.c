/* The query tower's first stage, from letters to pooled features, a block of positions at a time:

       x = stem convolution of the letters             a sum of table rows, one for each few letters
       y = x + W gelu(scale x + shift) + bias          BatchNorm is scale and shift
       pooled = sum over a pool of softmax(V y) y      channel by channel

   Nothing of a letter's (channels) leaves the first-level cache; the backward pass computes it again. */

#include <stdlib.h>

#include "kernels.h"
#include "vectors.h"

#define MOST_ROWS 54  /* positions of a block, rounded up to whole tiles */
#define USUAL_ROWS 30
#define MOST_GROUPS 64 /* more than the letters of the widest kernel */
#define MOST_WORDS 128 /* rows of a table */

typedef struct {
    size_t letters; /* looked up at once */
    size_t words, groups;
    float *tables; /* (groups, words, channels) */
} lookup;

static void plan_lookup(lookup *l, const stem_shape *s) {
    l->letters = 1;
    l->words = s->vocabulary;
    while (l->words * s->vocabulary <= MOST_WORDS && l->letters < s->kernel) l->letters++, l->words *= s->vocabulary;
    l->groups = (s->kernel + l->letters - 1) / l->letters;
}

/* The letter at a place of a word; the first letter weighs most. */
static size_t letter_of(const lookup *l, const stem_shape *s, size_t word, size_t place) {
    for (size_t i = place + 1; i < l->letters; i++) word /= s->vocabulary;
    return word % s->vocabulary;
}

static void fill_tables(lookup *l, const stem_shape *s, const float *weight) {
    memset(l->tables, 0, sizeof(float) * l->groups * l->words * s->channels);
    for (size_t group = 0; group < l->groups; group++)
        for (size_t word = 0; word < l->words; word++)
            for (size_t place = 0; place < l->letters && group * l->letters + place < s->kernel; place++) {
                const float *row = weight + ((group * l->letters + place) * s->vocabulary + letter_of(l, s, word, place)) * s->channels;
                float *to = l->tables + (group * l->words + word) * s->channels;
                for (size_t c = 0; c < s->channels; c++) to[c] += row[c];
            }
}

/* Sums by word become sums by letter: what fill_tables spreads is collected. */
static void collect(float *by_letter, const float *by_word, const lookup *l, const stem_shape *s, size_t channels) {
    memset(by_letter, 0, sizeof(float) * s->kernel * s->vocabulary * channels);
    for (size_t group = 0; group < l->groups; group++)
        for (size_t word = 0; word < l->words; word++)
            for (size_t place = 0; place < l->letters && group * l->letters + place < s->kernel; place++) {
                float *to = by_letter + ((group * l->letters + place) * s->vocabulary + letter_of(l, s, word, place)) * channels;
                const float *row = by_word + (group * l->words + word) * channels;
                for (size_t c = 0; c < channels; c++) to[c] += row[c];
            }
}

/* For each of the block's positions and each group its word, (rows, groups). */
static void read_words(uint16_t *word, const lookup *l, const stem_shape *s, const uint8_t *tokens, size_t start, size_t rows) {
    uint16_t at[MOST_ROWS + MOST_GROUPS];
    const size_t margin = s->kernel / 2, reach = (l->groups - 1) * l->letters;
    for (size_t i = 0; i < rows + reach; i++) {
        size_t code = 0;
        for (size_t place = 0; place < l->letters; place++) {
            size_t from = start + i + place; /* the letter's place, plus the margin */
            code = code * s->vocabulary + (from >= margin && from - margin < s->letters ? tokens[from - margin] : 0);
        }
        at[i] = (uint16_t)code;
    }
    for (size_t row = 0; row < rows; row++)
        for (size_t group = 0; group < l->groups; group++) word[row * l->groups + group] = at[row + group * l->letters];
}

INLINE void look_up(float *x, const uint16_t *word, const lookup *l, const stem_shape *s, const float *bias, size_t rows) {
    for (size_t row = 0; row < rows; row++)
        for (size_t c = 0; c < s->channels; c += PANEL) {
            floats sum[PANEL_VECTORS];
            UNROLL for (int v = 0; v < PANEL_VECTORS; v++) sum[v] = load(bias + c + v * LANES);
            for (size_t group = 0; group < l->groups; group++) {
                const float *from = l->tables + (group * l->words + word[row * l->groups + group]) * s->channels + c;
                UNROLL for (int v = 0; v < PANEL_VECTORS; v++) sum[v] += load(from + v * LANES);
            }
            UNROLL for (int v = 0; v < PANEL_VECTORS; v++) store(x + row * s->channels + c + v * LANES, sum[v]);
        }
}

/* x Phi(x), and its slope: max(x, 0) - |x| Q(|x|). The logarithm of the normal distribution's tail Q is smooth: a polynomial
   fitted to it from 0 to 6 gives x Phi(x) within 1e-7. */
INLINE floats gelu(floats x, floats *slope) {
    floats size = -larger(all(-6.0f), -larger(-x, x));
    floats p = size * 5.01209842695971e-06f + -2.053478419838939e-05f;
    p = p * size + -0.0005444131675176322f;
    p = p * size + 0.007609180640429258f;
    p = p * size + -0.05288846790790558f;
    p = p * size + -0.45906978845596313f;
    p = p * size + -1.151124358177185f;
    p = p * size + -0.9999995231628418f;
    floats tail = power_of_two(p), positive = larger(all(0), x);
    if (slope) {
        floats above = (floats)((ints)(1.0f - tail - tail) & (x > all(0))) + tail; /* Phi(x) */
        *slope = above + x * 0.39894228f * power_of_two(x * x * -0.72134752f);
    }
    return positive - size * tail;
}

INLINE void matrices(float *out, int accumulate, const float *a, const float *b, size_t rows, size_t channels) {
    for (size_t c = 0; c < channels; c += PANEL)
        product(out + c, channels, accumulate, a, channels, 1, b + c, channels, rows, channels);
}

/* out (channels of a, channels of b) += sum over rows. */
INLINE void outer(float *out, const float *a, const float *b, size_t rows, size_t channels) {
    for (size_t c = 0; c < channels; c += PANEL)
        product(out + c, channels, 1, a, 1, channels, b + c, channels, channels, rows);
}

static size_t block_rows(const stem_shape *s) {
    return s->pool * (USUAL_ROWS / s->pool > 1 ? USUAL_ROWS / s->pool : 1);
}

static size_t whole_tiles(size_t rows) { return (rows + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS; }

int NAMED(stem_statistics)(const stem_shape *s, const uint8_t *tokens, const stem_weights *w, double *sums, double *squares) {
    lookup l;
    plan_lookup(&l, s);
    const size_t rows = block_rows(s);
    l.tables = aligned_alloc(64, sizeof(float) * (l.groups * l.words + rows) * s->channels);
    if (!l.tables) return 1;
    float *x = l.tables + l.groups * l.words * s->channels;
    uint16_t word[MOST_ROWS * MOST_GROUPS];
    fill_tables(&l, s, w->stem);
    for (size_t c = 0; c < s->channels; c++) sums[c] = squares[c] = 0;
    for (size_t window = 0; window < s->windows; window++)
        for (size_t start = 0; start < s->letters; start += rows) {
            size_t count = start + rows < s->letters ? rows : s->letters - start;
            read_words(word, &l, s, tokens + window * s->letters, start, count);
            look_up(x, word, &l, s, w->stem_bias, count);
            for (size_t c = 0; c < s->channels; c += LANES) {
                /* About the block's first value, else squares would round away what a large mean leaves of the variance. */
                floats first = load(x + c), sum = all(0), square = all(0);
                for (size_t row = 0; row < count; row++) {
                    floats value = load(x + row * s->channels + c) - first;
                    sum += value;
                    square += value * value;
                }
                for (int i = 0; i < LANES; i++) {
                    double from = first[i], moved = sum[i];
                    sums[c + i] += (double)count * from + moved;
                    squares[c + i] += square[i] + from * (2 * moved + (double)count * from);
                }
            }
        }
    free(l.tables);
    return 0;
}

/* x -> y, V y of a block; g and its slope on the way. */
INLINE void features(const stem_shape *s, const stem_weights *w, const float *x, float *g, float *slopes, float *y, float *logits,
                     size_t rows) {
    const size_t tiles = whole_tiles(rows), channels = s->channels;
    for (size_t row = 0; row < rows; row++)
        for (size_t c = 0; c < channels; c += LANES) {
            floats slope, z = load(x + row * channels + c) * load(w->scale + c) + load(w->shift + c);
            store(g + row * channels + c, gelu(z, &slope));
            if (slopes) store(slopes + row * channels + c, slope);
        }
    matrices(y, 0, g, w->residual_transposed, tiles, channels);
    for (size_t row = 0; row < rows; row++)
        for (size_t c = 0; c < channels; c += LANES) {
            float *to = y + row * channels + c;
            store(to, load(to) + load(x + row * channels + c) + load(w->residual_bias + c));
        }
    matrices(logits, 0, y, w->logits_transposed, tiles, channels);
}

/* Logits of one pool become weights, channel by channel; returns the weighted mean of y. */
INLINE floats pool_weights(float *logits, const float *y, size_t pool, size_t channels) {
    floats top = load(logits), sum = all(0), mean = all(0);
    for (size_t i = 1; i < pool; i++) top = larger(top, load(logits + i * channels));
    for (size_t i = 0; i < pool; i++) {
        floats weight = power_of_two((load(logits + i * channels) - top) * 1.44269504f);
        sum += weight;
        mean += weight * load(y + i * channels);
        store(logits + i * channels, weight);
    }
    floats inverse = 1.0f / sum;
    for (size_t i = 0; i < pool; i++) store(logits + i * channels, load(logits + i * channels) * inverse);
    return mean * inverse;
}

int NAMED(stem_forward)(const stem_shape *s, const uint8_t *tokens, const stem_weights *w, float *pooled) {
    lookup l;
    plan_lookup(&l, s);
    const size_t channels = s->channels, rows = block_rows(s), block = whole_tiles(rows) * channels, pools = s->letters / s->pool;
    float *memory = aligned_alloc(64, sizeof(float) * (l.groups * l.words * channels + 3 * block));
    if (!memory) return 1;
    float *x = memory, *g = x + block, *y = g + block, *logits = g; /* g is read before the logits are written */
    logits = x;                                                      /* as is x */
    uint16_t word[MOST_ROWS * MOST_GROUPS];
    l.tables = y + block;
    fill_tables(&l, s, w->stem);
    memset(memory, 0, sizeof(float) * 3 * block);
    for (size_t window = 0; window < s->windows; window++)
        for (size_t start = 0; start < pools * s->pool; start += rows) {
            size_t count = start + rows < pools * s->pool ? rows : pools * s->pool - start;
            read_words(word, &l, s, tokens + window * s->letters, start, count);
            look_up(x, word, &l, s, w->stem_bias, count);
            features(s, w, x, g, NULL, y, logits, count);
            for (size_t first = 0; first < count; first += s->pool)
                for (size_t c = 0; c < channels; c += LANES)
                    store(pooled + (window * pools + (start + first) / s->pool) * channels + c,
                          pool_weights(logits + first * channels + c, y + first * channels + c, s->pool, channels));
        }
    free(memory);
    return 0;
}

int NAMED(stem_backward)(const stem_shape *s, const uint8_t *tokens, const stem_weights *w, const float *pooled_gradient,
                         const stem_gradients *d) {
    lookup l;
    plan_lookup(&l, s);
    const size_t channels = s->channels, rows = block_rows(s), block = whole_tiles(rows) * channels, pools = s->letters / s->pool;
    const size_t table = l.groups * l.words;
    float *memory = aligned_alloc(64, sizeof(float) * (3 * table * channels + (table + 15) / 16 * 16 + 7 * block));
    if (!memory) return 1;
    float *x = memory, *g = x + block, *slopes = g + block, *y = slopes + block, *weights = y + block, *dy = weights + block;
    float *dg = dy + block, *by_word = dg + block, *x_by_word = by_word + table * channels;
    float *counts = x_by_word + (table)*channels;
    uint16_t word[MOST_ROWS * MOST_GROUPS];
    l.tables = counts + (table + 15) / 16 * 16;
    fill_tables(&l, s, w->stem);
    memset(memory, 0, sizeof(float) * (2 * table * channels + (table + 15) / 16 * 16 + 7 * block));
    memset(d->residual_transposed, 0, sizeof(float) * channels * channels);
    memset(d->logits_transposed, 0, sizeof(float) * channels * channels);
    memset(d->residual_bias, 0, sizeof(float) * channels);
    memset(d->norm_sums, 0, sizeof(float) * channels);
    memset(d->norm_products, 0, sizeof(float) * channels);
    for (size_t window = 0; window < s->windows; window++)
        for (size_t start = 0; start < s->letters; start += rows) {
            size_t count = start + rows < s->letters ? rows : s->letters - start;
            size_t used = start + count <= pools * s->pool ? count : pools * s->pool > start ? pools * s->pool - start : 0;
            size_t tiles = whole_tiles(used);
            read_words(word, &l, s, tokens + window * s->letters, start, count);
            look_up(x, word, &l, s, w->stem_bias, count);
            features(s, w, x, g, slopes, y, weights, used);
            memset(dy + used * channels, 0, sizeof(float) * (block - used * channels));
            for (size_t first = 0; first < used; first += s->pool)
                for (size_t c = 0; c < channels; c += LANES) {
                    size_t at = first * channels + c;
                    floats gradient = load(pooled_gradient + (window * pools + (start + first) / s->pool) * channels + c);
                    floats mean = pool_weights(weights + at, y + at, s->pool, channels);
                    for (size_t i = 0; i < s->pool; i++) {
                        floats share = load(weights + at + i * channels) * gradient;
                        store(dy + at + i * channels, share);
                        store(weights + at + i * channels, share * (load(y + at + i * channels) - mean)); /* d logits */
                    }
                }
            outer(d->logits_transposed, y, weights, used, channels);
            matrices(dy, 1, weights, w->logits, tiles, channels);
            outer(d->residual_transposed, g, dy, used, channels);
            matrices(dg, 0, dy, w->residual, tiles, channels);
            for (size_t c = 0; c < channels; c += LANES) {
                floats bias = all(0), sum = all(0), products = all(0);
                floats scale = load(w->scale + c), unit = load(w->unit_scale + c), centre = load(w->unit_shift + c);
                for (size_t row = 0; row < count; row++) {
                    size_t at = row * channels + c;
                    floats standard = load(x + at) * unit + centre;
                    store(x + at, standard);
                    if (row >= used) {
                        store(dy + at, all(0));
                        continue;
                    }
                    floats dz = load(dg + at) * load(slopes + at);
                    bias += load(dy + at);
                    sum += dz;
                    products += dz * standard;
                    store(dy + at, load(dy + at) + dz * scale);
                }
                store(d->residual_bias + c, load(d->residual_bias + c) + bias);
                store(d->norm_sums + c, load(d->norm_sums + c) + sum);
                store(d->norm_products + c, load(d->norm_products + c) + products);
            }
            for (size_t row = 0; row < count; row++)
                for (size_t group = 0; group < l.groups; group++) {
                    size_t at = group * l.words + word[row * l.groups + group];
                    counts[at] += 1;
                    for (size_t c = 0; c < channels; c += LANES) {
                        float *to = by_word + at * channels + c, *x_to = x_by_word + at * channels + c;
                        store(to, load(to) + load(dy + row * channels + c));
                        store(x_to, load(x_to) + load(x + row * channels + c));
                    }
                }
        }
    collect(d->stem, by_word, &l, s, channels);
    collect(d->stem_standard, x_by_word, &l, s, channels);
    collect(d->stem_counts, counts, &l, s, 1);
    free(memory);
    return 0;
}
