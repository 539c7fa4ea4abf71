# Doorways of convolutions.

cdef extern from "rn.h" nogil:
    enum:
        RN_WIDE_PANEL
        RN_SUM_BLOCK

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
        const float *source
        const float *weight
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
        int in_place
        int scattered
        int weight_packed
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
        int with_bias

    ctypedef struct rn_sum_splits_args:
        const float *partial
        float *dweight
        float *dbias
        ptrdiff_t groups
        ptrdiff_t rows
        ptrdiff_t filters
        ptrdiff_t splits

# Floats of scratch that the padded part of an image, or the block of a scattered output, should stay below: half the second
# cache.
cdef Py_ssize_t MOST_COPIED = 65536
# Floats of partial sums of the gradient by weights, over all splits of the batch; and the number of splits.
cdef Py_ssize_t MOST_PARTIALS = 262144
cdef Py_ssize_t MOST_SPLITS = 16


cdef class _Convolution:
    """The sizes of a convolution, checked: x (n, c, h, w), weight (filters, c / groups, kh, kw), y (n, filters, oh, ow)."""

    cdef Py_ssize_t n, groups, channels, filters  # channels and filters of one group
    cdef Py_ssize_t[2] image, kernel, grid, stride, dilation, low, high  # rows, columns; low and high are the padding

    def __cinit__(self, Slot x, Slot weight, Slot y, stride, padding, dilation, Py_ssize_t groups):
        cdef Py_ssize_t filters = weight.shape[0]
        cdef int axis
        if groups < 1 or x.shape[1] % groups or filters % groups:
            raise OptionError(f"groups divide the channels of x and weight, {x.shape[1]} and {filters}; {groups} do not")
        self.n = x.shape[0]
        self.groups = groups
        self.channels = x.shape[1] // groups
        self.filters = filters // groups
        if weight.shape[1] != self.channels:
            raise ShapeError(f"weights of shape {weight.shape} take {weight.shape[1]} channels a group, "
                             f"but x of shape {x.shape} has {self.channels}")
        (self.stride[0], self.stride[1]) = stride
        (self.dilation[0], self.dilation[1]) = dilation
        (self.low[0], self.high[0]), (self.low[1], self.high[1]) = padding
        for axis in range(2):
            self.image[axis] = x.shape[2 + axis]
            self.kernel[axis] = weight.shape[2 + axis]
            if min(self.stride[axis], self.dilation[axis], self.kernel[axis]) < 1 or min(self.low[axis], self.high[axis]) < 0:
                raise OptionError("a kernel, strides and dilations are at least 1 and padding at least 0, got kernel "
                                  f"{weight.shape[2:]}, stride {stride}, dilation {dilation}, padding {padding}")
            length = self.image[axis] + self.low[axis] + self.high[axis] - self.dilation[axis] * (self.kernel[axis] - 1) - 1
            if length < 0:
                raise ShapeError(f"a kernel of {weight.shape[2:]}, dilation {dilation}, is larger than the image of "
                                 f"{x.shape[2:]} with padding {padding}")
            self.grid[axis] = length // self.stride[axis] + 1
        expected = (self.n, filters, self.grid[0], self.grid[1])
        if y.shape != expected:
            raise ShapeError(f"the convolution of x {x.shape} with weights {weight.shape} has shape {expected}, not {y.shape}")

    cdef double flops(self):
        return (2.0 * self.n * self.groups * self.channels * self.filters * self.kernel[0] * self.kernel[1] * self.grid[0]
                * self.grid[1])

    cdef double bytes(self):
        return 4.0 * self.groups * (
            <double> self.n * self.channels * self.image[0] * self.image[1]
            + <double> self.n * self.filters * self.grid[0] * self.grid[1]
            + <double> self.filters * self.channels * self.kernel[0] * self.kernel[1])

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


cdef bint leaves_axis(Py_ssize_t length, Py_ssize_t grid, Py_ssize_t stride, Py_ssize_t taps, Py_ssize_t first, Py_ssize_t step):
    cdef Py_ssize_t last = first + max(taps - 1, 0) * step
    return min(first, last) < 0 or (grid - 1) * stride + max(first, last) >= length


cdef bint leaves_image(const rn_window *w):
    """Whether some tap of some position lies outside the image."""
    return (leaves_axis(w.height, w.grid_height, w.stride_y, w.tap_rows, w.first_y, w.tap_step_y)
            or leaves_axis(w.width, w.grid_width, w.stride_x, w.tap_columns, w.first_x, w.tap_step_x))


cdef Py_ssize_t reach(Py_ssize_t length, Py_ssize_t stride, Py_ssize_t taps, Py_ssize_t step):
    """How many rows (columns) of an image the taps of `length` rows (columns) of the grid reach over."""
    return (length - 1) * stride + max(taps - 1, 0) * abs(step) + 1


cdef Py_ssize_t record_convolve(Plan plan, str name, const rn_window *window, Py_ssize_t images, Py_ssize_t groups,
                                Py_ssize_t channels, Py_ssize_t rows, Py_ssize_t out_plane, Py_ssize_t out_row,
                                Py_ssize_t out_column, double flops, double bytes, rn_convolve_args **recorded) except -1:
    """Record a `convolve` call; the caller links its pointers and sets bias and activation."""
    cdef rn_convolve_args a
    cdef Py_ssize_t positions = window.grid_height * window.grid_width, taps = window.tap_rows * window.tap_columns
    a.window = window[0]
    a.source = a.weight = a.bias = a.out = NULL
    a.images, a.groups, a.channels, a.rows = images, groups, channels, rows
    a.out_plane, a.out_row, a.out_column = out_plane, out_row, out_column
    a.out_first = 0
    a.activation = RN_LINEAR
    a.alpha = 0
    a.scattered = not (out_column == 1 and out_row == window.grid_width)
    a.in_place = (taps == 1 and not window.padded and window.stride_y == window.stride_x == 1
                  and window.grid_width == window.width and positions <= LONGEST_IN_PLACE)
    a.weight_packed = channels * taps % 1024 == 0 and positions >= 64 and channels > 0

    # Few blocks: the offsets of taps, and the weights where they are packed, are made for each.
    cdef Py_ssize_t copied_channels = min(channels, (RN_KC - 1) // max(taps, 1) + 2)
    cdef Py_ssize_t copied_width = reach(window.grid_width, window.stride_x, window.tap_columns, window.tap_step_x)
    cdef double tile_flops = 2.0 * rows * positions * channels * taps
    cdef Py_ssize_t wanted = <Py_ssize_t> max(1.0, min(divide_up(WANTED_TILES, max(images * groups, 1)), tile_flops / TILE_FLOPS))
    cdef Py_ssize_t blocks = max(wanted, divide_up(positions, 4096))
    if window.padded:
        blocks = max(blocks, copied_channels * copied_width * window.grid_height * window.stride_y // MOST_COPIED)
    if a.scattered:
        blocks = max(blocks, rows * positions // MOST_COPIED)
    a.block = even_block(positions, blocks, RN_PANEL)
    a.blocks = divide_up(positions, a.block)

    cdef Py_ssize_t scratch = RN_KC * RN_PANEL
    if a.weight_packed:
        scratch += rows * RN_KC
    if a.scattered:
        scratch += rows * a.block
    cdef Py_ssize_t grid_rows = min(window.grid_height, (a.block - 1) // max(window.grid_width, 1) + 2)
    if window.padded:
        scratch += copied_channels * copied_width * reach(grid_rows, window.stride_y, window.tap_rows, window.tap_step_y)
        scratch += RN_PANEL  # the copy writes whole vectors
    cdef rn_convolve_args *call = <rn_convolve_args *> plan.record(
        name, KERNELS.convolve, sizeof(rn_convolve_args), images * groups * a.blocks,
        RN_KC * sizeof(ptrdiff_t) + scratch * sizeof(float), flops, bytes)
    call[0] = a
    recorded[0] = call
    return 0


def conv2d(Plan plan, Slot x, Slot weight, Slot y, *, Slot bias=None, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1),
           Py_ssize_t groups=1, str activation="linear", float alpha=0.0) -> None:
    """Record ``y[n, m, i, j] = act(sum over c, u, v of weight[m, c, u, v] x[n, c, i s + u d - p, j s + v d - p] + bias[m])``.

    x (n, c, h, w), weight (filters, c / groups, kh, kw), bias (filters), y (n, filters, oh, ow) with oh = (h + top + bottom
    - d (kh - 1) - 1) // s + 1. ``stride`` s and ``dilation`` d are (rows, columns), ``padding`` p is ((top, bottom), (left,
    right)) zeros. With groups, filters and channels fall into that many parts that know nothing of each other. ``activation``
    as in ``activate``.

    The bits of a sample's output depend neither on the batch nor on threads.
    Raises ``ShapeError`` where shapes do not fit or the kernel is larger than the padded image, ``OptionError`` for options out
    of range.
    """
    cdef _Convolution conv = _Convolution(x, weight, y, stride, padding, dilation, groups)
    cdef int code = activation_code(activation)
    if bias is not None and bias.size != weight.shape[0]:
        raise ShapeError(f"a bias of {weight.shape[0]} filters has as many elements, not {bias.size}")
    refuse_overlap("conv2d", y, (x, weight, bias))
    cdef rn_window window = conv.window()
    cdef rn_convolve_args *a
    record_convolve(plan, "conv2d", &window, conv.n, groups, conv.channels, conv.filters, conv.grid[0] * conv.grid[1],
                    conv.grid[1], 1, conv.flops(), conv.bytes(), &a)
    a.activation = code
    a.alpha = alpha
    plan.link(&a.source, x, READ)
    plan.link(&a.weight, weight, READ)
    plan.link(&a.out, y, WRITE)
    if bias is not None:
        plan.link(&a.bias, bias, READ)


def conv2d_input_gradient(Plan plan, Slot dy, Slot weight, Slot dx, *, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1),
                          Py_ssize_t groups=1) -> None:
    """Record dx = d loss / d x of ``conv2d`` from dy = d loss / d y (of the convolution, before its activation).

    Shapes and options are those of ``conv2d``: dx as x, dy as y. Pixels of x fall into stride rows times stride columns phases;
    the gradient of each is a convolution of dy, at stride 1, with the taps that meet it.
    """
    cdef _Convolution conv = _Convolution(dx, weight, dy, stride, padding, dilation, groups)
    refuse_overlap("conv2d_input_gradient", dx, (dy, weight))
    cdef Py_ssize_t i, j
    for i in range(min(conv.stride[0], conv.image[0])):
        for j in range(min(conv.stride[1], conv.image[1])):
            record_phase(plan, conv, dy, weight, dx, i, j)


cdef struct PhaseTaps:  # of one axis
    Py_ssize_t count
    Py_ssize_t first  # of the kernel's
    Py_ssize_t step
    Py_ssize_t reads  # the row of dy that the first tap reads at the phase's first pixel, and how far the next is from there
    Py_ssize_t reads_step


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


cdef void record_phase(Plan plan, _Convolution conv, Slot dy, Slot weight, Slot dx, Py_ssize_t i, Py_ssize_t j) except *:
    """Record the gradient of the pixels (i + stride y, j + stride x)."""
    cdef PhaseTaps down = phase_taps(conv, 0, i), across = phase_taps(conv, 1, j)
    cdef rn_window window
    window.height, window.width = conv.grid[0], conv.grid[1]
    window.grid_height = divide_up(conv.image[0] - i, conv.stride[0])
    window.grid_width = divide_up(conv.image[1] - j, conv.stride[1])
    window.stride_y = window.stride_x = 1
    window.tap_rows, window.tap_columns = down.count, across.count
    window.first_y, window.first_x = down.reads, across.reads
    window.tap_step_y, window.tap_step_x = down.reads_step, across.reads_step
    cdef Py_ssize_t taps = down.count * across.count
    window.padded = taps > 0 and leaves_image(&window)

    cdef Py_ssize_t turned_size = conv.groups * conv.channels * conv.filters * taps
    cdef Slot turned = plan.tensor((turned_size,))
    cdef rn_turn_weights_args *t = <rn_turn_weights_args *> plan.record(
        "conv2d_turn_weights", KERNELS.turn_weights, sizeof(rn_turn_weights_args), conv.groups * conv.channels, 0, 0.0,
        8.0 * turned_size)
    t.filters, t.channels = conv.filters, conv.channels
    t.height, t.width = conv.kernel[0], conv.kernel[1]
    t.tap_rows, t.tap_columns = down.count, across.count
    t.first_row, t.first_column = down.first, across.first
    t.step_row, t.step_column = down.step, across.step
    plan.link(&t.weight, weight, READ)
    plan.link(&t.turned, turned, WRITE)

    cdef rn_convolve_args *a
    cdef double share = <double> taps / (conv.kernel[0] * conv.kernel[1])
    record_convolve(plan, "conv2d_input_gradient", &window, conv.n, conv.groups, conv.filters, conv.channels,
                    conv.image[0] * conv.image[1], conv.stride[0] * conv.image[1], conv.stride[1], conv.flops() * share,
                    conv.bytes() * share, &a)
    plan.link(&a.source, dy, READ)
    plan.link(&a.weight, turned, READ)
    # one phase is all of dx; of several, each writes its own pixels
    plan.link(&a.out, dx, WRITE if conv.stride[0] == conv.stride[1] == 1 else UPDATE)
    a.out_first = i * conv.image[1] + j


def conv2d_weight_gradient(Plan plan, Slot x, Slot dy, Slot dweight, *, Slot dbias=None, stride=(1, 1), padding=((0, 0), (0, 0)),
                           dilation=(1, 1), Py_ssize_t groups=1) -> None:
    """Record dweight = d loss / d weight of ``conv2d`` from dy = d loss / d y (before the activation), and dbias if wanted.

    Shapes and options are those of ``conv2d``: dweight as weight, dbias as bias. The batch is summed in a number of splits that
    depends on sizes only, so the bits do not depend on threads.
    """
    cdef _Convolution conv = _Convolution(x, dweight, dy, stride, padding, dilation, groups)
    if dbias is not None and dbias.size != dweight.shape[0]:
        raise ShapeError(f"the gradient by bias of {dweight.shape[0]} filters has as many elements, not {dbias.size}")
    refuse_overlap("conv2d_weight_gradient", dweight, (x, dy, dbias))
    cdef rn_weight_gradient_args a
    a.window = conv.window()
    a.x = a.dy = a.partial = NULL
    a.images, a.groups, a.channels, a.filters = conv.n, groups, conv.channels, conv.filters
    a.with_bias = dbias is not None
    cut_weight_gradient(&a, conv.flops())

    cdef rn_window *w = &a.window
    cdef Py_ssize_t taps = w.tap_rows * w.tap_columns, rows = conv.channels * taps
    cdef Py_ssize_t wide = reach(a.block_columns, w.stride_x, w.tap_columns, w.tap_step_x)
    a.ones = (a.block_rows - 1) * w.stride_y * (wide if w.padded else w.width) + (a.block_columns - 1) * w.stride_x + 1
    cdef Py_ssize_t scratch = RN_KC * RN_WIDE_PANEL + a.ones
    if w.padded:
        scratch += a.channel_block * wide * reach(a.block_rows, w.stride_y, w.tap_rows, w.tap_step_y) + RN_PANEL
    cdef Slot partial = plan.tensor((a.splits * groups * (rows + 1) * conv.filters,))
    cdef rn_weight_gradient_args *call = <rn_weight_gradient_args *> plan.record(
        "conv2d_weight_gradient", KERNELS.weight_gradient, sizeof(rn_weight_gradient_args),
        a.splits * groups * a.channel_blocks * a.filter_blocks,
        (a.channel_block * taps + 8) * sizeof(ptrdiff_t) + scratch * sizeof(float),
        conv.flops(), conv.bytes() + 4.0 * partial.size)
    call[0] = a
    plan.link(&call.x, x, READ)
    plan.link(&call.dy, dy, READ)
    plan.link(&call.partial, partial, WRITE)

    cdef rn_sum_splits_args *s = <rn_sum_splits_args *> plan.record(
        "conv2d_sum_splits", KERNELS.sum_splits, sizeof(rn_sum_splits_args),
        groups * divide_up(rows + 1, RN_SUM_BLOCK) * divide_up(conv.filters, RN_SUM_BLOCK),
        RN_SUM_BLOCK * RN_SUM_BLOCK * sizeof(float),
        <double> (a.splits - 1) * groups * rows * conv.filters, 4.0 * (a.splits + 1) * groups * rows * conv.filters)
    s.groups, s.rows, s.filters, s.splits = groups, rows, conv.filters, a.splits
    plan.link(&s.partial, partial, READ)
    plan.link(&s.dweight, dweight, WRITE)
    if dbias is not None:
        plan.link(&s.dbias, dbias, WRITE)


cdef void cut_weight_gradient(rn_weight_gradient_args *a, double flops):
    """Fill in splits and blocks, from the sizes alone."""
    cdef Py_ssize_t taps = a.window.tap_rows * a.window.tap_columns
    cdef Py_ssize_t wanted = <Py_ssize_t> max(1.0, min(<double> WANTED_TILES, flops / TILE_FLOPS))
    # Splits of the batch cost memory, blocks of filters a copy of x, blocks of channels the packing of dy.
    cdef Py_ssize_t partials = a.groups * (a.channels * taps + 1) * a.filters
    a.splits = max(1, min(min(a.images, MOST_SPLITS), min(wanted, MOST_PARTIALS // max(partials, 1))))
    cdef Py_ssize_t tiles = a.splits * a.groups
    cdef Py_ssize_t filter_blocks = max(1, min(a.filters // 64, divide_up(wanted, tiles)))
    a.filter_block = max(even_block(a.filters, filter_blocks, RN_PANEL), 1)
    a.filter_blocks = max(divide_up(a.filters, a.filter_block), 1)
    tiles *= a.filter_blocks
    cdef Py_ssize_t channel_blocks = max(1, min(a.channels * taps // 96, divide_up(wanted, tiles)))
    channel_blocks = max(channel_blocks, a.channels * taps // 1024)
    a.channel_block = even_block(a.channels, channel_blocks, 1)
    a.channel_blocks = max(divide_up(a.channels, a.channel_block), 1)
    a.block_columns = min(a.window.grid_width, RN_KC)
    a.block_rows = max(1, min(a.window.grid_height, RN_KC // max(a.block_columns, 1)))
    a.block_rows = even_block(a.window.grid_height, divide_up(a.window.grid_height, a.block_rows), 1)
