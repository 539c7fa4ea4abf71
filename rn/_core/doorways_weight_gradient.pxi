# Doorways of the gradient of convolutions by their weights.

cdef extern from "rn.h" nogil:
    enum:
        RN_WIDE_PANEL
        RN_SUM_BLOCK
        RN_DOT_FILTERS
        RN_WINDOW_LINES
    Py_ssize_t RN_ROW_LIST(Py_ssize_t count, Py_ssize_t tap_rows, Py_ssize_t tap_columns)

    ctypedef struct rn_weight_gradient_args:
        rn_window window
        const float *x
        const float *dy
        float *partial
        ptrdiff_t images
        ptrdiff_t groups
        ptrdiff_t channels
        ptrdiff_t filters
        ptrdiff_t splits
        ptrdiff_t channel_block
        ptrdiff_t channel_blocks
        ptrdiff_t filter_block
        ptrdiff_t filter_blocks
        ptrdiff_t block_rows
        ptrdiff_t block_columns
        ptrdiff_t ones
        ptrdiff_t joined_images
        ptrdiff_t filters_at_once
        rn_pool_args pool
        int with_bias
        int by_taps

    ctypedef struct rn_sum_splits_args:
        const float *partial
        float *dweight
        float *dbias
        ptrdiff_t groups
        ptrdiff_t rows
        ptrdiff_t filters
        ptrdiff_t splits
        int swapped

# Floats of partial sums of the gradient by weights, over all splits of the batch; and the number of splits.
cdef Py_ssize_t MOST_PARTIALS = 262144
cdef Py_ssize_t MOST_SPLITS = 16
# Rows of x (taps of channels) that are summed with pixels in the lanes, and filters at a time: their sums fill half a second
# cache.
cdef Py_ssize_t MOST_DOT_ROWS = 128
cdef Py_ssize_t MOST_DOT_FILTERS = 32
# Floats of planes that a pooling's gradient is spread over at a time: half a first cache; and that it may be at most.
cdef Py_ssize_t SPREAD_AT_ONCE = 6144
cdef Py_ssize_t MOST_SPREAD = 65536
# Pixels of a row that the lanes sum before they are added: in a longer chain the rounding of equal terms would add up.
cdef Py_ssize_t LONGEST_DOT = 2048
# Positions that are summed in one chain; pixels of images whose sums are joined before their lanes are added: rows of a tile
# stay in the first cache.
cdef Py_ssize_t MOST_POSITIONS = RN_KC * 3 // 4
cdef Py_ssize_t MOST_JOINED = 512
# Channels from which on each tap of a padded image is summed over the positions inside: fewer leave multipliers waiting.
cdef Py_ssize_t FEWEST_CHANNELS = 4


def conv2d_weight_gradient(Plan plan, Slot x, Slot dy, Slot dweight, *, Slot dbias=None, stride=(1, 1),
                           padding=((0, 0), (0, 0)), dilation=(1, 1), Py_ssize_t groups=1) -> None:
    """Record dweight = d loss / d weight of ``conv2d`` from dy = d loss / d y (before the activation); dbias if wanted.

    Shapes and options are those of ``conv2d``: dweight as weight, dbias as bias. The batch is summed in a number of splits
    that depends on sizes only, so the bits do not depend on threads.

    Raises ``ShapeError`` and ``OptionError`` as ``conv2d`` does.
    """
    cdef _Convolution conv = _Convolution(x, dweight, dy.shape, stride, padding, dilation, groups)
    check_weight_gradient(dweight, dbias, (x, dy))
    if takes_winograd_gradient(conv):
        record_winograd_gradient(plan, conv, x, dy, dweight, dbias)
        return
    cdef rn_depthwise_args *depthwise
    if takes_depthwise(conv):
        depthwise = record_depthwise(plan, "conv2d_weight_gradient", KERNELS.depthwise_weights, conv, conv.window(), True)
        plan.link(&depthwise.x, x, READ)
        plan.link(&depthwise.dy, dy, READ)
        plan.link(&depthwise.y, dweight, WRITE)
        if dbias is not None:
            plan.link(&depthwise.dbias, dbias, WRITE)
        return
    record_weight_gradient(plan, conv, x, dy, None, NULL, dweight, dbias)


def takes_taps(Slot x, Slot weight, *, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), Py_ssize_t groups=1) -> bool:
    """Return whether ``conv2d_weight_gradient_pooled`` takes this convolution, by one sample's shape. Raises as ``conv2d``."""
    return spreads_taps(_Convolution(x, weight, None, stride, padding, dilation, groups))


cdef bint spreads_taps(_Convolution conv):
    if takes_winograd_gradient(conv) or takes_depthwise(conv) or not takes_dots(conv) or is_one_row(conv):
        return False
    return RN_DOT_FILTERS * conv.grid[0] * conv.grid[1] <= MOST_SPREAD


def conv2d_weight_gradient_pooled(
        Plan plan, Slot x, Slot taps, Slot dpooled, Slot dweight, *, Slot dbias=None, stride=(1, 1), padding=((0, 0), (0, 0)),
        dilation=(1, 1), Py_ssize_t groups=1, pool_size, pool_stride, pool_padding=((0, 0), (0, 0))) -> None:
    """Record ``max_pool2d_gradient`` and ``conv2d_weight_gradient`` of a convolution that only max pooling reads, in one pass.

    The gradient by the convolution's output is never whole in memory. The same bits as one after the other give, but where
    windows lie in the lanes (`sums_windows`), which sum in another order and leave out pixels that no window reaches. ``taps``
    and ``dpooled``, the gradient by what was pooled, are as for ``max_pool2d_gradient``; the pool's options are named so, the
    others are the convolution's. Raises ``OptionError`` where ``takes_taps`` says no, else as the two do.
    """
    cdef _Convolution conv = _Convolution(x, dweight, None, stride, padding, dilation, groups)
    if not spreads_taps(conv):
        raise OptionError("this convolution's gradient by weights is not computed from taps (see takes_taps)")
    same_shape("dpooled", dpooled, "taps", taps)
    check_weight_gradient(dweight, dbias, (x, taps, dpooled))
    cdef rn_pool_args pool = pooling_of(
        "max_pool2d_gradient", conv.output(), dpooled.shape, pool_size, pool_stride, pool_padding)
    record_weight_gradient(plan, conv, x, dpooled, taps, &pool, dweight, dbias)


cdef bint sums_windows(_Convolution conv, const rn_pool_args *pool):
    """Whether windows of the pool lie in the lanes, and no gradient by the convolution's output is made at all."""
    cdef bint halves = pool.kh == pool.kw == pool.sh == pool.sw == 2 and pool.top == pool.left == 0
    cdef bint inside = 2 * pool.oh <= conv.grid[0] and 2 * pool.ow <= conv.grid[1]
    return halves and inside and conv.kernel[0] == conv.kernel[1] == 3 and fits_windows(conv)


cdef void check_weight_gradient(Slot dweight, Slot dbias, tuple read) except *:
    if dbias is not None and dbias.size != dweight.shape[0]:
        raise ShapeError(f"the gradient by bias of {dweight.shape[0]} filters has as many elements, not {dbias.size}")
    refuse_overlap("conv2d_weight_gradient", dweight, (*read, dbias))


cdef void record_weight_gradient(Plan plan, _Convolution conv, Slot x, Slot dy, Slot taps, const rn_pool_args *pool, Slot dweight,
                                 Slot dbias) except *:
    """Record the sums of splits of the batch, and that of these; with `pool` the gradient dy is that by what was pooled."""
    cdef rn_weight_gradient_args a
    memset(&a, 0, sizeof(a))
    a.window = conv.window()
    a.images, a.groups, a.channels, a.filters = conv.n, conv.groups, conv.channels, conv.filters
    a.with_bias = dbias is not None
    cdef bint dots = takes_dots(conv)
    cdef bint swapped = not dots and takes_swapped(conv, dbias is not None)
    if dots:
        cut_dots(&a, conv.flops(), is_one_row(conv))
    else:
        if swapped:
            a.channels, a.filters = conv.filters, conv.channels
        cut_weight_gradient(&a, conv.flops(), is_one_row(conv))
    cdef str kind = "_dots" if dots else "_swapped" if swapped else ""
    cdef rn_kernel kernel = KERNELS.weight_gradient_dots if dots else KERNELS.weight_gradient
    cdef Py_ssize_t floats, positions = conv.grid[0] * conv.grid[1]
    cdef double flops = conv.flops(), bytes = conv.bytes()
    if pool != NULL:
        a.pool = pool[0]
        flops += <double> dy.size * pool.kh * pool.kw
        bytes += 4.0 * (2.0 * dy.size - conv.outputs())
    if pool != NULL and sums_windows(conv, pool):
        kind, kernel = "_windows", KERNELS.weight_gradient_windows
        floats = window_gradient_scratch(&a)
    elif pool != NULL:
        kind = "_pooled"
        a.filters_at_once = min(a.filter_block, max(SPREAD_AT_ONCE // (RN_DOT_FILTERS * positions), 1) * RN_DOT_FILTERS)
        floats = gradient_scratch(&a, dots) + a.filters_at_once * positions + pool_scratch(pool) // 4
    else:
        floats = gradient_scratch(&a, dots)

    cdef Slot partial = plan.tensor((a.splits * a.groups * (gradient_rows(&a) + 1) * a.filters,))
    cdef rn_weight_gradient_args *call = <rn_weight_gradient_args *> plan.record(
        "conv2d_weight_gradient" + kind, kernel, sizeof(rn_weight_gradient_args),
        a.splits * a.groups * a.channel_blocks * a.filter_blocks, floats * sizeof(float), flops, bytes + 4.0 * partial.size)
    call[0] = a
    plan.link(&call.x, dy if swapped else x, READ)
    if pool == NULL:
        plan.link(&call.dy, x if swapped else dy, READ)
    else:
        plan.link(&call.pool.dy, dy, READ)
        plan.link(&call.pool.taps, taps, READ)
    plan.link(&call.partial, partial, WRITE)
    record_sum_splits(plan, &a, swapped, partial, dweight, dbias)


cdef void record_sum_splits(Plan plan, const rn_weight_gradient_args *a, bint swapped, Slot partial, Slot dweight,
                            Slot dbias) except *:
    """Record the sum of what the splits of the batch left in `partial`."""
    cdef Py_ssize_t rows = gradient_rows(a)
    cdef Py_ssize_t tiles = a.groups * divide_up(rows + a.with_bias, RN_SUM_BLOCK) * divide_up(a.filters, RN_SUM_BLOCK)
    cdef double weights = <double> a.groups * rows * a.filters
    cdef rn_sum_splits_args *s = <rn_sum_splits_args *> plan.record(
        "conv2d_sum_splits", KERNELS.sum_splits, sizeof(rn_sum_splits_args), tiles,
        RN_SUM_BLOCK * RN_SUM_BLOCK * sizeof(float), (a.splits - 1) * weights, 4.0 * (a.splits + 1) * weights)
    s.groups, s.rows, s.filters, s.splits = a.groups, rows, a.filters, a.splits
    s.swapped = swapped
    plan.link(&s.partial, partial, READ)
    plan.link(&s.dweight, dweight, WRITE)
    if dbias is not None:
        plan.link(&s.dbias, dbias, WRITE)


cdef Py_ssize_t gradient_rows(const rn_weight_gradient_args *a):
    """Taps of channels, each of which has a sum for each filter."""
    return a.channels * a.window.tap_rows * a.window.tap_columns


cdef Py_ssize_t gradient_scratch(const rn_weight_gradient_args *a, bint dots):
    """The floats that a tile needs: sums of lanes, or a panel of dy and a row of ones; the list of x's rows and of what taps see;
    the copy of padded pixels."""
    cdef const rn_window *w = &a.window
    cdef Py_ssize_t taps = w.tap_rows * w.tap_columns
    cdef Py_ssize_t floats = 16 * (gradient_rows(a) + 1) * a.filter_block if dots else a.ones + RN_KC * RN_WIDE_PANEL
    floats += RN_ROW_LIST(a.channel_block * taps, w.tap_rows, w.tap_columns) * <Py_ssize_t> (sizeof(ptrdiff_t) // sizeof(float))
    if w.padded and not a.by_taps:
        floats += a.channel_block * copied_width(a) * reach(a.block_rows, w.stride_y, w.tap_rows, w.tap_step_y)
        floats += RN_PANEL  # the copy writes whole vectors
    return floats


cdef Py_ssize_t window_gradient_scratch(const rn_weight_gradient_args *a):
    """The same where windows lie in the lanes."""
    cdef const rn_window *w = &a.window
    cdef Py_ssize_t floats = 16 * (gradient_rows(a) + 1) * a.filter_block + max(RN_WINDOW_LINES, window_lines(a.channels, w))
    return floats + copied_windows(a.channels, w, a.pool.oh, a.pool.ow) if w.padded else floats


cdef Py_ssize_t copied_width(const rn_weight_gradient_args *a):
    """The pixels of a row that a block of positions reads."""
    return reach(a.block_columns, a.window.stride_x, a.window.tap_columns, a.window.tap_step_x)


cdef bint takes_dots(_Convolution conv):
    """Whether the gradient by weights is summed with pixels in the lanes: by one sample's shape.

    Both ways are priced in multiply-adds of 16 lanes. Turning dy costs about as much as 12 of them for each vector; with pixels
    in the lanes the ends of rows leave some idle, and adding up the lanes costs about as much as 10.
    """
    cdef Py_ssize_t rows = conv.channels * conv.kernel[0] * conv.kernel[1] + 1, positions = conv.grid[0] * conv.grid[1]
    if conv.stride[1] != 1 or rows > MOST_DOT_ROWS:
        return False
    cdef double vectors = conv.grid[0] * divide_up(conv.grid[1], 16), adding = 10
    if is_one_row(conv):
        vectors, adding = divide_up(positions, 16), 10.0 / divide_up(MOST_JOINED, positions)
    cdef double by_dots = divide_up(conv.filters, RN_DOT_FILTERS) * RN_DOT_FILTERS * rows * (vectors + adding)
    return by_dots < divide_up(conv.filters, 16) * positions * (rows + 12)


cdef bint takes_swapped(_Convolution conv, bint with_bias):
    """Whether x is turned instead of dy: of whole planes either can be, and the smaller one costs less.

    The kernel then takes one for the other, and partial sums lie as the weights do. Not where a bias is trained, whose gradient
    takes a row of ones beside those of x.
    """
    return is_one_row(conv) and conv.channels < conv.filters and not with_bias


cdef bint is_one_row(_Convolution conv):
    """Whether each plane's pixels are read one after the other, as one row."""
    return (conv.kernel[0] == conv.kernel[1] == conv.stride[0] == conv.stride[1] == 1
            and conv.low[0] == conv.low[1] == conv.high[0] == conv.high[1] == 0)


cdef void lay_in_one_row(rn_window *w):
    """Take the planes as one row each."""
    w.width = w.grid_width = w.grid_height * w.grid_width
    w.height = w.grid_height = 1


cdef void cut_dots(rn_weight_gradient_args *a, double flops, bint one_row):
    """Fill in splits and blocks of the sums with pixels in the lanes, from the sizes alone."""
    cdef rn_window *w = &a.window
    cdef Py_ssize_t wanted = <Py_ssize_t> max(1.0, min(<double> WANTED_TILES, flops / TILE_FLOPS))
    a.filter_block = even_block(a.filters, divide_up(a.filters, MOST_DOT_FILTERS), RN_DOT_FILTERS)
    a.filter_blocks = max(divide_up(a.filters, a.filter_block), 1)
    a.joined_images = 1
    if one_row:
        lay_in_one_row(w)
        a.joined_images = max(1, MOST_JOINED // max(w.width, 1))
        wanted = divide_up(wanted, a.groups * a.filter_blocks)
    a.splits = max(1, min(min(a.images, MOST_SPLITS), wanted))
    a.channel_block, a.channel_blocks = a.channels, 1
    a.filters_at_once = a.filter_block
    a.block_columns = even_block(w.grid_width, divide_up(w.grid_width, LONGEST_DOT), 16)
    cdef Py_ssize_t row = a.channels * w.stride_y * reach(a.block_columns, w.stride_x, w.tap_columns, w.tap_step_x)
    a.block_rows = even_block(w.grid_height, divide_up(row * w.grid_height, MOST_PLANE_COPIED), 1)


cdef void cut_weight_gradient(rn_weight_gradient_args *a, double flops, bint one_row):
    """Fill in splits and blocks, from the sizes alone."""
    cdef rn_window *w = &a.window
    if one_row:
        lay_in_one_row(w)
    cdef Py_ssize_t rows = a.channels * w.tap_rows * w.tap_columns
    cdef Py_ssize_t wanted = <Py_ssize_t> max(1.0, min(<double> WANTED_TILES, flops / TILE_FLOPS))
    # Splits of the batch cost memory; blocks of filters a copy of x each, blocks of channels the packing of dy each.
    cdef Py_ssize_t partials = max(a.groups * (rows + 1) * a.filters, 1)
    a.splits = max(1, min(min(a.images, MOST_SPLITS), min(wanted, MOST_PARTIALS // partials)))
    cdef Py_ssize_t tiles = a.splits * a.groups
    a.filter_block = even_block(a.filters, min(a.filters // 64, divide_up(wanted, tiles)), RN_PANEL)
    a.filter_blocks = max(divide_up(a.filters, a.filter_block), 1)
    tiles *= a.filter_blocks
    a.channel_block = even_block(a.channels, max(min(rows // 96, (wanted + tiles // 2) // tiles), rows // 1024), 1)
    a.channel_blocks = max(divide_up(a.channels, a.channel_block), 1)
    a.block_columns = min(w.grid_width, RN_KC)
    a.block_rows = even_block(w.grid_height, divide_up(w.grid_height, max(1, MOST_POSITIONS // a.block_columns)), 1)
    a.by_taps = w.padded and a.channel_block >= FEWEST_CHANNELS
    cdef Py_ssize_t pitch = copied_width(a) if w.padded and not a.by_taps else w.width
    a.ones = (a.block_rows - 1) * w.stride_y * pitch + (a.block_columns - 1) * w.stride_x + 1
