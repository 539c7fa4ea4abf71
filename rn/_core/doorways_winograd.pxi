# Winograd's form of 3 x 3 convolutions: where it is taken, and its two calls.

cdef extern from "rn.h" nogil:
    enum:
        RN_WINOGRAD_FILTERS

    ctypedef struct rn_winograd_weights_args:
        const float *weight
        float *transformed
        ptrdiff_t filters
        ptrdiff_t channels
        ptrdiff_t filter_step
        ptrdiff_t channel_step
        int flipped

    ctypedef struct rn_winograd_args:
        const float *x
        const float *transformed
        const float *bias
        float *y
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
        ptrdiff_t filter_block
        int activation
        float alpha

# Floats that the transformed pixels and products of a unit should stay below: most of a second cache.
cdef Py_ssize_t MOST_TRANSFORMED = 163840
# A unit has no more tiles than this; what is gained by more is little.
cdef Py_ssize_t MOST_UNIT_TILES = 96

cdef bint WINOGRAD = os.environ.get("RN_WINOGRAD", "1") != "0"


def get_winograd() -> bool:
    """Return whether convolutions take Winograd's form where it pays; see ``set_winograd``."""
    return WINOGRAD


def set_winograd(bint on) -> None:
    """Let 3 x 3 convolutions at stride 1 take Winograd's form where it pays (the default), or never.

    It needs a quarter of the multiplications and rounds more: within 2e-5 of a sample's largest output, where the direct form
    stays within 1e-5 of the sum of the absolute terms. The variable RN_WINOGRAD=0 turns it off from the start. Models obey from
    their next call on; results with and without it differ in their last digits. Source: Lavin and Gray 2015.
    """
    global WINOGRAD
    WINOGRAD = on


cdef bint winograd_pays(Py_ssize_t channels, Py_ssize_t filters, Py_ssize_t height, Py_ssize_t width):
    """Whether Winograd's form beats the direct one for a sample's outputs of filters x height x width.

    Both are priced in multiply-adds. A tile's transforms cost as much as about 250 for each channel that comes in and 350 for
    each that goes out, whatever the other number is: few channels, or tiles that reach far beyond the image, do not pay.
    """
    cdef double pairs = <double> channels * filters
    cdef double tile = 36.0 * pairs + 250.0 * channels + 350.0 * filters
    return divide_up(height, 4) * divide_up(width, 4) * tile < 0.9 * 9.0 * pairs * height * width


cdef bint takes_winograd(_Convolution conv, bint gradient):
    """Whether ``conv``, or its gradient by input, takes Winograd's form: a matter of one sample's shape and of the setting."""
    cdef int axis
    for axis in range(2):
        if conv.kernel[axis] != 3 or conv.stride[axis] != 1 or conv.dilation[axis] != 1:
            return False
        if gradient and max(conv.low[axis], conv.high[axis]) > 2:
            return False
    if not WINOGRAD or conv.groups != 1:
        return False
    if gradient:
        return winograd_pays(conv.filters, conv.channels, conv.image[0], conv.image[1])
    return winograd_pays(conv.channels, conv.filters, conv.grid[0], conv.grid[1])


cdef rn_winograd_args *record_winograd(Plan plan, str name, _Convolution conv, Slot weight, bint gradient) except NULL:
    """Record the transform of the weights and the convolution, or the gradient by input; the caller links x, y and the bias."""
    cdef Py_ssize_t channels = conv.filters if gradient else conv.channels
    cdef Py_ssize_t filters = conv.channels if gradient else conv.filters
    cdef Py_ssize_t panels = divide_up(filters, RN_WINOGRAD_FILTERS)
    cdef Slot transformed = plan.tensor((panels * RN_WINOGRAD_FILTERS * 36 * channels,))
    cdef double pairs = <double> channels * filters
    # Of weights that belong to somebody, or were made of such, the transform holds until they are written.
    if weight.root.owner is not None or weight.root.prepared:
        with plan.prepare():
            record_winograd_weights(plan, name, weight, transformed, channels, filters, gradient)
    else:
        record_winograd_weights(plan, name, weight, transformed, channels, filters, gradient)

    cdef rn_winograd_args a
    memset(&a, 0, sizeof(a))
    a.images, a.channels, a.filters = conv.n, channels, filters
    if gradient:
        a.height, a.width, a.out_height, a.out_width = conv.grid[0], conv.grid[1], conv.image[0], conv.image[1]
        a.top, a.left = 2 - conv.low[0], 2 - conv.low[1]
    else:
        a.height, a.width, a.out_height, a.out_width = conv.image[0], conv.image[1], conv.grid[0], conv.grid[1]
        a.top, a.left = conv.low[0], conv.low[1]
    a.rows, a.columns = divide_up(a.out_height, 4), divide_up(a.out_width, 4)
    a.activation = RN_LINEAR

    cut_winograd(&a, conv.flops())
    cdef Py_ssize_t lanes = whole_lanes(channels)
    cdef Py_ssize_t units = divide_up(a.images, a.unit_images) * divide_up(a.rows, a.unit_rows)
    cdef Py_ssize_t unit_tiles = a.unit_images * a.unit_rows * a.columns
    cdef Py_ssize_t scratch = 96 * (4 * a.columns + 2) + 36 * (unit_tiles * lanes + 16) + 36 * (unit_tiles * 32 + 16)
    cdef rn_winograd_args *call = <rn_winograd_args *> plan.record(
        name + "_winograd", KERNELS.winograd, sizeof(rn_winograd_args), units * divide_up(filters, a.filter_block),
        scratch * sizeof(float), conv.flops(), conv.bytes() + 144.0 * pairs)
    call[0] = a
    plan.link(&call.transformed, transformed, READ)
    return call


cdef void record_winograd_weights(Plan plan, str name, Slot weight, Slot transformed, Py_ssize_t channels, Py_ssize_t filters,
                                  bint gradient) except *:
    """Record the transform of the weights; those of the gradient by input go from the last tap to the first."""
    cdef double pairs = <double> channels * filters
    cdef rn_winograd_weights_args *w = <rn_winograd_weights_args *> plan.record(
        name + "_winograd_weights", KERNELS.winograd_weights, sizeof(rn_winograd_weights_args),
        divide_up(filters, RN_WINOGRAD_FILTERS), 0, 200.0 * pairs, 180.0 * pairs)
    w.filters, w.channels, w.flipped = filters, channels, gradient
    w.filter_step = 9 if gradient else 9 * channels
    w.channel_step = 9 * filters if gradient else 9
    plan.link(&w.weight, weight, READ)
    plan.link(&w.transformed, transformed, WRITE)


cdef void cut_winograd(rn_winograd_args *a, double flops):
    """Fill in units and blocks of filters, from the sizes alone: outputs are the same bits however they are cut.

    A unit has as many tiles as stay in the cache together, of several small images, or some rows of a large one. Few images are
    cut into more rows, and then by filters, so that there is work for several threads.
    """
    cdef Py_ssize_t tiles = max(min(MOST_TRANSFORMED // (36 * (whole_lanes(a.channels) + 32)), MOST_UNIT_TILES), 1)
    cdef Py_ssize_t wanted = <Py_ssize_t> max(1.0, min(<double> WANTED_TILES, flops / (4.0 * TILE_FLOPS)))
    cdef Py_ssize_t parts = min(a.rows, max(divide_up(a.rows * a.columns, tiles), divide_up(wanted, max(a.images, 1))))
    a.unit_rows = divide_up(a.rows, parts)
    a.unit_images = 1
    if a.unit_rows == a.rows:
        a.unit_images = max(1, min(tiles // (a.rows * a.columns), a.images // wanted))
    cdef Py_ssize_t units = divide_up(a.images, a.unit_images) * divide_up(a.rows, a.unit_rows)
    cdef Py_ssize_t panels = divide_up(a.filters, RN_WINOGRAD_FILTERS)
    a.filter_block = divide_up(panels, min(panels, divide_up(wanted, max(units, 1)))) * RN_WINOGRAD_FILTERS
