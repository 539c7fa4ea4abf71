# Winograd's form of 3 x 3 and 5 x 5 convolutions: where it is taken, and its two calls.

cdef extern from "rn.h" nogil:
    enum:
        RN_WINOGRAD_FILTERS
        RN_WINOGRAD_WEIGHTS
        RN_WINOGRAD_ONE_SIDED
        RN_WINOGRAD_FEW
        RN_WINOGRAD_MOST_DILATION

    Py_ssize_t RN_WINOGRAD_SIDE(Py_ssize_t stride)
    Py_ssize_t RN_WINOGRAD_ROW(Py_ssize_t columns, Py_ssize_t taps, Py_ssize_t stride, Py_ssize_t dilation)

    ctypedef struct rn_winograd_weights_args:
        const float *weight
        float *transformed
        ptrdiff_t filters
        ptrdiff_t channels
        ptrdiff_t filter_step
        ptrdiff_t channel_step
        int flipped
        int taps
        int stride

    ctypedef struct rn_winograd_args:
        const float *x
        const float *transformed
        const float *bias
        float *y
        int32_t *pool_taps
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
        ptrdiff_t dilation_y
        ptrdiff_t dilation_x
        int taps
        int stride
        int activation
        int pooled
        int one_sided
        float alpha

# Floats that the transformed pixels and products of a unit should stay below: most of a second cache.
cdef Py_ssize_t MOST_TRANSFORMED = 163840
# A unit has no more tiles than this; what is gained by more is little.
cdef Py_ssize_t MOST_UNIT_TILES = 96
# Even where they do not stay in the cache, a unit has so many tiles: each unit reads all weights.
cdef Py_ssize_t WHOLE_UNIT_TILES = 16
# Units are not cut below so many tiles, nor below WHOLE_UNIT_TILES where the weights have so many floats, if that leaves tiles of
# the call for FEWEST_UNITS threads. Where units are fewer than these, filters are cut, but not into fewer panels.
cdef Py_ssize_t FEWEST_UNIT_TILES = 6
cdef Py_ssize_t MANY_WEIGHTS = LARGE_WEIGHTS // 2
cdef Py_ssize_t FEWEST_UNITS = 8
cdef Py_ssize_t FEWEST_PANELS = 2
# At stride 2: units of tiles of dy that an image may be as large as, and tiles of a row, which is never cut.
cdef Py_ssize_t LARGEST_IMAGE = 4
cdef Py_ssize_t WIDEST_STRIDED = 64


cdef bint first_winograd() except -1:
    """What RN_WINOGRAD says; on where it is not set."""
    wanted = os.environ.get("RN_WINOGRAD") or "1"
    if wanted not in ("0", "1"):
        raise OptionError(f"RN_WINOGRAD={wanted}: must be 0, off, or 1, on; set one of them, or leave RN_WINOGRAD unset")
    return wanted == "1"


cdef bint WINOGRAD = first_winograd()


def get_winograd() -> bool:
    """Return whether convolutions take Winograd's form where it pays; see ``set_winograd``."""
    return WINOGRAD


def set_winograd(on) -> None:
    """Let 3 x 3 and 5 x 5 convolutions take Winograd's form where it pays (the default), or never.

    It needs a quarter of the multiplications, a third for 5 x 5 and a little over half for 3 x 3 at stride 2, and rounds more:
    within 2e-5 of a sample's largest output, where the direct form stays within 1e-5 of the sum of the absolute terms. Numbers
    near float32's end overflow earlier in it, and a NaN or an infinite pixel reaches all outputs of its tile of 4 x 4 (2 x 2), in
    gradients and Conv2DTranspose up to 9 x 9 pixels. What is 0 in the direct form may be a rounding error of either sign, so that
    the gradient of a ReLU passes or not. The variable RN_WINOGRAD=0 turns it off from the start. Models obey from their next call
    on; results with and without it differ in their last digits. Source: Lavin and Gray 2015, "Fast algorithms for convolutional
    neural networks". Raises ``OptionError`` for what is neither True nor False.
    """
    global WINOGRAD
    WINOGRAD = flag("set_winograd: on", on)


cdef bint fits_winograd(_Convolution conv):
    """Whether there is such a form: 3 x 3 taps, plain, dilated or at stride 2, or 5 x 5, in one group; and the setting is on."""
    cdef Py_ssize_t side = conv.kernel[0], stride = conv.stride[0]
    if not WINOGRAD or conv.groups > 1 or side not in (3, 5) or conv.kernel[1] != side or conv.stride[1] != stride:
        return False
    cdef Py_ssize_t most = RN_WINOGRAD_MOST_DILATION if side == 3 and stride == 1 else 1
    if stride > (2 if side == 3 else 1) or max(conv.dilation[0], conv.dilation[1]) > most:
        return False
    return stride == 1 or tiles_along(conv, 1, conv.grid[1]) <= WIDEST_STRIDED


cdef Py_ssize_t tiles_along(_Convolution conv, int axis, Py_ssize_t length):
    """Tiles of a row (column) of `length` outputs: dilation makes phases, each of which has tiles of its own."""
    return conv.dilation[axis] * divide_up(divide_up(length, conv.dilation[axis]), 7 - conv.kernel[axis])


cdef Py_ssize_t tiles_of(_Convolution conv, Py_ssize_t *size):
    """Tiles of a plane of that height and width."""
    return tiles_along(conv, 0, size[0]) * tiles_along(conv, 1, size[1])


cdef Py_ssize_t places_of(_Convolution conv):
    """Places of a tile, each of which is a product."""
    return RN_WINOGRAD_SIDE(conv.stride[0]) * RN_WINOGRAD_SIDE(conv.stride[0])


cdef bint winograd_pays(_Convolution conv, Py_ssize_t tiles, Py_ssize_t positions, double products, double transforms):
    """Whether Winograd's form, of so many tiles, beats the direct one for the positions of a sample.

    Both are priced in multiply-adds: `products` at each of a tile's places, and what its `transforms` cost besides. Few
    channels, or tiles that reach far beyond the image, do not pay.
    """
    cdef double direct = <double> conv.kernel[0] * conv.kernel[1] * conv.channels * conv.filters * positions
    return tiles * (places_of(conv) * products + transforms) < 0.9 * direct


cdef bint takes_winograd(_Convolution conv, bint gradient):
    """Whether ``conv``, or its gradient by input, takes Winograd's form: a matter of one sample's shape and of the setting.

    A tile's transforms cost as much as so many multiply-adds for each channel that comes in and each that goes out, whatever the
    other number is. At stride 2 there are more of them for each product saved, and more numbers: with many channels the pixels of
    a unit and the weights do not stay in the cache together.
    """
    if not fits_winograd(conv):
        return False
    cdef double channels = conv.channels, filters = conv.filters
    cdef bint strided = conv.stride[0] == 2
    cdef double products = channels * filters
    if strided:
        products *= 1.0 + (filters if gradient else channels) / 1024.0
    if not gradient:
        return winograd_pays(conv, tiles_of(conv, conv.grid), conv.grid[0] * conv.grid[1], products,
                             (1000.0 if strided else 250.0) * channels + (900.0 if strided else 350.0) * filters)
    cdef int axis
    for axis in range(2):
        if max(conv.low[axis], conv.high[axis]) > conv.dilation[axis] * (conv.kernel[axis] - 1):
            return False
    cdef bint scattered = scatters_winograd(conv)
    if strided and not scattered:
        return False
    cdef Py_ssize_t tiles = tiles_of(conv, conv.grid) if scattered else tiles_of(conv, conv.image)
    cdef Py_ssize_t positions = conv.image[0] * conv.image[1] // (conv.stride[0] * conv.stride[1])
    return winograd_pays(conv, tiles, positions, products, 250.0 * filters + (850.0 if strided else 350.0) * channels)


cdef bint scatters_winograd(_Convolution conv):
    """Whether the gradient by input goes by tiles of dy: where they are at least a tenth fewer (adding tiles up costs that much)
    and one image fits a unit. At stride 2 there is no other way, and a larger image still pays."""
    cdef Py_ssize_t tiles = tiles_of(conv, conv.grid), most = tiles_in_unit(conv.filters, places_of(conv))
    if conv.stride[0] == 2:
        return tiles <= LARGEST_IMAGE * most
    return conv.dilation[0] == conv.dilation[1] == 1 and 1.1 * tiles < tiles_of(conv, conv.image) and tiles <= most


cdef rn_winograd_args *record_winograd(Plan plan, str name, _Convolution conv, Slot weight, bint gradient,
                                       Slot pooled=None, double results=0.0) except NULL:
    """Record the transform of the weights and the convolution, or the gradient by input; the caller links x, y and the bias.

    ``pooled`` takes the place of the outputs, unless None; pooling then writes so many ``results``.
    """
    # Of the gradient the pixels that come in are dy's.
    cdef Py_ssize_t channels = conv.filters if gradient else conv.channels
    cdef Py_ssize_t filters = conv.channels if gradient else conv.filters
    cdef bint scattered = gradient and scatters_winograd(conv)
    cdef Py_ssize_t places = places_of(conv)
    cdef rn_winograd_args a
    memset(&a, 0, sizeof(a))
    a.images, a.channels, a.filters = conv.n, channels, filters
    if gradient:
        a.height, a.width, a.out_height, a.out_width = conv.grid[0], conv.grid[1], conv.image[0], conv.image[1]
    else:
        a.height, a.width, a.out_height, a.out_width = conv.image[0], conv.image[1], conv.grid[0], conv.grid[1]
    a.top, a.left = conv.low[0], conv.low[1]
    if gradient and not scattered:
        a.top = conv.dilation[0] * (conv.kernel[0] - 1) - a.top
        a.left = conv.dilation[1] * (conv.kernel[1] - 1) - a.left
    a.taps, a.stride, a.dilation_y, a.dilation_x = conv.kernel[0], conv.stride[0], conv.dilation[0], conv.dilation[1]
    a.rows = tiles_along(conv, 0, a.height if scattered else a.out_height)
    a.columns = tiles_along(conv, 1, a.width if scattered else a.out_width)
    a.activation = RN_LINEAR
    a.one_sided = not scattered and takes_one_sided(&a)
    # Of weights that belong to somebody, or were made of such, the transform holds until they are written.
    cdef Slot transformed
    if weight.root.owner is not None or weight.root.prepared:
        with plan.prepare():
            transformed = record_winograd_weights(plan, name, weight, conv, gradient, scattered, a.one_sided)
    else:
        transformed = record_winograd_weights(plan, name, weight, conv, gradient, scattered, a.one_sided)

    cut_winograd(&a, places, conv.flops(), scattered)
    cdef Py_ssize_t lanes = whole_lanes(channels)
    cdef Py_ssize_t units = divide_up(a.images, a.unit_images) * divide_up(a.rows, a.unit_rows)
    cdef Py_ssize_t unit_tiles = a.unit_images * a.unit_rows * a.columns
    cdef Py_ssize_t scratch = 16 * RN_WINOGRAD_SIDE(a.stride) * RN_WINOGRAD_ROW(a.columns, a.taps, a.stride, a.dilation_x)
    scratch += places * (unit_tiles * lanes + 16 + unit_tiles * (RN_PANEL if NARROW else RN_PAIR) + 16)
    cdef double flops = conv.flops(), bytes = conv.bytes()
    bytes += 4.0 * (RN_WINOGRAD_ONE_SIDED if a.one_sided else RN_WINOGRAD_WEIGHTS) * channels * filters
    if pooled is not None:
        flops += 4.0 * pooled.size
        bytes -= 4.0 * (conv.outputs() - results)
    cdef str form = "_winograd_scattered" if scattered else "_winograd_one_sided" if a.one_sided else "_winograd"
    cdef rn_winograd_args *call = <rn_winograd_args *> plan.record(
        name + form + ("" if pooled is None else "_pooled"), KERNELS.winograd_scattered if scattered else KERNELS.winograd,
        sizeof(rn_winograd_args), units * divide_up(filters, a.filter_block), scratch * sizeof(float), flops, bytes)
    call[0] = a
    plan.link(&call.transformed, transformed, READ)
    return call


cdef bint takes_one_sided(const rn_winograd_args *a):
    """Whether the weights stay G w, without the other side of G w G': for few tiles, where whole ones fill most of a second cache
    and take longer to come than to use. The bits are the same. It takes the registers of vectors of 16."""
    return (not NARROW and a.taps == 3 and a.stride == 1 and a.images * a.rows * a.columns <= RN_WINOGRAD_FEW
            and a.channels * a.filters * RN_WINOGRAD_WEIGHTS >= LARGE_WEIGHTS)


cdef Slot record_winograd_weights(Plan plan, str name, Slot weight, _Convolution conv, bint gradient, bint scattered,
                                  bint one_sided):
    """Record the transform of the weights, or one side of it, and return where they then are; those of the gradient by tiles of
    dx go from the last tap to the first."""
    cdef Py_ssize_t channels = conv.filters if gradient else conv.channels
    cdef Py_ssize_t filters = conv.channels if gradient else conv.filters
    cdef Py_ssize_t taps = conv.kernel[0] * conv.kernel[0], panels = divide_up(filters, RN_WINOGRAD_FILTERS)
    cdef Py_ssize_t each = RN_WINOGRAD_ONE_SIDED * channels if one_sided else RN_WINOGRAD_WEIGHTS * (channels + 1)
    cdef Slot transformed = plan.tensor((panels * RN_WINOGRAD_FILTERS * each,))
    cdef double pairs = <double> channels * filters
    cdef Py_ssize_t results = RN_WINOGRAD_ONE_SIDED if one_sided else RN_WINOGRAD_WEIGHTS
    cdef rn_winograd_weights_args *w = <rn_winograd_weights_args *> plan.record(
        name + ("_winograd_one_sided_weights" if one_sided else "_winograd_weights"),
        KERNELS.winograd_one_sided_weights if one_sided else KERNELS.winograd_weights, sizeof(rn_winograd_weights_args), panels,
        0, (36.0 if one_sided else 200.0) * pairs, 4.0 * (taps + results) * pairs)
    w.filters, w.channels, w.taps, w.stride = filters, channels, conv.kernel[0], conv.stride[0]
    w.flipped = gradient and not scattered
    w.filter_step = taps if gradient else taps * channels
    w.channel_step = taps * filters if gradient else taps
    plan.link(&w.weight, weight, READ)
    plan.link(&w.transformed, transformed, WRITE)
    return transformed


cdef Py_ssize_t tiles_in_unit(Py_ssize_t channels, Py_ssize_t places):
    return max(min(MOST_TRANSFORMED // (places * (whole_lanes(channels) + 32)), MOST_UNIT_TILES), WHOLE_UNIT_TILES)


cdef void cut_winograd(rn_winograd_args *a, Py_ssize_t places, double flops, bint whole_images):
    """Fill in units and blocks of filters, from the sizes alone: outputs are the same bits however they are cut.

    A unit has as many tiles as stay in the cache together, of several small images, or some rows of a large one. So that there
    is work for several threads, few images are cut into more rows, unless units are to be ``whole_images``, and then by filters:
    each unit reads all weights, and each block of filters transforms the unit's pixels anew.
    """
    cdef Py_ssize_t most = tiles_in_unit(a.channels, places)
    cdef Py_ssize_t wanted = <Py_ssize_t> ceil(max(1.0, min(<double> WANTED_TILES, flops / (4.0 * TILE_FLOPS))))
    if a.channels * a.filters * RN_WINOGRAD_WEIGHTS >= MANY_WEIGHTS:
        if cut_units(a, most, WHOLE_UNIT_TILES, wanted, whole_images) >= min(wanted, FEWEST_UNITS):
            return
    cut_units(a, most, FEWEST_UNIT_TILES, wanted, whole_images)


cdef Py_ssize_t cut_units(rn_winograd_args *a, Py_ssize_t most, Py_ssize_t fewest, Py_ssize_t wanted, bint whole_images):
    """Fill them in, with units of `fewest` to `most` tiles, where there are so many; return how many tiles the call has."""
    cdef Py_ssize_t image = a.rows * a.columns
    cdef Py_ssize_t parts = max(divide_up(image, most), min(divide_up(wanted, max(a.images, 1)), image // fewest))
    if whole_images:
        parts = 1
    a.unit_rows = divide_up(a.rows, max(1, min(a.rows, parts)))
    a.unit_images = 1
    if a.unit_rows == a.rows:
        a.unit_images = max(a.images // wanted, divide_up(fewest, image))
        a.unit_images = max(1, min(a.images, min(most // image, a.unit_images)))
    cdef Py_ssize_t units = divide_up(a.images, a.unit_images) * divide_up(a.rows, a.unit_rows)
    cdef Py_ssize_t panels = divide_up(a.filters, RN_WINOGRAD_FILTERS)
    cdef Py_ssize_t blocks = min(divide_up(min(wanted, FEWEST_UNITS), max(units, 1)), panels // FEWEST_PANELS)
    a.filter_block = divide_up(panels, max(blocks, 1)) * RN_WINOGRAD_FILTERS
    return units * divide_up(a.filters, a.filter_block)
