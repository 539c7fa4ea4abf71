/* The kernels of Tensor4D's own methods, a part of rn.h. */
#ifndef RN_TENSOR_H
#define RN_TENSOR_H

#include <stddef.h>

#define RN_TENSOR_KERNELS(X) \
    X(copy_block) \
    X(transpose_planes)

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

/* transpose_planes: y[p·y_outer[0] + q·y_outer[1] + j·y_stride + i] = x[p·x_outer[0] + q·x_outer[1] + i·x_stride + j] for every plane
 * (p, q), row j and column i of y: either array has no gaps along one of the two. One tile is RN_TRANSPOSE_ROWS rows of one plane.
 * 0 FLOP, 8 bytes an element. */
enum { RN_TRANSPOSE_ROWS = 64 };
typedef struct {
    const float *x;
    float *y;
    ptrdiff_t outer[2], rows, columns; /* lengths of p, q, j, i */
    ptrdiff_t x_outer[2], x_stride, y_outer[2], y_stride;
} rn_transpose_args;

#endif
