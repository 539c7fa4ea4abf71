/* The kernels of rn: what they are called, what they are given, and the table that holds one set of them.
 *
 * A kernel works one tile of outputs that no other tile writes. How many tiles there are follows from the shapes alone, so the
 * bits of a result cannot depend on how many threads share the tiles. Kernels cannot fail and allocate nothing: sizes are
 * checked, and scratch (one piece a thread) is reserved, before anything starts. All pointers belong to the caller. */
#ifndef RN_H
#define RN_H

#include <stddef.h>
#include <stdint.h>

/* For functions whose constant arguments must fold: a loop for each activation, a block for each stride. */
#if defined(_MSC_VER) && !defined(__clang__)
#define RN_ALWAYS_INLINE __forceinline
#else
#define RN_ALWAYS_INLINE inline __attribute__((always_inline))
#endif

/* What changes from step to step: random numbers key on seed and step, the optimizer on update and learning_rate. */
typedef struct {
    uint64_t seed;
    uint64_t step;
    uint64_t update;
    double learning_rate;
} rn_step;

typedef void (*rn_kernel)(const void *args, ptrdiff_t tile, void *scratch);

#include "rn_augment.h"
#include "rn_batch_norm.h"
#include "rn_image.h"
#include "rn_optimizer.h"
#include "rn_tensor.h"

/* One line a kernel; rn_<name>_<isa> is its symbol in each instruction set. */
#define RN_KERNELS(X) \
    RN_TENSOR_KERNELS(X) \
    RN_IMAGE_KERNELS(X) \
    RN_OPTIMIZER_KERNELS(X) \
    RN_BATCH_NORM_KERNELS(X) \
    RN_AUGMENT_KERNELS(X) \
    X(fill) \
    X(copy_finite) \
    X(gather_rows) \
    X(activate) \
    X(activate_gradient) \
    X(dropout) \
    X(random_uniform) \
    X(random_normal) \
    X(shuffle) \
    X(softmax) \
    X(softmax_gradient) \
    X(sum_partials) \
    X(mse) \
    X(mae) \
    X(binary_cross_entropy) \
    X(sigmoid_binary_cross_entropy) \
    X(cross_entropy) \
    X(softmax_cross_entropy) \
    X(msle) \
    X(huber) \
    X(hinge) \
    X(rmse_gradient) \
    X(count_correct) \
    X(count_in_top) \
    X(count_classes) \
    X(count_confusion) \
    X(sum_deviations) \
    X(regularize) \
    X(one_hot_largest) \
    X(max_pool2d) \
    X(max_pool2d_gradient) \
    X(avg_pool2d) \
    X(avg_pool2d_gradient) \
    X(gemm) \
    X(pack_columns) \
    X(pack_rows) \
    X(gemm_packed) \
    X(gemm_blocks) \
    X(add_blocks) \
    X(sum_rows) \
    X(convolve) \
    X(convolve_pooled) \
    X(convolve_filters) \
    X(pack_filters) \
    X(depthwise) \
    X(depthwise_weights) \
    X(winograd_weights) \
    X(winograd_one_sided_weights) \
    X(winograd) \
    X(winograd_scattered) \
    X(winograd_gradient) \
    X(winograd_taps) \
    X(turn_weights) \
    X(weight_gradient) \
    X(weight_gradient_dots) \
    X(weight_gradient_windows) \
    X(sum_splits) \
    X(peak_arithmetic) \
    X(peak_reading)

/* fill: y[i] = value, i < n. One tile is RN_ELEMENT_TILE elements. 0 FLOP, 4 bytes an element. */
typedef struct {
    float *y;
    ptrdiff_t n;
    float value;
} rn_fill_args;

/* copy_finite: to[i] = from[i], i < n; *good: whether none is NaN or infinite. One tile. 0 FLOP, 8 bytes an element. */
typedef struct {
    const float *from;
    float *to;
    ptrdiff_t n;
    int *good;
} rn_copy_finite_args;

/* gather_rows: y[i, :] = source[order[i], :], i < rows, rows of row_size four-byte elements (floats or integers alike). One tile
 * is RN_GATHER_ROWS rows. order and source are the caller's, inside bounds. 0 FLOP, 8 bytes an element. */
enum { RN_GATHER_ROWS = 8 };
typedef struct {
    const float *source;
    const int64_t *order;
    float *y;
    ptrdiff_t rows, row_size;
} rn_gather_args;

/* Elements that one tile of an elementwise kernel works. */
enum { RN_ELEMENT_TILE = 16384 };

/* The functions of `activate` and of the last step of a matrix product or convolution; activation_math.h holds them. */
typedef enum {
    RN_LINEAR,
    RN_RELU,
    RN_LEAKY_RELU,
    RN_ELU,
    RN_SELU,
    RN_GELU,
    RN_SIGMOID,
    RN_HARD_SIGMOID,
    RN_TANH,
    RN_SOFTPLUS,
    RN_SOFTSIGN,
    RN_SWISH,
    RN_MISH,
    RN_SIN,
    RN_ATAN,
    RN_EXP,
    RN_LOG,
    RN_SQRT,
    RN_COS,
    RN_ERF
} rn_activation;

/* activate: y[i] = f(x[i]), i < n; y may be x. One tile is RN_ELEMENT_TILE elements. 1 FLOP an element for arithmetic alone, 20
 * where an exponential or its like is inside; 8 bytes an element. */
typedef struct {
    const float *x;
    float *y;
    ptrdiff_t n;
    float alpha;
    int activation;
} rn_activate_args;

/* activate_gradient: dx[i] = dy[i] f'(x[i]), i < n; dx may be dy or known. `known` is y = f(x) for linear relu leaky_relu elu
 * selu sigmoid tanh exp sqrt, whose slopes follow from it, else x. Tiles and FLOPs as activate; 12 bytes an element. */
typedef struct {
    const float *known, *dy;
    float *dx;
    ptrdiff_t n;
    float alpha;
    int activation;
} rn_activate_gradient_args;

/* dropout: y[i] = x[i] scale where word i of the generator (philox.h; seed and step as they stand in *step when it runs) is at
 * least `threshold` = rate 2^32, else 0; i < n; y may be x. scale = 1 / (1 - rate). The gradient is the same call with the same
 * purpose. One tile is RN_ELEMENT_TILE elements. 2 FLOP and about 25 integer operations an element, 8 bytes. */
typedef struct {
    const float *x;
    float *y;
    const rn_step *step;
    ptrdiff_t n;
    float scale;
    uint32_t threshold, purpose;
} rn_dropout_args;

/* random_uniform: y[i] = shift + scale u[i], u in [0, 1) with 24 bits; random_normal: y[i] = shift + scale z[i], z standard
 * normal, or held inside [-2, 2] by drawing again. i < n. Tiles are RN_ELEMENT_TILE elements. Around 10 and 60 operations, 4
 * bytes an element. */
typedef struct {
    float *y;
    ptrdiff_t n;
    uint64_t seed;
    uint32_t step, purpose;
    float shift, scale;
    int truncated;
} rn_random_args;

/* shuffle: order = the numbers from 0 to n - 1, n < 2^32, in random order (Durstenfeld 1964): each i from n - 1 down changes
 * places with one of 0 … i, chosen by block i of the generator. One tile. 16 bytes an element. */
typedef struct {
    int64_t *order;
    ptrdiff_t n;
    uint64_t seed;
    uint32_t step, purpose;
} rn_shuffle_args;

/* softmax: y[i, k, p] = exp(x[i, k, p] - m) / sum_k of these, m = max_k x[i, k, p]; i < n, k < c, p < s. y may be x. Where s is
 * 1, a tile is `rows` of the n rows; else RN_SOFTMAX_POSITIONS of one i. About 25 FLOP and 8 bytes an element. */
enum { RN_SOFTMAX_POSITIONS = 256 };
typedef struct {
    const float *x;
    float *y;
    ptrdiff_t n, c, s, rows;
} rn_softmax_args;

/* softmax_gradient: dx = y (dy - sum_k y dy), y the softmax, axes and tiles as softmax; dx may be dy or y. 4 FLOP, 12 bytes an
 * element. */
typedef struct {
    const float *y, *dy;
    float *dx;
    ptrdiff_t n, c, s, rows;
} rn_softmax_gradient_args;

/* one_hot_largest: y = 1 where x is the first largest over axis c, else 0, for each (n, s); all NaN where one of them is. x and y
 * are [n, c, s]; y may be x. The arguments and tiles are those of softmax, whatever s: a tile is `rows` of the n s columns. 2
 * FLOP and 8 bytes an element. */

/* sum_partials: *total = partial[0] + … + partial[n - 1], in this order. One tile. n FLOP, 8 n bytes. */
typedef struct {
    const double *partial;
    double *total;
    ptrdiff_t n;
} rn_sum_partials_args;

/* Probabilities below this are taken for it where their logarithm is asked for, so that losses and gradients stay finite. */
#define RN_PROBABILITY_FLOOR 1e-7f

/* Losses that are means over elements: partial[tile] = sum of w l(p, t) / n over the tile's elements, of n in rows of `outputs`,
 * with one weight w a row (NULL: 1); p is the prediction or logit, t the target. Written where not NULL: gradient = w l'(p, t) /
 * n and probabilities = p, of the last one sigmoid(p); either may be the prediction.
 * - mse: l = (p - t)^2;
 * - mae: l = |p - t|;
 * - msle: l = (log(1 + p) - log(1 + t))^2, p taken for 0 where it is less, in the slope too, which so still points to t;
 * - huber: l = (p - t)^2 / 2 as far as |p - t| <= delta, beyond delta (|p - t| - delta / 2);
 * - hinge: l = max(0, 1 - t p), t of -1 or 1; slope 0 where t p = 1;
 * - binary_cross_entropy: l = -(t log p + (1 - t) log(1 - p)), both logarithms of RN_PROBABILITY_FLOOR at least;
 * - sigmoid_binary_cross_entropy: the same of sigmoid(p), as max(p, 0) - t p + log(1 + e^-|p|).
 * A tile is RN_ELEMENT_TILE elements. 3 to 50 FLOP an element; 8 bytes and 4 for each array written. */
typedef struct {
    const float *prediction, *target, *weights;
    float *gradient, *probabilities;
    double *partial;
    ptrdiff_t n, outputs;
    float delta;
} rn_element_loss_args;

/* rmse_gradient: gradient = w (p - t) / (n r), r = sqrt(*square), the gradient of r; 0 where r is 0. The arguments are those of a
 * loss over elements, `partial` the one number *square, which mse left there. 4 FLOP and 12 bytes an element. */

/* regularize: the penalty on one array of n weights w: partial[tile] = sum over the tile of l1 |w| + l2 w^2; where gradient is
 * not NULL, gradient += l1 sign(w) + 2 l2 w. A tile is RN_ELEMENT_TILE elements. 8 FLOP and 12 bytes an element. */
typedef struct {
    const float *weight;
    float *gradient;
    double *partial;
    ptrdiff_t n;
    float l1, l2;
} rn_regularize_args;

/* Losses of rows of c classes: partial[tile] = sum of w_i l_i / n over the tile's `rows` of the n rows, weights w as above. The
 * target is either classes[i] (then target is NULL) or the row t = target[i, :] (then classes is NULL). A class outside 0 … c - 1
 * makes its row's loss and gradient NaN and is never an index.
 * - cross_entropy, of probabilities p: l = -sum_j t_j log p_j (+ t_j log t_j, 0 at t_j = 0, where `relative`), gradient -t_j /
 * p_j w / n, with p >= RN_PROBABILITY_FLOOR;
 * - softmax_cross_entropy, of logits z: l = sum_j t_j (log(sum_k e^z_k) - z_j), computed from the largest logit down and so
 * stable for any finite z; probabilities p = softmax(z); gradient (p_j sum_k t_k - t_j) w / n. Either result may be z;
 * - count_correct: l = 1 where the first largest of the row is the class (or the first largest of the target row), else 0; of a
 *   single column, where both are above `threshold` or both are not. It has no weights and no results but the sum;
 * - count_in_top: l = 1 where fewer than k outputs of the row come before that of the class: larger ones, and equal ones to its
 *   left. Of a single column as count_correct.
 * - count_classes, in one tile: partial has three rows of c sums: how many samples of each class are predicted right, are
 *   predicted as it, and are of it; of a single column, of class 1. Where `several`, a sample is of each class whose number in
 *   the target row is above `threshold`, and predicted so alike. count_confusion: partial[t, p] of k x k, k = max(c, 2), how
 *   many samples of class t are predicted as p. A row with NaN is predicted as no class.
 * About 25, 40 and 1 FLOP an element; 4 bytes for each array read or written. */
typedef struct {
    const float *prediction, *target, *weights;
    const int32_t *classes;
    float *gradient, *probabilities;
    double *partial;
    ptrdiff_t n, c, rows;
    ptrdiff_t k;
    float threshold;
    int relative, several;
} rn_class_loss_args;

/* sum_deviations: sums[0, j] = sum_i (p_ij - t_ij)^2, sums[1, j] = sum_i t_ij and sums[2, j] + sums[3, j] = sum_i t_ij^2 of n
 * rows of `outputs`, in float64: the first 26 bits of each square in sums[2, j], the others in sums[3, j], so that the sums of
 * targets of about one size are exact. One tile: the sums stay in its cache. 11 FLOP and 8 bytes an element. */
typedef struct {
    const float *prediction, *target;
    double *sums;
    ptrdiff_t n, outputs;
} rn_sum_deviations_args;

/* Pooling of `planes` images h x w to oh x ow by windows kh x kw: window (i, j) holds the cells (i sh - top + p, j sw - left +
 * q), p < kh, q < kw, that lie inside the image, at least one. A tile is `group` planes. result is no other tensor.
 * - max_pool2d: result = y, the largest cell, or NaN where there is one; x read. Written where not NULL: taps = p kw + q of the
 *   first largest cell, by rows; with relu, which says that x is what relu gave, -1 where y is 0.
 * - max_pool2d_gradient: result = dx, sum of dy over the windows whose tap this cell is; taps and dy read.
 * - avg_pool2d: result = y, the mean of the cells; x read.
 * - avg_pool2d_gradient: result = dx, sum of dy / (cells of its window) over the windows that hold this cell; dy read.
 * Scratch of the gradients: 2 oh rows of `row` four-byte elements, row = kw + RN_POOL_MARGIN + the larger of ow and
 * (w - 1 + left) / sw + 1. 1 FLOP a cell of a window, 4 bytes for each element read or written. */
enum { RN_POOL_MARGIN = 32 };
typedef struct {
    const float *x, *dy;
    float *result;
    int32_t *taps;
    ptrdiff_t planes, group, h, w, oh, ow, kh, kw, sh, sw, top, left, row;
    int relu;
} rn_pool_args;

/* k is cut in blocks of KC: the chain of multiply-adds of one block, from 0, is added to the blocks before it. gemm and all
 * direct convolutions sum in this order. KC is RN_KC; on vectors of 16, where two panels pass at once and the second cache has 1
 * MB or more, RN_LONG_KC: c is read and written less often. (Rows of 1024 floats would meet in one set of the first cache.) Sums
 * over rows or positions are cut in blocks of RN_KC on all. A panel has at most RN_PANEL columns; no more than two are packed at
 * once, RN_PAIR. */
enum { RN_KC = 400, RN_LONG_KC = 1040, RN_PANEL = 32, RN_PAIR = 2 * RN_PANEL };

/* gemm: c[i, j] = act(sum_p left[i, p] right[p, j] (+ c[i, j]) + bias), i < m, j < n, p < k.
 *
 * left[i, p] = left[i * left_row + p * left_step], right[p, j] = right[p * right_step + j * right_column]; one stride of each
 * is 1. c[i, j] = c[i * c_row + j], or c[j * c_row + i] where transposed: the caller may swap the operands so that the smaller
 * one is packed. right_panels: pack_columns or pack_rows made it. Bias: row_bias[i] or column_bias[j] or none. A tile is
 * row_block x column_block of c; column_tiles of them lie side by side. Its rows pass one panel of right after the other, all of
 * them or, where they do not fit into the second cache, strip by strip. Scratch, in floats: KC * RN_PAIR, or KC *
 * column_block where there are several strips; row_block * KC where left is packed, row_block * column_block where transposed.
 * whole_rows, of vectors of 16: chains are so short that rows pass all columns of a tile in one call; right lies in place, and
 * some columns of c, which is overwritten, are stored twice. 2 m n k FLOPs; 4 (m k + k n + m n) bytes. */
typedef struct {
    const float *left, *right, *row_bias, *column_bias;
    float *c;
    ptrdiff_t m, n, k;
    ptrdiff_t left_row, left_step, right_step, right_column, c_row;
    ptrdiff_t row_block, column_block, column_tiles, strip;
    int left_packed, right_in_place, right_panels, whole_rows, transposed, accumulate;
    int activation;
    float alpha;
} rn_gemm_args;

/* pack_columns: the right operand of gemm, stored by columns, as panels: to[panel, p, j] = from[(panel PANEL + j) k + p], p < k,
 * for the columns below n; PANEL is the instruction set's, at most RN_PANEL. `to` has room for n up to a multiple of RN_PANEL. A
 * tile is RN_PANEL columns. 0 FLOP, 8 n k bytes. pack_rows: the same of one stored by rows, from[p n + panel PANEL + j]. */
typedef struct {
    const float *from;
    float *to;
    ptrdiff_t n, k;
} rn_pack_columns_args;

/* gemm_packed: gemm of large matrices, where right is what pack_columns or pack_rows made and c is not transposed, on vectors of
 * less than 16. A tile is row_block rows of c; column_block and those after it, to whole_rows, are not read but for right_panels.
 * Scratch, in floats: row_block * KC, where the tile's rows of left are packed, and 16, for packing writes whole vectors. */

/* gemm_blocks: gemm of one row by panels, each block of k apart, so that blocks may be worked in any order: c[b, j] = sum_p
 * left[p] right[p, j], b KC <= p < (b + 1) KC. There is neither bias nor activation. A tile is column_block columns of one
 * block; column_tiles of them lie side by side. right_panels is 1, and so are m and strip; strides are not read. No scratch. */

/* sum_rows: total[j] = sum_i x[i, j] (+ total[j]), i < m, j < n, rows of n floats. A tile is RN_SUM_COLUMNS columns; blocks of
 * RN_KC rows are summed one after the other, each from 0. m n FLOPs; 4 (m + 1) n bytes. */
enum { RN_SUM_COLUMNS = 256 };
typedef struct {
    const float *x;
    float *total;
    ptrdiff_t m, n;
    int accumulate;
} rn_sum_rows_args;

/* add_blocks: c[j] = act(x[0, j] + x[1, j] + ... + bias[j]), j < n, from the first of the blocks, at least one, to the last, as
 * gemm adds them: sum_rows would begin at 0 and lose a sign of -0. A tile is RN_SUM_COLUMNS columns. blocks n FLOPs; 4 (blocks +
 * 2) n bytes. */
typedef struct {
    const float *x, *bias; /* bias NULL: none */
    float *c;
    ptrdiff_t blocks, n;
    int activation;
    float alpha;
} rn_add_blocks_args;

/* How taps reach from a grid of positions (y, x) into an image: tap (i, j) reads row y stride_y + first_y + i tap_step_y, column
 * x stride_x + first_x + j tap_step_x, and 0 outside. */
typedef struct {
    ptrdiff_t height, width; /* of the image */
    ptrdiff_t grid_height, grid_width;
    ptrdiff_t stride_y, stride_x;
    ptrdiff_t tap_rows, tap_columns;
    ptrdiff_t first_y, first_x, tap_step_y, tap_step_x;
    int padded; /* some tap of some position lies outside */
} rn_window;

/* convolve: out[n, g rows + m, p] = act(sum_k weight[g rows + m, k] source[n, g channels + c, tap t of p] + bias[g rows + m]) for
 * m < rows, grid position p = (y, x) and k = c taps + t, c < channels.
 *
 * source is [images, groups * channels, height, width]; p lies at out_first + y out_row + x out_column in its plane of out_plane
 * floats, which is p itself unless scattered. The forward pass, and each phase of the gradient by input (see turn_weights). No
 * column matrix is written out: KC rows of it and a few panels of pixels at a time are packed into scratch, and all filters
 * pass over them. A tile is `block` positions of one group of one image; there are `blocks` of them. in_place: one tap, nothing
 * between the pixels; colliding: but the planes' lines push each other out of the first cache, so the first filters pack them.
 * Where `pooled`, out is NULL and a tile's block, all positions, goes through `pool`, whose planes are those of out and whose x
 * is NULL, to its result. Scratch: KC ptrdiff_t; then floats: KC * RN_PAIR; rows * KC where weights are packed; rows *
 * block where scattered or pooled; the block's part of the image for the channels of KC rows, where padded. phases is 1;
 * beside and weight_beside are convolve_filters'. 2 images groups rows positions channels taps FLOPs; 4 (source + weight + out)
 * bytes. */
typedef struct {
    rn_window window, beside;
    const float *source, *weight, *weight_beside, *bias;
    float *out;
    ptrdiff_t images, groups, channels, rows;
    ptrdiff_t out_plane, out_row, out_column, out_first;
    ptrdiff_t block, blocks;
    rn_pool_args pool;
    int phases, in_place, colliding, scattered, weight_packed, pooled, activation;
    float alpha;
} rn_convolve_args;

/* convolve_pooled: convolve, and max_pool2d of its outputs by windows of 2 x 2 side by side, at stride 1, dilation 1 and no
 * more than KC products, with RELU or LINEAR. Lanes are windows. A tile is `block` rows of windows of one group of one image;
 * there are `blocks` of them. Scratch, in floats: channels (tap_rows + 1) RN_LINES(tap_columns) RN_PANEL / 2; the block's part
 * of the image and RN_PANEL, where padded. */
#define RN_LINES(tap_columns) (((tap_columns) + 2) / 2 * 2)

/* turn_weights: turned[g, c, m, i, j] = weight[g filters + m, c, first_row + i step_row, first_column + j step_column], i <
 * tap_rows, j < tap_columns. With a stride s the pixels of the gradient by input fall into s phases (in each direction), each a
 * convolution of the output's gradient with every s-th tap; these are its weights. weight is [groups * filters, channels, height,
 * width]. A tile is one (g, c). 0 FLOP, 8 bytes an element of turned. */
typedef struct {
    const float *weight;
    float *turned;
    ptrdiff_t filters, channels, height, width;
    ptrdiff_t tap_rows, tap_columns, first_row, first_column, step_row, step_column;
} rn_turn_weights_args;

/* convolve_filters: as convolve, from pack_filters' weights, at stride_x 1 or 2. Lanes are filters: pixels are read where they
 * lie, and taps beside the image are left out. With 2 phases, `beside` and weight_beside make the outputs one float after those
 * of the window, on a grid of the same size, so that out_column = 2 leaves no gaps. Scratch: for each phase RN_TAP_LIST(channels
 * * taps, tap_rows, tap_columns) ptrdiff_t, then for each RN_COLLECTED * RN_PANEL floats: the sums of so many positions for one
 * panel of filters, or of half of them for two. */
enum { RN_COLLECTED = 128 };
#define RN_TAP_LIST(k, tap_rows, tap_columns) ((2 * ((k) + (tap_rows) + (tap_columns)) + (tap_rows) * (tap_columns) + 7) / 8 * 8)

/* pack_filters: packed[g, panel, (c, i, j), l] = weight[g group_step + (panel PANEL + l) row_step + c channel_step + first + i
 * tap_row_step + j tap_column_step]; 0, or the last row again, where there is no such row. PANEL is the instruction set's,
 * at most RN_PANEL, and panels are so many that they fill a multiple of RN_PANEL rows. contiguous: (c, i, j) lie in a row. A tile
 * is RN_PANEL rows of a group. 0 FLOP, 8 bytes an element. */
typedef struct {
    const float *weight;
    float *packed;
    ptrdiff_t rows, channels, tap_rows, tap_columns;
    ptrdiff_t group_step, row_step, channel_step, first, tap_row_step, tap_column_step;
    int contiguous;
} rn_pack_filters_args;

/* depthwise: y[n, c, p] = act(sum_t weight[c, t] x[n, c, tap t of p] + bias[c]), t < tap_rows tap_columns. Planes are copied with
 * their zeros, at most block_rows rows of outputs at a time. A tile is `group` planes of the images * channels.
 * depthwise_weights: y[c, t] = sum over n and p of x[n, c, tap t of p] dy[n, c, p], dbias[c] = sum of dy (NULL: none): lane by
 * lane through some rows and columns, these and images one after the other. A tile is `group` channels. Scratch: a ptrdiff_t for
 * each tap, up to a multiple of 8; of weights a double for each channel, up to a multiple of 8, and RN_PANEL / 2 floats for each
 * tap of a channel; the floats of the copy, with RN_PANEL (stride_x + 1) behind.
 * 2 FLOPs a tap and output; 4 (x + y) bytes. */
typedef struct {
    rn_window window;
    const float *x, *weight, *bias, *dy;
    float *y, *dbias;
    ptrdiff_t images, channels, group, block_rows;
    int activation;
    float alpha;
} rn_depthwise_args;

/* winograd_weights: transformed = G w G' of each filter and channel, in the order of the instruction set's panels: (panel, place,
 * channel, filter of the panel), with places (a, b) of 6 x 6. w[m, c] has taps x taps, 3 or 5, at weight + m
 * filter_step + c channel_step, from the last to the first where flipped. A tile is RN_WINOGRAD_FILTERS filters. transformed has
 * RN_WINOGRAD_WEIGHTS (channels + 1) floats for each filter, filters up to a multiple of RN_WINOGRAD_FILTERS. 200 FLOPs and
 * 4 (taps^2 + RN_WINOGRAD_WEIGHTS) bytes a filter and channel. */
enum { RN_WINOGRAD_FILTERS = 32, RN_WINOGRAD_WEIGHTS = 6 * 6 };
typedef struct {
    const float *weight;
    float *transformed;
    ptrdiff_t filters, channels, filter_step, channel_step;
    int flipped, taps, stride;
} rn_winograd_weights_args;

/* winograd_one_sided_weights: transformed = G w alone, 3 x 3 taps at stride 1, in the order (a vector of filters, row of G w,
 * channel, column of w, filter). A tile is RN_WINOGRAD_FILTERS filters. transformed has RN_WINOGRAD_ONE_SIDED channels floats for
 * each filter, filters up to a multiple of RN_WINOGRAD_FILTERS. 36 FLOPs and 4 (9 + RN_WINOGRAD_ONE_SIDED) bytes a filter and
 * channel. */
enum { RN_WINOGRAD_ONE_SIDED = 6 * 3 };

/* winograd: y[n, m] = act(sum over c of x[n, c] * w[m, c] + bias[m]), 3 x 3 or 5 x 5, 3 x 3 also at stride 2, from
 * winograd_weights. x has `top` and `left` zeros before its first row and column, and as many behind as outputs reach for. An
 * image has rows x columns tiles of (7 - taps) x (7 - taps) outputs, multiples of the dilation; a unit is unit_images whole
 * images, or unit_rows rows of tiles of one image. A tile of the call is filter_block filters, a multiple of RN_WINOGRAD_FILTERS,
 * of a unit. Scratch, in floats, with t tiles of a unit, channels up to a multiple of 16 and s = RN_WINOGRAD_SIDE: 16 s
 * RN_WINOGRAD_ROW and s^2 (t channels + 64 t + 32). FLOPs are counted as the direct form's: 2 taps^2 a pair of channels and
 * output.
 *
 * winograd_scattered: the gradient by input from x = dy, over tiles of dy; dy reaches `top` rows above and `left` columns before
 * y's first. Units are whole images, and nothing is dilated.
 *
 * Where `pooled`, y is what max_pool2d makes of those outputs by windows of 2 x 2 side by side, and pool_taps, written where not
 * NULL, are its taps, with relu where that is the activation; nothing is dilated, and the activation is one up to
 * RN_LEAKY_RELU.
 *
 * Where `one_sided`, the weights are those of winograd_one_sided_weights, and no unit has more than RN_WINOGRAD_FEW tiles. */
enum { RN_WINOGRAD_MOST_DILATION = 4, RN_WINOGRAD_FEW = 4 };
#define RN_WINOGRAD_SIDE(stride) ((stride) == 2 ? 9 : 6)
#define RN_WINOGRAD_ROW(columns, taps, stride, dilation) \
    ((stride) * (7 - (taps)) * (columns) + ((taps)-1) * (dilation))
typedef struct {
    const float *x, *transformed, *bias;
    float *y;
    int32_t *pool_taps;
    ptrdiff_t images, channels, filters, height, width, out_height, out_width, top, left;
    ptrdiff_t rows, columns, unit_images, unit_rows, filter_block, dilation_y, dilation_x;
    int taps, stride, activation, pooled, one_sided;
    float alpha;
} rn_winograd_args;

/* winograd_gradient: partial[split, channel block, filter block] = (sum over the split's images and tiles of (A dY A')[place, m]
 * (B' d B)[place, c], filter_block x channel_block of them for each of the weights' 36 places, turned where swapped; then the
 * sums of dY by filter); sizes as for winograd, channels and filters of a block up to multiples of 16. A tile is one such block.
 * Scratch, in floats, with t tiles of a unit: s^2 (t (channel_block + filter_block) + 32) and 16 (s RN_WINOGRAD_ROW + 16
 * columns). winograd_taps: dweight[m, c] = G' (the splits' sum) G; dbias[m] (NULL: none). A tile is a filter, where swapped a
 * channel. FLOPs are counted as the direct form's. */
typedef struct {
    const float *x, *dy;
    float *partial, *dweight, *dbias;
    ptrdiff_t images, channels, filters, height, width, out_height, out_width, top, left;
    ptrdiff_t rows, columns, unit_images, unit_rows;
    ptrdiff_t splits, channel_block, channel_blocks, filter_block, filter_blocks, dilation_y, dilation_x;
    int taps, stride, swapped;
} rn_winograd_gradient_args;

/* weight_gradient: partial[s, g, k, m] = sum over the images of split s and positions p of x[n, g channels + c, tap t of p] dy[n,
 * g filters + m, p], k = c taps + t; row k = channels taps is that of an x of ones, which is the gradient by bias. Split s has
 * images [images s / splits, images (s + 1) / splits). Rows of x are broadcast where they lie (or in a padded copy) against a
 * transposed panel of dy, for block_rows x block_columns <= RN_KC positions at a time; by_taps: each tap's over the positions
 * where it lies inside the image. Of 1 x 1 convolutions dy may come as x, and x as dy. A tile is channel_block channels,
 * filter_block filters of a group of a split. Scratch: RN_ROW_LIST(channel_block * taps, tap_rows, tap_columns) ptrdiff_t; then
 * floats: RN_KC * RN_WIDE_PANEL, ones, and the part of the image where it is copied. 2 images groups channels taps filters
 * positions FLOPs; 4 (x + dy + partial) bytes. */
enum { RN_WIDE_PANEL = 48, RN_DOT_FILTERS = 4 };
#define RN_ROW_LIST(rows, tap_rows, tap_columns) (((rows) + 2 * ((tap_rows) + (tap_columns)) + 7) / 8 * 8)
typedef struct {
    rn_window window;
    const float *x, *dy;
    float *partial;
    ptrdiff_t images, groups, channels, filters, splits;
    ptrdiff_t channel_block, channel_blocks, filter_block, filter_blocks;
    ptrdiff_t block_rows, block_columns;
    ptrdiff_t ones; /* floats between the first and the last pixel that a block steps through */
    ptrdiff_t joined_images;
    ptrdiff_t filters_at_once;
    rn_pool_args pool;
    int with_bias, by_taps;
} rn_weight_gradient_args;

/* weight_gradient_dots: the same partial sums with pixels in the lanes, at stride_x 1, for block_rows x block_columns positions
 * at a time; where x has as many rows as channels, of one row of pixels each, joined_images images are one run. A tile is all
 * channels and filter_block filters, a multiple of 4, of a group of a split. Scratch: channels * taps ptrdiff_t, up to a multiple
 * of 8; then floats: (channels * taps + 1) filter_block 16, and the part of the image. Where dy is NULL, it is what
 * max_pool2d_gradient gives for `pool`, made for filters_at_once of an image at a time and not kept: scratch has as many planes
 * of dy, and the gradient's own scratch, before the part of the image. */

/* weight_gradient_windows: the same, by 3 x 3 taps, of dy that is max_pool2d_gradient's for `pool`, by windows of 2 x 2 side by
 * side; dy is not read. Lanes are windows. A tile is as for weight_gradient_dots. Scratch, in floats: (channels * taps + 1)
 * filter_block 16; RN_WINDOW_LINES, or the lines of a vector of windows where they are more, as for convolve_pooled; the image
 * and RN_PANEL, where padded. */
enum { RN_WINDOW_LINES = 8192 };

/* sum_splits: dweight[g filters + m, k] = sum_s partial[s, g, k, m], k < rows, in the order of s; dbias (NULL: none) from row
 * `rows`. Swapped: dweight[g, k, m], and no dbias. A tile is RN_SUM_BLOCK^2 elements of a group. Scratch: RN_SUM_BLOCK^2 floats.
 * splits - 1 FLOP and 4 (splits + 1) bytes an element. */
enum { RN_SUM_BLOCK = 64 };
typedef struct {
    const float *partial;
    float *dweight, *dbias;
    ptrdiff_t groups, rows, filters, splits;
    int swapped;
} rn_sum_splits_args;

/* What the machine can do at best; *sink takes a number that keeps the work from being left out. A tile is one thread's.
 * peak_arithmetic: `turns` of twelve FMA of vectors that do not wait for each other; 24 FLOPs a lane and turn.
 * peak_reading: adds up n floats, `turns` times; 4 bytes each. */
typedef struct {
    const float *x; /* n floats for each tile, one after the other */
    ptrdiff_t n, turns;
    float *sink; /* one for each tile, RN_SINK floats apart */
} rn_peak_args;
enum { RN_SINK = 16 };

typedef struct {
    const char *isa;
    int lanes; /* floats in a vector */
#define X(name) rn_kernel name;
    RN_KERNELS(X)
#undef X
} rn_kernel_table;

/* The table for "avx2" or "generic"; for NULL the best that this machine runs. NULL where it cannot run here. */
const rn_kernel_table *rn_select(const char *isa);

/* How many kernels a table has, what they are called, and the place of one of them. */
enum {
    RN_KERNEL_COUNT = 0
#define X(name) +1
    RN_KERNELS(X)
#undef X
};
extern const char *const rn_kernel_names[RN_KERNEL_COUNT];
int rn_kernel_number(const rn_kernel_table *table, rn_kernel kernel);

#define RN_CONCATENATE_(a, b, c) a##b##_##c
#define RN_CONCATENATE(a, b, c) RN_CONCATENATE_(a, b, c)

#endif
