/* The kernels that move, enlarge, drop and add up whole images or rows of features, a part of rn.h. */
#ifndef RN_IMAGE_H
#define RN_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#define RN_IMAGE_KERNELS(X) \
    X(shift_planes) \
    X(upsample) \
    X(upsample_gradient) \
    X(dropout_planes) \
    X(sum_planes) \
    X(add_pair) \
    X(layer_norm) \
    X(layer_norm_gradient) \
    X(layer_norm_weights)

/* shift_planes: y[p, i, j] = x[p, i - top, j - left] where that lies inside x's h x w, else 0; p < planes, i < oh, j < ow. top
 * and left at least 0 put zeros around an image; below 0 they cut its sides off, which is the gradient of the former. x and y do
 * not overlap. A tile is `group` planes. 0 FLOP, 4 bytes for each element of x and y. */
typedef struct {
    const float *x;
    float *y;
    ptrdiff_t planes, group, h, w, oh, ow, top, left;
} rn_shift_args;

/* upsample: large[p, i, j] = small[p, i / sh, j / sw], p < planes, i < h sh, j < w sw; small is read.
 * upsample_gradient: small[p, i, j] = sum of large[p, i sh + u, j sw + v] over u < sh, v < sw, rows first; large is read.
 * A tile is `group` planes. 0 FLOP and 1 FLOP an element of large; 4 bytes for each element of both. */
typedef struct {
    float *small, *large;
    ptrdiff_t planes, group, h, w, sh, sw;
} rn_upsample_args;

/* dropout_planes: y[p, i] = x[p, i] scale where word p of the generator is at least `threshold`, else 0; p < planes, i < size.
 * Words, scale and threshold are those of `dropout`; y may be x. The gradient is the same call. A tile is `group` planes. 1 FLOP,
 * 8 bytes an element. */
typedef struct {
    const float *x;
    float *y;
    const rn_step *step;
    ptrdiff_t planes, group, size;
    float scale;
    uint32_t threshold, purpose;
} rn_dropout_planes_args;

/* sum_planes: total[c] = sum of x[i, c, p] over i < n and p < size, planes one after the other, in float64 where they are long.
 * A tile is one c of `channels`. 1 FLOP, 4 bytes an element. */
typedef struct {
    const float *x;
    float *total;
    ptrdiff_t n, channels, size;
} rn_sum_planes_args;

/* add_pair: y[i] = a[i] + b[i], i < n; y may be a or b. A tile is RN_ELEMENT_TILE elements. 1 FLOP, 12 bytes an element. */
typedef struct {
    const float *a, *b;
    float *y;
    ptrdiff_t n;
} rn_add_pair_args;

/* Rows of c features, i < n, normalised each by itself; moments[i] = (m_i, the rest that m_i lost to rounding, r_i), m_i
 * the row's mean and r_i = 1 / sqrt(mean of (x - m_i)^2 + epsilon), in two passes (NULL where nobody wants them); weight and bias
 * [c], NULL for 1 and 0.
 * - layer_norm: y[i, j] = weight[j] h + bias[j] with h = (x[i, j] - m_i) r_i;
 * - layer_norm_gradient: dx[i, j] = r_i (g[i, j] - mean_j g - h mean_j (g h)) with g = weight dy; dx may be dy.
 * A tile is `rows` rows. 8 and 12 FLOP, 8 and 12 bytes an element. */
typedef struct {
    const float *x, *weight, *bias, *dy;
    float *y, *dx, *moments;
    ptrdiff_t n, c, rows;
    float epsilon;
} rn_layer_norm_args;

/* layer_norm_weights: dweight[j] = sum_i dy[i, j] h[i, j], dbias[j] = sum_i dy[i, j]; rows in blocks of RN_KC, each summed from
 * 0. A tile is RN_SUM_COLUMNS columns. 4 FLOP, 8 bytes an element. */
typedef struct {
    const float *x, *dy, *moments;
    float *dweight, *dbias;
    ptrdiff_t n, c;
} rn_layer_norm_weights_args;

#endif
