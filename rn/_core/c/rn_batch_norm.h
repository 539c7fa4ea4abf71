/* The kernels of batch normalisation, a part of rn.h. */
#ifndef RN_BATCH_NORM_H
#define RN_BATCH_NORM_H

#include <stddef.h>

#define RN_BATCH_NORM_KERNELS(X) \
    X(batch_norm) \
    X(batch_norm_gradient) \
    X(batch_norm_fold)

/* What the forward call leaves for the backward one, rows of c floats: the mean as a float; the rest that rounding took off it;
 * r = 1 / sqrt(variance + epsilon); weight r, which is what x - mean is multiplied by; and what is added then. */
enum { RN_SAVED_MEAN, RN_SAVED_REST, RN_SAVED_INVERSE, RN_SAVED_SCALE, RN_SAVED_SHIFT, RN_SAVED_ROWS };

/* batch_norm: y[i, k, p] = act((x[i, k, p] - m_k) r_k weight[k] + bias[k]), i < n, k < c, p < s; r_k = 1 / sqrt(v_k + epsilon).
 * Mean m and variance v are the channel's over all i and p where `by_batch`, else running_mean and running_var. Where momentum is
 * not 0 they also move the running ones: running = (1 - momentum) running + momentum (m, or v n s / (n s - 1): a single value has
 * no such variance, and running_var stays).
 * batch_norm_gradient, with g = dy act'(y), h = (x - m) r: dbias[k] = sum g; dweight[k] = sum g h; dx = weight r (g - (dbias + h
 * dweight) / (n s)) where by_batch, else weight r g.
 *
 * act is linear, relu or leaky_relu, its slope found again from x. weight and bias may be NULL (1 and 0), as may dweight, dbias
 * and dx (not wanted); y may be x, dx may be dy. Sums are float32 over pieces of RN_BATCH_NORM_PIECE values, or of
 * RN_BATCH_NORM_ROWS samples where s is 1, and float64 over the pieces in their order. Variances are counted from the mean of the
 * pieces before, so a mean far from 0 costs no digits. A tile is `group` channels: what the first pass over a channel has read is
 * still near when the second comes. 8 and 14 FLOPs, 8 and 12 bytes an element. */
enum { RN_BATCH_NORM_PIECE = 2048, RN_BATCH_NORM_ROWS = 64 };
typedef struct {
    const float *x, *weight, *bias;
    float *y, *running_mean, *running_var, *saved;
    ptrdiff_t n, c, s, group;
    double momentum, epsilon;
    float alpha;
    int activation, by_batch;
} rn_batch_norm_args;
typedef struct {
    const float *x, *dy, *saved;
    float *dx, *dweight, *dbias;
    ptrdiff_t n, c, s, group;
    float alpha;
    int activation, by_batch;
} rn_batch_norm_gradient_args;

/* batch_norm_fold: the weights of a linear map W x + b with the normalisation by the running statistics after it: with z_k =
 * weight[k] / sqrt(running_var[k] + epsilon), folded[k, j] = W[k, j] z_k and folded_bias[k] = (b[k] - running_mean[k]) z_k +
 * bias[k], k < c, j < columns; weight, b and bias may be NULL (1, 0, 0). A tile is `group` rows. 1 FLOP, 8 bytes an element. */
typedef struct {
    const float *map, *map_bias, *weight, *bias, *running_mean, *running_var;
    float *folded, *folded_bias;
    ptrdiff_t c, columns, group;
    double epsilon;
} rn_batch_norm_fold_args;

#endif
