# Convolutions in which every channel has one filter of its own: the calls of their three parts.

cdef extern from "rn.h" nogil:
    ctypedef struct rn_depthwise_args:
        rn_window window
        const float *x
        const float *weight
        const float *bias
        const float *dy
        float *y
        float *dbias
        ptrdiff_t images
        ptrdiff_t channels
        ptrdiff_t group
        ptrdiff_t block_rows
        int activation
        float alpha

# Floats of a plane that are copied at a time: half of a first cache.
cdef Py_ssize_t MOST_PLANE_COPIED = 4096
# The gradient by weights takes channels whose planes, neighbours of together so many floats, the memory gives one after the
# other, but leaves some groups for several threads.
cdef Py_ssize_t NEIGHBOURS = 4096
cdef Py_ssize_t FEWEST_GROUPS = 16


cdef rn_depthwise_args *record_depthwise(Plan plan, str name, rn_kernel kernel, _Convolution conv, rn_window window,
                                         bint weights) except NULL:
    """Record a call over all planes, or the gradient by weights, over channels; the caller links the pointers."""
    cdef rn_depthwise_args a
    memset(&a, 0, sizeof(a))
    a.window = window
    cdef rn_window *w = &a.window
    w.padded = True  # what is copied may be read beyond its end
    a.images, a.channels = conv.n, conv.groups
    cdef Py_ssize_t taps = w.tap_rows * w.tap_columns
    cdef Py_ssize_t wide = reach(w.grid_width, w.stride_x, w.tap_columns, w.tap_step_x)
    a.block_rows = even_block(w.grid_height, wide * w.grid_height * w.stride_y // MOST_PLANE_COPIED, 4)
    cdef Py_ssize_t plane = max(w.grid_height * w.grid_width, 1), tiles
    if weights:
        a.group = max(1, min(NEIGHBOURS // plane, a.channels // FEWEST_GROUPS))
        tiles = divide_up(a.channels, a.group)
    else:
        a.group = max(1, RN_ELEMENT_TILE // (plane * taps))
        tiles = divide_up(a.images * a.channels, a.group)
    cdef Py_ssize_t rows = reach(min(a.block_rows, w.grid_height), w.stride_y, w.tap_rows, w.tap_step_y)
    cdef Py_ssize_t floats = wide * rows + RN_PANEL * (w.stride_x + 1)
    if weights:
        floats += a.group * taps * (RN_PANEL // 2) + divide_up(a.group, 8) * 16  # of the biases, in double
    cdef rn_depthwise_args *call = <rn_depthwise_args *> plan.record(
        name + "_depthwise", kernel, sizeof(rn_depthwise_args), tiles,
        divide_up(taps, 8) * 8 * sizeof(ptrdiff_t) + floats * sizeof(float), conv.flops(), conv.bytes())
    call[0] = a
    return call
