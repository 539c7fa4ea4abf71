/* The kernels of rn: what they are called, what they are given, and the table that holds one set of them.
 *
 * A kernel works one tile of outputs that no other tile writes. How many tiles there are follows from the shapes alone, so the bits
 * of a result cannot depend on how many threads share the tiles. Kernels cannot fail and allocate nothing: sizes are checked, and
 * scratch (one piece a thread) is reserved, before anything starts. All pointers belong to the caller. */
#ifndef RN_H
#define RN_H

#include <stddef.h>
#include <stdint.h>

/* What changes from step to step: random numbers key on seed and step, the optimizer on update and learning_rate. */
typedef struct {
    uint64_t seed;
    uint64_t step;
    uint64_t update;
    float learning_rate;
} rn_step;

typedef void (*rn_kernel)(const void *args, ptrdiff_t tile, void *scratch);

/* One line a kernel; rn_<name>_<isa> is its symbol in each instruction set. */
#define RN_KERNELS(X) \
    X(fill) \
    X(gather_rows)

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
