# What rn.h offers, for Cython. The structures are declared where they are filled, in the doorways.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t, uintptr_t

import os

from rn.errors import DtypeError, OptionError, ShapeError, StateError, flag, refuse_masked, seed_number

cdef extern from "rn.h" nogil:
    ctypedef void (*rn_kernel)(const void *args, ptrdiff_t tile, void *scratch) noexcept nogil

    ctypedef struct rn_kernel_table:
        const char *isa
        int lanes
        rn_kernel copy_block
        rn_kernel pad
        rn_kernel transpose_planes
        rn_kernel narrow
        rn_kernel im2col
        rn_kernel col2im
        rn_kernel add
        rn_kernel subtract
        rn_kernel multiply
        rn_kernel divide
        rn_kernel power
        rn_kernel less
        rn_kernel less_equal
        rn_kernel equal
        rn_kernel not_equal
        rn_kernel near
        rn_kernel negative
        rn_kernel absolute
        rn_kernel clip
        rn_kernel reduce_sum
        rn_kernel reduce_squares
        rn_kernel reduce_moments
        rn_kernel reduce_min
        rn_kernel reduce_max
        rn_kernel reduce_argmax
        rn_kernel shift_planes
        rn_kernel upsample
        rn_kernel upsample_gradient
        rn_kernel dropout_planes
        rn_kernel sum_planes
        rn_kernel add_pair
        rn_kernel layer_norm
        rn_kernel layer_norm_gradient
        rn_kernel layer_norm_weights
        rn_kernel batch_norm
        rn_kernel batch_norm_gradient
        rn_kernel batch_norm_fold
        rn_kernel crop_images
        rn_kernel cut_images
        rn_kernel warp_images
        rn_kernel jitter_images
        rn_kernel scale_images
        rn_kernel mix_rows
        rn_kernel fill
        rn_kernel copy_finite
        rn_kernel gather_rows
        rn_kernel activate
        rn_kernel activate_gradient
        rn_kernel dropout
        rn_kernel random_uniform
        rn_kernel random_normal
        rn_kernel shuffle
        rn_kernel softmax
        rn_kernel softmax_gradient
        rn_kernel sum_partials
        rn_kernel mse
        rn_kernel mae
        rn_kernel binary_cross_entropy
        rn_kernel sigmoid_binary_cross_entropy
        rn_kernel cross_entropy
        rn_kernel softmax_cross_entropy
        rn_kernel msle
        rn_kernel huber
        rn_kernel hinge
        rn_kernel rmse_gradient
        rn_kernel count_correct
        rn_kernel sum_squares
        rn_kernel nadam_product
        rn_kernel count_in_top
        rn_kernel count_classes
        rn_kernel count_confusion
        rn_kernel sum_deviations
        rn_kernel regularize
        rn_kernel one_hot_largest
        rn_kernel sgd
        rn_kernel adagrad
        rn_kernel rmsprop
        rn_kernel adadelta
        rn_kernel adam
        rn_kernel nadam
        rn_kernel lion
        rn_kernel max_pool2d
        rn_kernel max_pool2d_gradient
        rn_kernel avg_pool2d
        rn_kernel avg_pool2d_gradient
        rn_kernel gemm
        rn_kernel pack_columns
        rn_kernel pack_rows
        rn_kernel gemm_packed
        rn_kernel gemm_blocks
        rn_kernel add_blocks
        rn_kernel sum_rows
        rn_kernel convolve
        rn_kernel convolve_pooled
        rn_kernel convolve_filters
        rn_kernel pack_filters
        rn_kernel depthwise
        rn_kernel depthwise_weights
        rn_kernel winograd_weights
        rn_kernel winograd_one_sided_weights
        rn_kernel winograd
        rn_kernel winograd_scattered
        rn_kernel winograd_gradient
        rn_kernel winograd_taps
        rn_kernel turn_weights
        rn_kernel weight_gradient
        rn_kernel weight_gradient_dots
        rn_kernel weight_gradient_windows
        rn_kernel sum_splits
        rn_kernel peak_arithmetic
        rn_kernel peak_reading

    const rn_kernel_table *rn_select(const char *isa)
    enum:
        RN_KERNEL_COUNT
    const char *const *rn_kernel_names
    int rn_kernel_number(const rn_kernel_table *table, rn_kernel kernel)

    enum:
        RN_ELEMENT_TILE

    ctypedef struct rn_fill_args:
        float *y
        ptrdiff_t n
        float value

    ctypedef struct rn_copy_finite_args:
        const float *from_ "from"
        float *to
        ptrdiff_t n
        int *good

    enum:
        RN_GATHER_ROWS

    ctypedef struct rn_gather_args:
        const float *source
        const int64_t *order
        float *y
        ptrdiff_t rows
        ptrdiff_t row_size


def instruction_sets() -> tuple:
    """Return the names of the instruction sets this machine runs, the best first: of ``("avx512", "avx2", "generic")``."""
    names = []
    for name in (b"avx512", b"avx2", b"generic"):
        if rn_select(<const char *> name) != NULL:
            names.append(name.decode())
    return tuple(names)


cdef const rn_kernel_table *pick_kernels() except NULL:
    """The table that RN_ISA names, or the best this machine runs."""
    cdef const rn_kernel_table *table
    wanted = os.environ.get("RN_ISA") or None
    name = None if wanted is None else wanted.encode()
    table = rn_select(NULL) if name is None else rn_select(<const char *> name)
    if table == NULL:
        runs = ", ".join(instruction_sets())
        raise OptionError(f"RN_ISA={wanted}: not an instruction set this machine runs; use one of {runs}, or leave RN_ISA unset")
    return table


# Picked once, at import.
cdef const rn_kernel_table *KERNELS = pick_kernels()
# Shorter vectors than AVX-512's. Processors that have no longer ones also have second caches of half the size, 512 KiB or less.
cdef bint NARROW = KERNELS.lanes < 16


def instruction_set() -> str:
    """Return the name of the instruction set whose kernels run, one of `instruction_sets`."""
    return (<bytes> KERNELS.isa).decode()
