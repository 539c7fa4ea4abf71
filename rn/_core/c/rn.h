/* The kernels of rn: what they are called, what they are given, and the table that holds one set of them.
 *
 * A kernel works one tile of outputs that no other tile writes. How many tiles there are follows from the shapes alone, so the bits
 * of a result cannot depend on how many threads share the tiles. Kernels cannot fail and allocate nothing: sizes are checked, and
 * scratch (one piece a thread) is reserved, before anything starts. All pointers belong to the caller. */
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
    float learning_rate;
} rn_step;

typedef void (*rn_kernel)(const void *args, ptrdiff_t tile, void *scratch);

#include "rn_tensor.h"

/* One line a kernel; rn_<name>_<isa> is its symbol in each instruction set. */
#define RN_KERNELS(X) \
    RN_TENSOR_KERNELS(X) \
    X(fill) \
    X(gather_rows) \
    X(activate) \
    X(activate_gradient) \
    X(dropout) \
    X(random_uniform) \
    X(random_normal) \
    X(shuffle) \
    X(gemm) \
    X(sum_rows)

/* fill: y[i] = value, i < n. One tile is RN_ELEMENT_TILE elements. 0 FLOP, 4 bytes an element. */
typedef struct {
    float *y;
    ptrdiff_t n;
    float value;
} rn_fill_args;

/* gather_rows: y[i, :] = source[order[i], :], i < rows, rows of row_size four-byte elements (floats or integers alike). One tile is
 * RN_GATHER_ROWS rows. order and source are the caller's, inside bounds. 0 FLOP, 8 bytes an element. */
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

/* activate: y[i] = f(x[i]), i < n; y may be x. One tile is RN_ELEMENT_TILE elements. 1 FLOP an element for arithmetic alone, 20 where
 * an exponential or its like is inside; 8 bytes an element. */
typedef struct {
    const float *x;
    float *y;
    ptrdiff_t n;
    float alpha;
    int activation;
} rn_activate_args;

/* activate_gradient: dx[i] = dy[i] f'(x[i]), i < n; dx may be dy or known. `known` is y = f(x) for linear relu leaky_relu elu selu
 * sigmoid tanh exp sqrt, whose slopes follow from it, else x. Tiles and FLOPs as activate; 12 bytes an element. */
typedef struct {
    const float *known, *dy;
    float *dx;
    ptrdiff_t n;
    float alpha;
    int activation;
} rn_activate_gradient_args;

/* dropout: y[i] = x[i] scale where word i of the generator (philox.h; seed and step as they stand in *step when it runs) is at least
 * `threshold` = rate 2^32, else 0; i < n; y may be x. scale = 1 / (1 - rate). The gradient is the same call with the same purpose. One
 * tile is RN_ELEMENT_TILE elements. 2 FLOP and about 25 integer operations an element, 8 bytes. */
typedef struct {
    const float *x;
    float *y;
    const rn_step *step;
    ptrdiff_t n;
    float scale;
    uint32_t threshold, purpose;
} rn_dropout_args;

/* random_uniform: y[i] = shift + scale u[i], u in [0, 1) with 24 bits; random_normal: y[i] = shift + scale z[i], z standard normal, or
 * held inside [-2, 2] by drawing again. i < n. Tiles are RN_ELEMENT_TILE elements. Around 10 and 60 operations, 4 bytes an element. */
typedef struct {
    float *y;
    ptrdiff_t n;
    uint64_t seed;
    uint32_t step, purpose;
    float shift, scale;
    int truncated;
} rn_random_args;

/* shuffle: order = the numbers from 0 to n - 1, n < 2^32, in random order (Durstenfeld 1964): each i from n - 1 down changes places with
 * one of 0 … i, chosen by block i of the generator. One tile. 16 bytes an element. */
typedef struct {
    int64_t *order;
    ptrdiff_t n;
    uint64_t seed;
    uint32_t step, purpose;
} rn_shuffle_args;

/* k is cut in blocks of RN_KC: the chain of multiply-adds of one block, from 0, is added to the blocks before it. Every product of
 * the library sums in this order. A panel has at most RN_PANEL columns. */
enum { RN_KC = 256, RN_PANEL = 16 };

/* gemm: c[i, j] = act(sum_p left[i, p] right[p, j] (+ c[i, j]) + bias), i < m, j < n, p < k.
 *
 * left[i, p] = left[i * left_row + p * left_step], right[p, j] = right[p * right_step + j * right_column]; one stride of each is 1.
 * c[i, j] = c[i * c_row + j], or c[j * c_row + i] where transposed: the caller may swap the operands so that the smaller one is packed.
 * Bias: row_bias[i] or column_bias[j] or none. A tile is row_block x column_block of c; column_tiles of them lie side by side.
 * Scratch, in floats: RN_KC * RN_PANEL, row_block * RN_KC where left is packed, row_block * column_block where transposed.
 * 2 m n k FLOPs; 4 (m k + k n + m n) bytes. */
typedef struct {
    const float *left, *right, *row_bias, *column_bias;
    float *c;
    ptrdiff_t m, n, k;
    ptrdiff_t left_row, left_step, right_step, right_column, c_row;
    ptrdiff_t row_block, column_block, column_tiles;
    int left_packed, right_in_place, transposed, accumulate;
    int activation;
    float alpha;
} rn_gemm_args;

/* sum_rows: total[j] = sum_i x[i, j] (+ total[j]), i < m, j < n, rows of n floats. A tile is RN_SUM_COLUMNS columns; blocks of RN_KC
 * rows are summed one after the other, each from 0. m n FLOPs; 4 (m + 1) n bytes. */
enum { RN_SUM_COLUMNS = 256 };
typedef struct {
    const float *x;
    float *total;
    ptrdiff_t m, n;
    int accumulate;
} rn_sum_rows_args;

typedef struct {
    const char *isa;
#define X(name) rn_kernel name;
    RN_KERNELS(X)
#undef X
} rn_kernel_table;

/* The table for "avx2" or "generic"; for NULL the best that this machine runs. NULL where it cannot run here. */
const rn_kernel_table *rn_select(const char *isa);

#define RN_CONCATENATE_(a, b, c) a##b##_##c
#define RN_CONCATENATE(a, b, c) RN_CONCATENATE_(a, b, c)

#endif
