# The gradient by weights in Winograd's form: where it is taken, and its two calls.

cdef extern from "rn.h" nogil:
    ctypedef struct rn_winograd_gradient_args:
        const float *x
        const float *dy
        float *partial
        float *dweight
        float *dbias
        ptrdiff_t images
        ptrdiff_t channels
        ptrdiff_t filters
        ptrdiff_t height
        ptrdiff_t width
        ptrdiff_t out_height
        ptrdiff_t out_width
        ptrdiff_t top
        ptrdiff_t left
        ptrdiff_t rows
        ptrdiff_t columns
        ptrdiff_t unit_images
        ptrdiff_t unit_rows
        ptrdiff_t splits
        ptrdiff_t channel_block
        ptrdiff_t channel_blocks
        ptrdiff_t filter_block
        ptrdiff_t filter_blocks
        ptrdiff_t dilation_y
        ptrdiff_t dilation_x
        int taps
        int stride
        int swapped

# A block of partial sums is 36 x 64 x 64 floats at most: most of a second cache. Blocks times splits of the batch: enough for
# some threads, each split costing a block more to add up.
cdef Py_ssize_t LONGEST_BLOCK = 64
cdef Py_ssize_t WANTED_BLOCKS = 8
# Floats that the transformed pixels and gradients of a unit should stay below, if that leaves WHOLE_UNIT_TILES.
cdef Py_ssize_t MOST_IN_UNIT = 110592


cdef Py_ssize_t whole_lanes(Py_ssize_t channels):
    return divide_up(channels, 16) * 16


cdef bint takes_winograd_gradient(_Convolution conv):
    """Whether the gradient by weights takes Winograd's form: by one sample's shape and the setting, as `winograd_pays` does.

    Lanes are filled up to 16 channels, and a tile's transforms cost about 250 for each lane and 200 for each filter. At stride 2
    they cost 2000 and 500, and are made again for each block of the other side.
    """
    if not fits_winograd(conv):
        return False
    cdef double lanes = whole_lanes(conv.channels), filters = conv.filters
    cdef double transforms = 250.0 * lanes + 200.0 * filters
    if conv.stride[0] == 2:
        transforms = 2000.0 * lanes * divide_up(conv.filters, LONGEST_BLOCK)
        transforms += 500.0 * filters * divide_up(conv.channels, LONGEST_BLOCK)
    return winograd_pays(conv, tiles_of(conv, conv.grid), conv.grid[0] * conv.grid[1], lanes * filters, transforms)


cdef void record_winograd_gradient(Plan plan, _Convolution conv, Slot x, Slot dy, Slot dweight, Slot dbias) except *:
    """Record the sums of the splits, and the weights' gradient from them."""
    cdef Py_ssize_t places = places_of(conv)
    cdef rn_winograd_gradient_args a
    memset(&a, 0, sizeof(a))
    a.images, a.channels, a.filters = conv.n, conv.channels, conv.filters
    a.height, a.width, a.out_height, a.out_width = conv.image[0], conv.image[1], conv.grid[0], conv.grid[1]
    a.top, a.left = conv.low[0], conv.low[1]
    a.taps, a.stride, a.dilation_y, a.dilation_x = conv.kernel[0], conv.stride[0], conv.dilation[0], conv.dilation[1]
    a.rows, a.columns = tiles_along(conv, 0, a.out_height), tiles_along(conv, 1, a.out_width)
    cut_winograd_gradient(&a, places)

    cdef Py_ssize_t lanes = whole_lanes(a.channel_block), filter_lanes = whole_lanes(a.filter_block)
    a.swapped = swaps_sides(a.channel_block, a.filter_block)
    cdef Py_ssize_t matrix = a.channel_block * filter_lanes if a.swapped else a.filter_block * lanes
    cdef Py_ssize_t block = RN_WINOGRAD_WEIGHTS * matrix + filter_lanes
    cdef Py_ssize_t tiles = a.splits * a.channel_blocks * a.filter_blocks
    cdef Py_ssize_t unit = a.unit_images * a.unit_rows * a.columns
    cdef Py_ssize_t scratch = places * (unit * (lanes + filter_lanes) + 32) + 16 * 16 * a.columns
    scratch += 16 * RN_WINOGRAD_SIDE(a.stride) * RN_WINOGRAD_ROW(a.columns, a.taps, a.stride, a.dilation_x)
    cdef Slot partial = plan.tensor((tiles * block,))
    cdef rn_winograd_gradient_args *g = <rn_winograd_gradient_args *> plan.record(
        "conv2d_weight_gradient_winograd", KERNELS.winograd_gradient, sizeof(a), tiles, scratch * sizeof(float), conv.flops(),
        conv.bytes() + 4.0 * partial.size)
    g[0] = a
    plan.link(&g.x, x, READ)
    plan.link(&g.dy, dy, READ)
    plan.link(&g.partial, partial, WRITE)

    g = <rn_winograd_gradient_args *> plan.record(
        "conv2d_winograd_taps", KERNELS.winograd_taps, sizeof(a), a.channels if a.swapped else a.filters, 0,
        <double> a.channels * a.filters * (RN_WINOGRAD_WEIGHTS * (a.splits - 1.0) + 90.0), 4.0 * (partial.size + dweight.size))
    g[0] = a
    plan.link(&g.partial, partial, READ)
    plan.link(&g.dweight, dweight, WRITE)
    if dbias is not None:
        plan.link(&g.dbias, dbias, WRITE)


cdef bint swaps_sides(Py_ssize_t channels, Py_ssize_t filters):
    """Whether filters lie in the lanes of the products instead of channels: where that takes fewer multiply-adds of vectors."""
    return channels * vectors_of(filters) < filters * vectors_of(channels)


cdef double vectors_of(Py_ssize_t columns):
    """The vectors of a product's columns; one alone takes longer than half of two, for which b is read once."""
    cdef Py_ssize_t vectors = divide_up(columns, KERNELS.lanes)
    return vectors + 0.25 * (vectors % 2)


cdef void cut_winograd_gradient(rn_winograd_gradient_args *a, Py_ssize_t places):
    """Fill in blocks, splits and units, from the sizes alone."""
    a.channel_blocks = divide_up(a.channels, LONGEST_BLOCK)
    a.channel_block = a.channels if a.channel_blocks == 1 else whole_lanes(divide_up(a.channels, a.channel_blocks))
    a.channel_blocks = divide_up(a.channels, a.channel_block)
    a.filter_block = divide_up(a.filters, divide_up(a.filters, LONGEST_BLOCK))
    a.filter_blocks = divide_up(a.filters, a.filter_block)
    a.splits = max(1, min(a.images, divide_up(WANTED_BLOCKS, a.channel_blocks * a.filter_blocks)))
    cdef Py_ssize_t floats = places * (whole_lanes(a.channel_block) + whole_lanes(a.filter_block))
    cdef Py_ssize_t tiles = max(WHOLE_UNIT_TILES, min(MOST_UNIT_TILES, MOST_IN_UNIT // floats))
    a.unit_rows = min(a.rows, max(1, tiles // a.columns))
    a.unit_images = 1
    if a.unit_rows == a.rows:
        a.unit_images = max(1, min(tiles // (a.rows * a.columns), divide_up(a.images, a.splits)))
