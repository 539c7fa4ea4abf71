/* The kernels of Tensor4D's own methods, a part of rn.h. */
#ifndef RN_TENSOR_H
#define RN_TENSOR_H

#include <math.h>
#include <stddef.h>

#define RN_ARITHMETIC_KERNELS(X) \
    X(add) \
    X(subtract) \
    X(multiply) \
    X(divide) \
    X(less) \
    X(less_equal) \
    X(equal) \
    X(not_equal) \
    X(near) \
    X(negative) \
    X(absolute) \
    X(clip)

#define RN_TENSOR_KERNELS(X) \
    RN_ARITHMETIC_KERNELS(X) \
    X(copy_block) \
    X(pad) \
    X(transpose_planes) \
    X(narrow) \
    X(im2col) \
    X(col2im) \
    X(power) \
    X(reduce_sum) \
    X(reduce_squares) \
    X(reduce_moments) \
    X(reduce_min) \
    X(reduce_max) \
    X(reduce_argmax)

/* Two arrays a and b walked together in the row-major order of one shape; strides count elements, 0 repeats an axis, negative
 * ones go backwards. A tile is RN_ELEMENT_TILE elements of that order. */
typedef struct {
    ptrdiff_t shape[4];
    ptrdiff_t a[4], b[4];
} rn_walk;

/* copy_block: y[i·b] = x[i·a] for every index i of the walk; x and y do not overlap. 0 FLOP, 8 bytes an element. */
typedef struct {
    rn_walk walk;
    const float *x;
    float *y;
} rn_copy_args;

/* pad: y[i] = x[i - before] inside x, `value` around it, for every index i of y, whose shape the walk has; x's strides are
 * walk.a. y has no gaps. A tile is RN_ELEMENT_TILE elements of y. 0 FLOP, 4 bytes an element of either. */
typedef struct {
    rn_walk walk;
    ptrdiff_t before[4], lengths[4]; /* lengths: x's */
    const float *x;
    float *y;
    float value;
} rn_pad_args;

/* transpose_planes: y[p·y_outer[0] + q·y_outer[1] + j·y_stride + i] = x[p·x_outer[0] + q·x_outer[1] + i·x_stride + j] for every
 * plane (p, q), row j and column i of y: either array has no gaps along one of the two. One tile is RN_TRANSPOSE_ROWS rows of one
 * plane. 0 FLOP, 8 bytes an element. */
enum { RN_TRANSPOSE_ROWS = 64 };
typedef struct {
    const float *x;
    float *y;
    ptrdiff_t outer[2], rows, columns; /* lengths of p, q, j, i */
    ptrdiff_t x_outer[2], x_stride, y_outer[2], y_stride;
} rn_transpose_args;

/* narrow: y[i] = x[i] rounded to float32, i < n. One tile is RN_ELEMENT_TILE elements. 0 FLOP, 12 bytes an element. */
typedef struct {
    const double *x;
    float *y;
    ptrdiff_t n;
} rn_narrow_args;

/* add subtract multiply divide power: y[i] = a[i·a] op b[i·b] for every index i of the walk, y float32 in its order without gaps;
 * y may be a or b where those are walked alike. 1 FLOP (power: 60), 12 bytes an element. less less_equal equal not_equal: y[i] =
 * 1 where the relation holds, else 0, in bytes. near: y[i] = 1 where |a - b| <= absolute + relative |b| or a = b, in bytes. 9
 * bytes an element. */
typedef struct {
    rn_walk walk; /* its steps along the last axis are 0 or 1, not both 0 unless that has length 1 */
    const float *a, *b;
    void *y;
    float absolute, relative; /* near alone */
} rn_binary_args;

/* negative absolute clip: y[i] = -x[i], |x[i]|, min(max(x[i], low), high), i < n; y may be x. NaN stays NaN. One tile is
 * RN_ELEMENT_TILE elements. 1 FLOP, 8 bytes an element. */
typedef struct {
    const float *x;
    float *y;
    ptrdiff_t n;
    float low, high; /* clip alone */
} rn_unary_args;

/* reduce_*: one result for every (o, m, i) of x[o, p, m, s, i], out of its rows (p, s):
 *
 *   reduce_sum      sum x             reduce_min  the least, NaN where there is one
 *   reduce_squares  sum x^2           reduce_max  the largest, likewise
 *   reduce_moments  sum d, sum d^2, d = x - the first row's x
 *   reduce_argmax   the largest and its row p * second + s, the first of equals; NaN is larger than all
 *
 * Sums are float64. Rows are cut in `chunks` of chunk_rows; outputs, in their order, in units of up to RN_REDUCE_COLUMNS along i.
 * One tile is tile_units units of one chunk. Its results go to partial[chunk, value, o, m, i] or, where partial is NULL and there
 * is one chunk, finished to y. 1 FLOP (squares 2, moments 3) and 4 bytes an element. */
enum { RN_REDUCE_COLUMNS = 2048 };
typedef enum { RN_FINISH_SUM, RN_FINISH_MEAN, RN_FINISH_ROOT, RN_FINISH_VARIANCE, RN_FINISH_DEVIATION } rn_finish;
typedef struct {
    const float *x;
    void *y; /* float32, or int64 rows for reduce_argmax */
    double *partial;
    ptrdiff_t outer, first, middle, second, inner;
    ptrdiff_t chunks, chunk_rows, tile_units;
    rn_finish finish; /* of sums, squares and moments */
} rn_reduce_args;

/* im2col: columns[i, (c * kh + u) * kw + v, y * ow + x] = image[i, c, Y, X] with Y = y * stride_y + u * dilation_y - top and
 * X = x * stride_x + v * dilation_x - left, 0 outside the image; images (n, channels, h, w), columns (n, channels * kh * kw, oh *
 * ow), oh x ow the places of the kernel. One tile is one row (i, c, u, v). col2im: its transpose, each element of the columns is
 * added to the cell that im2col read it from. One tile is one plane (i, c). They show how a convolution is a product of matrices;
 * `convolve` never writes the columns out. 0 and 1 FLOP, 8 bytes an element. */
typedef struct {
    const float *from;
    float *to;
    ptrdiff_t n, channels, h, w, kh, kw, oh, ow;
    ptrdiff_t stride_y, stride_x, dilation_y, dilation_x, top, left;
} rn_columns_args;

/* A result from its sums over `count` rows. */
static inline double rn_finished(rn_finish finish, double sum, double squares, double count) {
    double variance;
    switch (finish) {
    case RN_FINISH_MEAN:
        return sum / count;
    case RN_FINISH_ROOT:
        return sqrt(sum);
    case RN_FINISH_VARIANCE:
    case RN_FINISH_DEVIATION:
        variance = (squares - sum * (sum / count)) / count;
        variance = variance < 0.0 ? 0.0 : variance;
        return finish == RN_FINISH_VARIANCE ? variance : sqrt(variance);
    default: /* RN_FINISH_SUM */
        return sum;
    }
}

#endif
