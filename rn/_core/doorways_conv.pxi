# Doorways of convolutions.

cdef extern from "rn.h" nogil:
    enum:
        RN_COLLECTED
    Py_ssize_t RN_TAP_LIST(Py_ssize_t k, Py_ssize_t tap_rows, Py_ssize_t tap_columns)
    Py_ssize_t RN_LINES(Py_ssize_t tap_columns)

    ctypedef struct rn_window:
        ptrdiff_t height
        ptrdiff_t width
        ptrdiff_t grid_height
        ptrdiff_t grid_width
        ptrdiff_t stride_y
        ptrdiff_t stride_x
        ptrdiff_t tap_rows
        ptrdiff_t tap_columns
        ptrdiff_t first_y
        ptrdiff_t first_x
        ptrdiff_t tap_step_y
        ptrdiff_t tap_step_x
        int padded

    ctypedef struct rn_convolve_args:
        rn_window window
        rn_window beside
        const float *source
        const float *weight
        const float *weight_beside
        const float *bias
        float *out
        ptrdiff_t images
        ptrdiff_t groups
        ptrdiff_t channels
        ptrdiff_t rows
        ptrdiff_t out_plane
        ptrdiff_t out_row
        ptrdiff_t out_column
        ptrdiff_t out_first
        ptrdiff_t block
        ptrdiff_t blocks
        rn_pool_args pool
        int phases
        int in_place
        int colliding
        int scattered
        int weight_packed
        int pooled
        int activation
        float alpha

    ctypedef struct rn_turn_weights_args:
        const float *weight
        float *turned
        ptrdiff_t filters
        ptrdiff_t channels
        ptrdiff_t height
        ptrdiff_t width
        ptrdiff_t tap_rows
        ptrdiff_t tap_columns
        ptrdiff_t first_row
        ptrdiff_t first_column
        ptrdiff_t step_row
        ptrdiff_t step_column

    ctypedef struct rn_pack_filters_args:
        const float *weight
        float *packed
        ptrdiff_t rows
        ptrdiff_t channels
        ptrdiff_t tap_rows
        ptrdiff_t tap_columns
        ptrdiff_t group_step
        ptrdiff_t row_step
        ptrdiff_t channel_step
        ptrdiff_t first
        ptrdiff_t tap_row_step
        ptrdiff_t tap_column_step
        int contiguous

# Of a convolution with windows of a pool in the lanes: the most channels and products, for more take longer than what follows
# them; and the shortest row of outputs, for several rows in a vector take long to pack.
cdef Py_ssize_t MOST_WINDOW_CHANNELS = 4
cdef Py_ssize_t MOST_WINDOW_PRODUCTS = 200  # below RN_KC, so that the two passes sum them in one chain too
cdef Py_ssize_t SHORTEST_WINDOW_ROW = 16
# Floats that the part of an image that a tile reads, or the block of a scattered or pooled output, should stay below: a quarter
# of a second cache.
cdef Py_ssize_t MOST_COPIED = 65536


cdef class _Convolution:
    """The sizes of a convolution, checked; shapes as in ``conv2d``, y's or None. Pairs are (rows, columns)."""

    cdef Py_ssize_t n, groups, channels, filters  # channels and filters of one group
    cdef Py_ssize_t[2] image, kernel, grid, stride, dilation
    cdef Py_ssize_t[2] low, high  # padding: (top, left) and (bottom, right)

    def __cinit__(self, Slot x, Slot weight, tuple y, stride, padding, dilation, Py_ssize_t groups):
        cdef Py_ssize_t filters = weight.shape[0]
        if groups < 1 or x.shape[1] % groups or filters % groups:
            raise OptionError(f"groups divide the channels of x and weight, {x.shape[1]} and {filters}; {groups} do not")
        self.n = x.shape[0]
        self.groups = groups
        self.channels = x.shape[1] // groups
        self.filters = filters // groups
        if weight.shape[1] != self.channels:
            raise ShapeError(
                f"weights of shape {weight.shape} take {weight.shape[1]} channels a group, "
                f"but x of shape {x.shape} has {self.channels}")
        (self.stride[0], self.stride[1]), (self.dilation[0], self.dilation[1]) = stride, dilation
        (self.low[0], self.high[0]), (self.low[1], self.high[1]) = padding
        cdef int axis
        for axis in range(2):
            self.image[axis] = x.shape[2 + axis]
            self.kernel[axis] = weight.shape[2 + axis]
            if min(self.stride[axis], self.dilation[axis], self.kernel[axis]) < 1 or min(self.low[axis], self.high[axis]) < 0:
                raise OptionError(
                    f"kernel, stride and dilation are at least 1 and padding at least 0, got kernel {weight.shape[2:]}, "
                    f"stride {stride}, dilation {dilation}, padding {padding}")
            length = self.image[axis] + self.low[axis] + self.high[axis]
            reached = self.dilation[axis] * (self.kernel[axis] - 1) + 1
            if reached > length:
                raise ShapeError(
                    f"a kernel of {weight.shape[2:]}, dilation {dilation}, is larger than the image of {x.shape[2:]} "
                    f"with padding {padding}")
            self.grid[axis] = (length - reached) // self.stride[axis] + 1
        expected = self.output()
        if y is not None and y != expected:
            raise ShapeError(f"x {x.shape} convolved with weights {weight.shape} has shape {expected}, not {y}")

    cdef tuple output(self):
        return self.n, self.groups * self.filters, self.grid[0], self.grid[1]

    cdef double outputs(self):
        """How many numbers come out, in all."""
        return <double> self.n * self.groups * self.filters * self.grid[0] * self.grid[1]

    cdef double flops(self):
        return 2.0 * self.outputs() * self.channels * self.kernel[0] * self.kernel[1]

    cdef double bytes(self):
        cdef double x = <double> self.n * self.groups * self.channels * self.image[0] * self.image[1]
        cdef double weights = <double> self.groups * self.filters * self.channels * self.kernel[0] * self.kernel[1]
        return 4.0 * (x + self.outputs() + weights)

    cdef rn_window window(self):
        """How an output's taps reach into x."""
        cdef rn_window w
        w.height, w.width = self.image[0], self.image[1]
        w.grid_height, w.grid_width = self.grid[0], self.grid[1]
        w.stride_y, w.stride_x = self.stride[0], self.stride[1]
        w.tap_rows, w.tap_columns = self.kernel[0], self.kernel[1]
        w.first_y, w.first_x = -self.low[0], -self.low[1]
        w.tap_step_y, w.tap_step_x = self.dilation[0], self.dilation[1]
        w.padded = leaves_image(&w)
        return w


cdef bint leaves_axis(Py_ssize_t length, Py_ssize_t grid, Py_ssize_t stride, Py_ssize_t taps, Py_ssize_t first,
                      Py_ssize_t step):
    cdef Py_ssize_t last = first + max(taps - 1, 0) * step
    return min(first, last) < 0 or (grid - 1) * stride + max(first, last) >= length


cdef bint leaves_image(const rn_window *w):
    """Whether some tap of some position lies outside the image."""
    return (leaves_axis(w.height, w.grid_height, w.stride_y, w.tap_rows, w.first_y, w.tap_step_y)
            or leaves_axis(w.width, w.grid_width, w.stride_x, w.tap_columns, w.first_x, w.tap_step_x))


cdef Py_ssize_t reach(Py_ssize_t length, Py_ssize_t stride, Py_ssize_t taps, Py_ssize_t step):
    """How many rows (columns) of an image the taps of `length` rows (columns) of the grid reach over."""
    return (length - 1) * stride + max(taps - 1, 0) * abs(step) + 1


# How a convolution is computed. "pixels" and "filters" are the direct form, by what lies in the lanes of vectors.
cdef enum ConvForm:
    DIRECT_PIXELS
    DIRECT_FILTERS
    DEPTHWISE
    WINOGRAD_TILES

# By ConvForm; the ends of the kernels' names.
cdef tuple FORM_NAMES = ("_direct_pixels", "_direct_filters", "_depthwise", "_winograd")
# What is not a product, in multiply-adds of 16 lanes: turning an output's filters, and packing a pixel's product.
cdef Py_ssize_t TURNING = 16
cdef Py_ssize_t PACKING = 8
# How much longer filters in the lanes take where vectors are short, and a tile has 6 pixels: in a padded image, since finding
# out which of their taps lie beside it takes as long as some of them; and in one of more floats than stay in the first cache,
# for each tile reads lines of all its channels. So measured on Zen 3, forward, images of 8 x 8 to 32 x 32.
cdef double SHORT_TILES = 1.125
cdef Py_ssize_t NEAR_IMAGE = 8192


cdef bint takes_depthwise(_Convolution conv):
    """Whether each channel has one filter of its own, of no more taps than are summed in one chain."""
    return conv.groups > 1 and conv.channels == conv.filters == 1 and conv.kernel[0] * conv.kernel[1] <= KC


cdef ConvForm form_of(_Convolution conv, bint gradient):
    """How ``conv``, or its gradient by input, is computed: a matter of one sample's shape, the Winograd setting and the
    length of vectors."""
    cdef Py_ssize_t outputs = conv.channels if gradient else conv.filters
    cdef Py_ssize_t inputs = conv.filters if gradient else conv.channels
    if takes_winograd(conv, gradient):
        return WINOGRAD_TILES
    if takes_depthwise(conv) and not (gradient and max(conv.stride[0], conv.stride[1]) > 1):
        return DEPTHWISE
    if not gradient and conv.stride[1] > 2:
        return DIRECT_PIXELS
    cdef Py_ssize_t products = inputs * conv.kernel[0] * conv.kernel[1], positions = conv.grid[0] * conv.grid[1]
    if gradient:  # each of the phases has its share of the taps and of the pixels
        products = inputs * divide_up(conv.kernel[0], conv.stride[0]) * divide_up(conv.kernel[1], conv.stride[1])
        positions = divide_up(conv.image[0], conv.stride[0]) * divide_up(conv.image[1], conv.stride[1])
    cdef double by_filters = <double> divide_up(outputs, 16) * positions * (products + TURNING)
    cdef rn_window w = conv.window()
    cdef bint near = conv.channels * conv.image[0] * conv.image[1] <= NEAR_IMAGE
    if NARROW and not gradient and (w.padded or not near):
        by_filters *= SHORT_TILES
    cdef double by_pixels = <double> divide_up(positions, 16) * products * (outputs + (0 if is_in_place(conv) else PACKING))
    return DIRECT_FILTERS if by_filters <= by_pixels else DIRECT_PIXELS


cdef bint is_in_place(_Convolution conv):
    """Whether a vector of pixels can be read where it lies, whatever the output."""
    return is_one_row(conv) and conv.grid[0] * conv.grid[1] <= LONGEST_IN_PLACE


cdef Py_ssize_t blocks_of_image(Py_ssize_t images, double flops):
    """How many blocks an image is cut into, of so many images: for enough tiles, none of which has too little to do; or 0."""
    cdef Py_ssize_t tiles = max(images, 1)
    return <Py_ssize_t> min(<double> divide_up(WANTED_TILES, tiles), flops / tiles / TILE_FLOPS)


cdef rn_convolve_args *record_convolve(Plan plan, str name, ConvForm form, const rn_convolve_args *wanted, double flops,
                                       double bytes) except NULL:
    """Record a direct convolution of the sizes in `wanted`, cut into blocks; the caller links the pointers."""
    cdef rn_convolve_args a = wanted[0]
    cdef rn_window *w = &a.window
    cdef Py_ssize_t positions = w.grid_height * w.grid_width, taps = w.tap_rows * w.tap_columns
    cdef bint filters_in_lanes = form == DIRECT_FILTERS
    a.scattered = not (a.out_column == 1 and a.out_row == w.grid_width)
    a.in_place = taps == 1 and not w.padded and w.stride_y == w.stride_x == 1 and w.grid_width == w.width
    cdef bint whole_planes = a.in_place and w.height == w.grid_height
    if whole_planes and filters_in_lanes and not a.scattered:  # nothing lies between the rows: they are one
        w.height = w.grid_height = 1
        w.width = w.grid_width = a.out_row = positions
    a.in_place = a.in_place and positions <= LONGEST_IN_PLACE
    a.colliding = a.in_place and a.rows >= MANY_FILTERS and collides(w.height * w.width, min(a.channels, KC))
    a.weight_packed = taps > 0 and a.channels * taps % 1024 == 0 and positions >= 64

    # Few blocks: the offsets of taps, and the weights where they are packed, are made for each.
    cdef Py_ssize_t copied_channels = min(a.channels, (KC - 1) // max(taps, 1) + 2)
    cdef Py_ssize_t copied_width = reach(w.grid_width, w.stride_x, w.tap_columns, w.tap_step_x)
    cdef Py_ssize_t blocks = blocks_of_image(a.images * a.groups, flops)
    blocks = max(blocks, divide_up(positions, 4096))
    if filters_in_lanes:
        blocks = max(blocks, a.channels * w.height * w.width // MOST_COPIED)
    elif w.padded:
        blocks = max(blocks, copied_channels * copied_width * w.grid_height * w.stride_y // MOST_COPIED)
    if a.scattered and not filters_in_lanes:
        blocks = max(blocks, a.rows * positions // MOST_COPIED)
    a.block = even_block(positions, blocks, w.grid_width if filters_in_lanes and w.grid_height > 1 else RN_PANEL)
    if a.pooled:
        a.block = positions
    a.blocks = divide_up(positions, a.block)

    cdef Py_ssize_t products = a.channels * taps, offsets = KC
    if filters_in_lanes:
        offsets = RN_TAP_LIST(products, w.tap_rows, w.tap_columns)
        if a.phases == 2:
            products = a.channels * a.beside.tap_rows * a.beside.tap_columns
            offsets += RN_TAP_LIST(products, a.beside.tap_rows, a.beside.tap_columns)
    cdef Py_ssize_t scratch = a.phases * RN_COLLECTED * RN_PANEL if filters_in_lanes else KC * RN_PAIR, grid_rows
    if a.weight_packed and not filters_in_lanes:
        scratch += a.rows * KC
    if (a.scattered or a.pooled) and not filters_in_lanes:
        scratch += a.rows * a.block
    if w.padded and not filters_in_lanes:
        grid_rows = min(w.grid_height, (a.block - 1) // w.grid_width + 2)
        scratch += copied_channels * copied_width * reach(grid_rows, w.stride_y, w.tap_rows, w.tap_step_y)
        scratch += RN_PANEL  # the copy writes whole vectors
    cdef rn_kernel kernel = KERNELS.convolve_filters if filters_in_lanes else KERNELS.convolve
    cdef rn_convolve_args *call = <rn_convolve_args *> plan.record(
        name + FORM_NAMES[<int> form] + ("_pooled" if a.pooled else ""), kernel,
        sizeof(rn_convolve_args), a.images * a.groups * a.blocks, offsets * sizeof(ptrdiff_t) + scratch * sizeof(float), flops,
        bytes)
    call[0] = a
    return call


cdef rn_convolve_args *record_windows(Plan plan, const rn_convolve_args *wanted, double flops, double bytes) except NULL:
    """Record a convolution that is pooled in registers, cut into blocks of rows of windows; the caller links the pointers."""
    cdef rn_window w = wanted.window
    cdef Py_ssize_t images = wanted.images * wanted.groups, windows = wanted.pool.oh
    cdef Py_ssize_t blocks = blocks_of_image(images, flops)
    if w.padded:
        blocks = max(blocks, copied_windows(wanted.channels, &w, windows, wanted.pool.ow) // MOST_COPIED)
    cdef Py_ssize_t block = even_block(windows, blocks, 1), scratch = window_lines(wanted.channels, &w)
    if w.padded:
        scratch += copied_windows(wanted.channels, &w, block, wanted.pool.ow)
    cdef rn_convolve_args *a = <rn_convolve_args *> plan.record(
        "conv2d_direct_windows_pooled", KERNELS.convolve_pooled, sizeof(rn_convolve_args), images * divide_up(windows, block),
        scratch * sizeof(float), flops, bytes)
    a[0] = wanted[0]
    a.block, a.blocks = block, divide_up(windows, block)
    return a


cdef Py_ssize_t window_lines(Py_ssize_t channels, const rn_window *w):
    """The floats of the lines of a vector of windows, on vectors of any length."""
    return channels * (w.tap_rows + 1) * RN_LINES(w.tap_columns) * RN_PANEL // 2


cdef Py_ssize_t copied_windows(Py_ssize_t channels, const rn_window *w, Py_ssize_t rows, Py_ssize_t columns):
    """The floats of a padded image's part for windows of 2 x 2, and of two vectors behind it, which are read."""
    cdef Py_ssize_t high = reach(2 * rows, w.stride_y, w.tap_rows, w.tap_step_y)
    return channels * high * reach(2 * columns, w.stride_x, w.tap_columns, w.tap_step_x) + RN_PANEL


cdef Slot packed_filters(Plan plan, Slot weight, rn_pack_filters_args wanted, Py_ssize_t groups):
    """Record the weights' way into the order of filters in the lanes, and return where they then are.

    Of weights that belong to somebody, or were made of such, the packing holds until they are written.
    """
    cdef Py_ssize_t panels = groups * divide_up(wanted.rows, RN_PANEL)
    cdef Py_ssize_t size = panels * RN_PANEL * wanted.channels * wanted.tap_rows * wanted.tap_columns
    cdef Slot packed = plan.tensor((size,))
    if weight.root.owner is not None or weight.root.prepared:
        with plan.prepare():
            record_pack_filters(plan, weight, packed, wanted, panels)
    else:
        record_pack_filters(plan, weight, packed, wanted, panels)
    return packed


cdef void record_pack_filters(Plan plan, Slot weight, Slot packed, rn_pack_filters_args wanted, Py_ssize_t panels) except *:
    """Record the packing itself."""
    cdef rn_pack_filters_args *a = <rn_pack_filters_args *> plan.record(
        "conv2d_pack_filters", KERNELS.pack_filters, sizeof(rn_pack_filters_args), panels, 0, 0.0, 8.0 * packed.size)
    a[0] = wanted
    plan.link(&a.weight, weight, READ)
    plan.link(&a.packed, packed, WRITE)


cdef void check_bias(Slot bias, Py_ssize_t filters) except *:
    if bias is not None and bias.size != filters:
        raise ShapeError(f"a bias of {filters} filters has as many elements, not {bias.size}")


def conv2d(Plan plan, Slot x, Slot weight, Slot y, *, Slot bias=None, stride=(1, 1), padding=((0, 0), (0, 0)),
           dilation=(1, 1), Py_ssize_t groups=1, str activation="linear", float alpha=0.0) -> None:
    """Record y = act(x * weight + bias), the convolution (cross-correlation) of images.

    ``y[n, m, i, j] = act(sum over c, u, v of weight[m, c, u, v] x[n, c, i s + u d - p, j s + v d - p] + bias[m])``

    x (n, c, h, w), weight (filters, c / groups, kh, kw), bias (filters), y (n, filters, oh, ow) with
    oh = (h + top + bottom - d (kh - 1) - 1) // s + 1 and ow likewise. ``stride`` s and ``dilation`` d are (rows, columns),
    ``padding`` p is ((top, bottom), (left, right)) zeros. With groups, filters and channels fall into that many parts that
    know nothing of each other. ``activation`` and ``alpha`` are those of ``activate``.

    The bits of a sample's output depend neither on the batch nor on threads.

    Raises ``ShapeError`` where shapes do not fit or the kernel is larger than the padded image, ``OptionError`` for options
    out of range and for a ``y`` that is also an input.
    """
    cdef _Convolution conv = _Convolution(x, weight, y.shape, stride, padding, dilation, groups)
    cdef int code = activation_code(activation)
    check_bias(bias, weight.shape[0])
    refuse_overlap("conv2d", y, (x, weight, bias))
    cdef rn_winograd_args *winograd
    cdef ConvForm form = form_of(conv, False)
    if form == WINOGRAD_TILES:
        winograd = record_winograd(plan, "conv2d", conv, weight, False)
        winograd.activation, winograd.alpha = code, alpha
        plan.link(&winograd.x, x, READ)
        plan.link(&winograd.y, y, WRITE)
        if bias is not None:
            plan.link(&winograd.bias, bias, READ)
        return
    cdef rn_depthwise_args *depthwise
    if form == DEPTHWISE:
        depthwise = record_depthwise(plan, "conv2d", KERNELS.depthwise, conv, conv.window(), False)
        depthwise.activation, depthwise.alpha = code, alpha
        plan.link(&depthwise.x, x, READ)
        plan.link(&depthwise.weight, weight, READ)
        plan.link(&depthwise.y, y, WRITE)
        if bias is not None:
            plan.link(&depthwise.bias, bias, READ)
        return
    cdef rn_convolve_args wanted = forward_sizes(conv)
    wanted.activation = code
    wanted.alpha = alpha
    cdef Slot weights = forward_filters(plan, conv, weight) if form == DIRECT_FILTERS else weight
    cdef rn_convolve_args *a = record_convolve(plan, "conv2d", form, &wanted, conv.flops(), conv.bytes())
    plan.link(&a.source, x, READ)
    plan.link(&a.weight, weights, READ)
    plan.link(&a.out, y, WRITE)
    if bias is not None:
        plan.link(&a.bias, bias, READ)


def pools_at_once(Slot x, Slot weight, *, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), Py_ssize_t groups=1,
                  pool_size, pool_stride, pool_padding=((0, 0), (0, 0))) -> bool:
    """Return whether ``conv2d_max_pool`` takes this convolution and pool, by their shapes alone. Raises as ``conv2d``."""
    cdef _Convolution conv = _Convolution(x, weight, None, stride, padding, dilation, groups)
    return puts_pooled(conv, pool_size, pool_stride, pool_padding)


cdef bint are_halves(size, stride, padding):
    """Whether windows are 2 x 2, side by side."""
    return (size, stride, padding) == ((2, 2), (2, 2), ((0, 0), (0, 0)))


cdef bint fits_windows(_Convolution conv):
    """Whether windows of 2 x 2 side by side may lie in the lanes, and the outputs that they pool leave no registers.

    For few products, next to which writing outputs aside and pooling them takes long.
    """
    if max(conv.stride[0], conv.stride[1], conv.dilation[0], conv.dilation[1]) > 1:
        return False
    return (conv.channels <= MOST_WINDOW_CHANNELS and conv.grid[1] >= SHORTEST_WINDOW_ROW
            and conv.channels * conv.kernel[0] * conv.kernel[1] <= MOST_WINDOW_PRODUCTS)


cdef bint takes_windows(_Convolution conv, size, stride, padding):
    """Whether that is how a convolution and the max pooling after it are computed."""
    return are_halves(size, stride, padding) and form_of(conv, False) <= DIRECT_FILTERS and fits_windows(conv)


cdef bint puts_pooled(_Convolution conv, size, stride, padding):
    """Whether one kernel does both.

    In Winograd's form for windows of 2 x 2 side by side, which lie in its tiles of 4 x 4 and 2 x 2 outputs; directly with windows
    in the lanes where these are taken; directly with pixels in the lanes for all windows, where a tile is a whole image whose
    outputs stay in the second cache.
    """
    cdef ConvForm form = form_of(conv, False)
    if form == WINOGRAD_TILES:
        return (are_halves(size, stride, padding) and min(conv.grid[0], conv.grid[1]) > 1
                and conv.dilation[0] == conv.dilation[1] == 1)
    if takes_windows(conv, size, stride, padding):
        return True
    cdef Py_ssize_t images = max(conv.n * conv.groups, 1)
    cdef rn_window w = conv.window()
    if w.padded and conv.channels * conv.image[0] * conv.image[1] > MOST_COPIED:
        return False
    return (form == DIRECT_PIXELS and conv.filters * conv.grid[0] * conv.grid[1] <= MOST_COPIED
            and (images >= WANTED_TILES or conv.flops() / images < 2.0 * TILE_FLOPS))


def conv2d_max_pool(
        Plan plan, Slot x, Slot weight, Slot pooled, *, Slot bias=None, Slot taps=None, bint relu=False, stride=(1, 1),
        padding=((0, 0), (0, 0)), dilation=(1, 1), Py_ssize_t groups=1, pool_size, pool_stride,
        pool_padding=((0, 0), (0, 0))) -> None:
    """Record ``conv2d``, with the activation ReLU or none, and ``max_pool2d`` of its output, which is never whole in memory.

    The same bits as one after the other give, of finite weights. ``pooled`` and ``taps`` are the results of ``max_pool2d``,
    taps being those with ``relu`` where that is given; the pool's options are named so, the others are those of ``conv2d``.
    Raises ``OptionError`` where ``pools_at_once`` says no, else as the two do.
    """
    cdef _Convolution conv = _Convolution(x, weight, None, stride, padding, dilation, groups)
    if not puts_pooled(conv, pool_size, pool_stride, pool_padding):
        raise OptionError("this convolution is not pooled at once (see pools_at_once)")
    cdef rn_pool_args pool = pooling_of("max_pool2d", conv.output(), pooled.shape, pool_size, pool_stride, pool_padding)
    check_bias(bias, weight.shape[0])
    refuse_overlap("conv2d_max_pool", pooled, (x, weight, bias, taps))
    if taps is not None:
        same_shape("taps", taps, "pooled", pooled)
        refuse_overlap("conv2d_max_pool", taps, (x, weight, bias))
    cdef rn_winograd_args *winograd
    if form_of(conv, False) == WINOGRAD_TILES:
        winograd = record_winograd(plan, "conv2d", conv, weight, False, pooled, results_of(pooled, taps))
        winograd.activation, winograd.pooled = RN_RELU if relu else RN_LINEAR, True
        plan.link(&winograd.x, x, READ)
        plan.link(&winograd.y, pooled, WRITE)
        if taps is not None:
            plan.link(&winograd.pool_taps, taps, WRITE)
        if bias is not None:
            plan.link(&winograd.bias, bias, READ)
        return
    cdef rn_convolve_args wanted = forward_sizes(conv)
    wanted.activation = RN_RELU if relu else RN_LINEAR
    pool.relu = relu
    wanted.pool, wanted.pooled = pool, True
    cdef double flops = conv.flops() + <double> pooled.size * pool.kh * pool.kw
    cdef double bytes = conv.bytes() + 4.0 * (results_of(pooled, taps) - conv.outputs())
    cdef rn_convolve_args *a
    if takes_windows(conv, pool_size, pool_stride, pool_padding):
        a = record_windows(plan, &wanted, flops, bytes)
    else:
        a = record_convolve(plan, "conv2d", DIRECT_PIXELS, &wanted, flops, bytes)
    plan.link(&a.source, x, READ)
    plan.link(&a.weight, weight, READ)
    plan.link(&a.pool.result, pooled, WRITE)
    if taps is not None:
        plan.link(&a.pool.taps, taps, WRITE)
    if bias is not None:
        plan.link(&a.bias, bias, READ)


cdef double results_of(Slot pooled, Slot taps):
    """The numbers that pooling writes."""
    return <double> pooled.size * (1 if taps is None else 2)


cdef rn_convolve_args forward_sizes(_Convolution conv):
    cdef rn_convolve_args a
    memset(&a, 0, sizeof(a))
    a.window, a.phases = conv.window(), 1
    a.images, a.groups, a.channels, a.rows = conv.n, conv.groups, conv.channels, conv.filters
    a.out_plane, a.out_row, a.out_column = conv.grid[0] * conv.grid[1], conv.grid[1], 1
    return a


cdef Slot forward_filters(Plan plan, _Convolution conv, Slot weight):
    """Record the packing of the weights as they are."""
    cdef Py_ssize_t taps = conv.kernel[0] * conv.kernel[1], products = conv.channels * taps
    return packed_filters(plan, weight, rn_pack_filters_args(
        NULL, NULL, conv.filters, conv.channels, conv.kernel[0], conv.kernel[1], conv.filters * products, products, taps, 0,
        conv.kernel[1], 1, True), conv.groups)


cdef Slot phase_filters(Plan plan, _Convolution conv, Slot weight, PhaseTaps down, PhaseTaps across):
    """Record the packing of a phase's weights, where channels are what comes out."""
    cdef Py_ssize_t taps = conv.kernel[0] * conv.kernel[1], products = conv.channels * taps
    return packed_filters(plan, weight, rn_pack_filters_args(
        NULL, NULL, conv.channels, conv.filters, down.count, across.count, conv.filters * products, taps, products,
        down.first * conv.kernel[1] + across.first, down.step * conv.kernel[1], across.step, False), conv.groups)


cdef Slot turned_weights(Plan plan, _Convolution conv, Slot weight, PhaseTaps down, PhaseTaps across):
    """Record the turning of a phase's weights."""
    cdef Py_ssize_t size = conv.groups * conv.channels * conv.filters * down.count * across.count
    cdef Slot turned = plan.tensor((size,))
    cdef rn_turn_weights_args *t = <rn_turn_weights_args *> plan.record(
        "conv2d_turn_weights", KERNELS.turn_weights, sizeof(rn_turn_weights_args), conv.groups * conv.channels, 0, 0.0,
        8.0 * size)
    t.filters, t.channels = conv.filters, conv.channels
    t.height, t.width = conv.kernel[0], conv.kernel[1]
    t.tap_rows, t.tap_columns = down.count, across.count
    t.first_row, t.first_column = down.first, across.first
    t.step_row, t.step_column = down.step, across.step
    plan.link(&t.weight, weight, READ)
    plan.link(&t.turned, turned, WRITE)
    return turned


def conv2d_input_gradient(Plan plan, Slot dy, Slot weight, Slot dx, *, stride=(1, 1), padding=((0, 0), (0, 0)),
                          dilation=(1, 1), Py_ssize_t groups=1) -> None:
    """Record dx = d loss / d x of ``conv2d`` from dy = d loss / d y (of the convolution, before its activation).

    Shapes and options are those of ``conv2d``: dx as x, dy as y. Pixels of x fall into stride rows times stride columns
    phases; the gradient of each is a convolution of dy, at stride 1, with the taps that meet it.

    Raises ``ShapeError`` and ``OptionError`` as ``conv2d`` does.
    """
    cdef _Convolution conv = _Convolution(dx, weight, dy.shape, stride, padding, dilation, groups)
    refuse_overlap("conv2d_input_gradient", dx, (dy, weight))
    record_transposed(plan, "conv2d_input_gradient", conv, dy, weight, dx, None, RN_LINEAR, 0.0)


def conv2d_transpose(Plan plan, Slot x, Slot weight, Slot y, *, Slot bias=None, stride=(1, 1), padding=((0, 0), (0, 0)),
                     dilation=(1, 1), Py_ssize_t groups=1, str activation="linear", float alpha=0.0) -> None:
    """Record y = act(the transposed convolution of x + bias): what ``conv2d_input_gradient`` makes of dy = x.

    x (n, channels, h, w), weight (channels, filters / groups, kh, kw), bias (filters), y (n, filters, oh, ow) of a size that
    ``conv2d`` with these options takes to h x w: (h - 1) s - top - bottom + d (kh - 1) + 1 rows and up to s - 1 more, columns
    likewise. ``conv2d_weight_gradient`` with y's gradient for x, and x for dy, gives the gradient by weight; ``conv2d`` of y's
    gradient that by x. Raises as ``conv2d`` does.
    """
    cdef _Convolution conv = _Convolution(y, weight, x.shape, stride, padding, dilation, groups)
    cdef int code = activation_code(activation)
    check_bias(bias, y.shape[1])
    refuse_overlap("conv2d_transpose", y, (x, weight, bias))
    record_transposed(plan, "conv2d_transpose", conv, x, weight, y, bias, code, alpha)


cdef void record_transposed(Plan plan, str name, _Convolution conv, Slot dy, Slot weight, Slot dx, Slot bias, int activation,
                            float alpha) except *:
    """Record dx = act(conv transposed, of dy, + bias)."""
    cdef rn_winograd_args *winograd
    cdef rn_convolve_args *phase
    cdef Slot turned
    cdef ConvForm form = form_of(conv, True)
    if form == WINOGRAD_TILES:
        winograd = record_winograd(plan, name, conv, weight, True)
        winograd.activation, winograd.alpha = activation, alpha
        plan.link(&winograd.x, dy, READ)
        plan.link(&winograd.y, dx, WRITE)
        if bias is not None:
            plan.link(&winograd.bias, bias, READ)
        return
    cdef rn_depthwise_args *depthwise
    cdef PhaseTaps down, across
    if form == DEPTHWISE:
        down, across = phase_taps(conv, 0, 0), phase_taps(conv, 1, 0)
        turned = turned_weights(plan, conv, weight, down, across)
        depthwise = record_depthwise(plan, name, KERNELS.depthwise, conv, phase_window(conv, down, across, 0, 0), False)
        depthwise.activation, depthwise.alpha = activation, alpha
        plan.link(&depthwise.x, dy, READ)
        plan.link(&depthwise.weight, turned, READ)
        plan.link(&depthwise.y, dx, WRITE)
        if bias is not None:
            plan.link(&depthwise.bias, bias, READ)
        return
    # Two phases side by side write whole lines.
    cdef bint pairs = form == DIRECT_FILTERS and conv.stride[1] == 2 and conv.image[1] % 2 == 0
    cdef Py_ssize_t step = 2 if pairs else 1, i, j
    for i in range(min(conv.stride[0], conv.image[0])):
        for j in range(min(conv.stride[1], conv.image[1]) // step):
            phase = record_phase(plan, name, form, conv, dy, weight, dx, i, j * step, pairs)
            phase.activation, phase.alpha = activation, alpha
            if bias is not None:
                plan.link(&phase.bias, bias, READ)


cdef struct PhaseTaps:  # of one axis
    Py_ssize_t count
    Py_ssize_t first  # of the kernel's rows (columns)
    Py_ssize_t step
    Py_ssize_t reads  # the row of dy that the first tap reads at the phase's first pixel
    Py_ssize_t reads_step  # from there to what the next tap reads


cdef PhaseTaps phase_taps(_Convolution conv, int axis, Py_ssize_t phase):
    """The kernel's rows (columns) u with phase + padding - u dilation a multiple of the stride."""
    cdef Py_ssize_t stride = conv.stride[axis], dilation = conv.dilation[axis], at = phase + conv.low[axis], u
    cdef PhaseTaps taps = PhaseTaps(0, 0, 1, 0, 0)
    for u in range(conv.kernel[axis]):
        if (at - u * dilation) % stride:
            continue
        if taps.count == 0:
            taps.first = u
            taps.reads = (at - u * dilation) // stride
        elif taps.count == 1:
            taps.step = u - taps.first
            taps.reads_step = -(taps.step * dilation // stride)
        taps.count += 1
    return taps


cdef rn_window phase_window(_Convolution conv, PhaseTaps down, PhaseTaps across, Py_ssize_t i, Py_ssize_t j):
    """How the gradient of the pixels (i + stride y, j + stride x) reaches into dy."""
    cdef rn_window w
    w.height, w.width = conv.grid[0], conv.grid[1]
    w.grid_height = divide_up(conv.image[0] - i, conv.stride[0])
    w.grid_width = divide_up(conv.image[1] - j, conv.stride[1])
    w.stride_y = w.stride_x = 1
    w.tap_rows, w.tap_columns = down.count, across.count
    w.first_y, w.first_x = down.reads, across.reads
    w.tap_step_y, w.tap_step_x = down.reads_step, across.reads_step
    w.padded = down.count * across.count > 0 and leaves_image(&w)
    return w


cdef rn_convolve_args *record_phase(Plan plan, str name, ConvForm form, _Convolution conv, Slot dy, Slot weight, Slot dx,
                                    Py_ssize_t i, Py_ssize_t j, bint pair) except NULL:
    """Record the gradient of the pixels (i + stride y, j + stride x), and with `pair` of those at j + 1 too."""
    cdef PhaseTaps down = phase_taps(conv, 0, i), across = phase_taps(conv, 1, j), beside
    cdef Py_ssize_t taps = down.count * across.count
    cdef Slot turned = phase_weights(plan, form, conv, weight, down, across), turned_beside = None
    cdef rn_convolve_args wanted
    memset(&wanted, 0, sizeof(wanted))
    wanted.window, wanted.phases = phase_window(conv, down, across, i, j), 1
    if pair:
        beside = phase_taps(conv, 1, j + 1)
        taps += down.count * beside.count
        turned_beside = phase_weights(plan, form, conv, weight, down, beside)
        wanted.beside, wanted.phases = phase_window(conv, down, beside, i, j + 1), 2
    wanted.images, wanted.groups, wanted.channels, wanted.rows = conv.n, conv.groups, conv.filters, conv.channels
    wanted.out_plane = conv.image[0] * conv.image[1]
    wanted.out_row, wanted.out_column = conv.stride[0] * conv.image[1], conv.stride[1]
    wanted.out_first = i * conv.image[1] + j
    cdef double share = <double> taps / (conv.kernel[0] * conv.kernel[1])
    cdef rn_convolve_args *a = record_convolve(
        plan, name, form, &wanted, conv.flops() * share, conv.bytes() * share)
    plan.link(&a.source, dy, READ)
    plan.link(&a.weight, turned, READ)
    if pair:
        plan.link(&a.weight_beside, turned_beside, READ)
    # Where there is one call, it writes all of dx; of several, each writes its own pixels.
    plan.link(&a.out, dx, WRITE if conv.stride[0] == 1 and conv.stride[1] == wanted.phases else UPDATE)
    return a


cdef Slot phase_weights(Plan plan, ConvForm form, _Convolution conv, Slot weight, PhaseTaps down, PhaseTaps across):
    """A phase's weights in the order in which they are read."""
    if form == DIRECT_FILTERS:
        return phase_filters(plan, conv, weight, down, across)
    return turned_weights(plan, conv, weight, down, across)
