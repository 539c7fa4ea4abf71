# Doorways of the kernels that move, enlarge, drop, normalise and add up whole images or rows of features.

cdef extern from "rn.h" nogil:
    ctypedef struct rn_shift_args:
        const float *x
        float *y
        ptrdiff_t planes
        ptrdiff_t group
        ptrdiff_t h
        ptrdiff_t w
        ptrdiff_t oh
        ptrdiff_t ow
        ptrdiff_t top
        ptrdiff_t left

    ctypedef struct rn_upsample_args:
        float *small
        float *large
        ptrdiff_t planes
        ptrdiff_t group
        ptrdiff_t h
        ptrdiff_t w
        ptrdiff_t sh
        ptrdiff_t sw

    ctypedef struct rn_dropout_planes_args:
        const float *x
        float *y
        const rn_step *step
        ptrdiff_t planes
        ptrdiff_t group
        ptrdiff_t size
        float scale
        uint32_t threshold
        uint32_t purpose

    ctypedef struct rn_sum_planes_args:
        const float *x
        float *total
        ptrdiff_t n
        ptrdiff_t channels
        ptrdiff_t size

    ctypedef struct rn_add_pair_args:
        const float *a
        const float *b
        float *y
        ptrdiff_t n

    ctypedef struct rn_layer_norm_args:
        const float *x
        const float *weight
        const float *bias
        const float *dy
        float *y
        float *dx
        float *moments
        ptrdiff_t n
        ptrdiff_t c
        ptrdiff_t rows
        float epsilon

    ctypedef struct rn_layer_norm_weights_args:
        const float *x
        const float *dy
        const float *moments
        float *dweight
        float *dbias
        ptrdiff_t n
        ptrdiff_t c


cdef Py_ssize_t planes_of_tile(Py_ssize_t size):
    """How many planes of `size` elements make a tile."""
    return max(1, RN_ELEMENT_TILE // max(size, 1))


def shift_planes(Plan plan, Slot x, Slot y, *, Py_ssize_t top, Py_ssize_t left) -> None:
    """Record y[n, c, i, j] = x[n, c, i - top, j - left] where x has such a pixel, else 0.

    x (n, c, h, w), y (n, c, oh, ow), another tensor than x. With ``top`` and ``left`` at least 0 zeros come around the image;
    negative ones cut off what lies before, which is the gradient of the former. Raises ``ShapeError`` where n or c differ,
    ``OptionError`` where x and y share memory.
    """
    if x.shape[:2] != y.shape[:2]:
        raise ShapeError(f"an image moved inside a frame keeps its samples and channels, got {x.shape} and {y.shape}")
    refuse_overlap("shift_planes", y, (x,))
    n, c, h, w = x.shape
    cdef Py_ssize_t planes = n * c, group = planes_of_tile(y.shape[2] * y.shape[3])
    cdef rn_shift_args *a = <rn_shift_args *> plan.record(
        "shift_planes", KERNELS.shift_planes, sizeof(rn_shift_args), divide_up(planes, group), 0, 0.0, 4.0 * (x.size + y.size))
    a.planes, a.group, a.h, a.w, a.oh, a.ow = planes, group, h, w, y.shape[2], y.shape[3]
    a.top, a.left = top, left
    plan.link(&a.x, x, READ)
    plan.link(&a.y, y, WRITE)


cdef rn_upsample_args *record_upsample(Plan plan, str name, rn_kernel kernel, Slot small, Slot large, size,
                                       double flops) except NULL:
    n, c, h, w = small.shape
    sh, sw = size
    if sh < 1 or sw < 1:
        raise OptionError(f"an image is enlarged by at least 1, got {size}")
    if large.shape != (n, c, h * sh, w * sw):
        raise ShapeError(f"{small.shape} enlarged by {size} has shape {(n, c, h * sh, w * sw)}, got {large.shape}")
    refuse_overlap(name, large, (small,))
    cdef Py_ssize_t planes = n * c, group = planes_of_tile(h * sh * w * sw)
    cdef rn_upsample_args *a = <rn_upsample_args *> plan.record(
        name, kernel, sizeof(rn_upsample_args), divide_up(planes, group), 0, flops * large.size, 4.0 * (small.size + large.size))
    a.planes, a.group, a.h, a.w, a.sh, a.sw = planes, group, h, w, sh, sw
    return a


def upsample(Plan plan, Slot x, Slot y, *, size) -> None:
    """Record y[n, c, i, j] = x[n, c, i // sh, j // sw]: every pixel becomes ``size`` (sh, sw) equal ones.

    x (n, c, h, w), y (n, c, h sh, w sw), another tensor. Raises ``OptionError`` or ``ShapeError``.
    """
    cdef rn_upsample_args *a = record_upsample(plan, "upsample", KERNELS.upsample, x, y, size, 0.0)
    plan.link(&a.small, x, READ)
    plan.link(&a.large, y, WRITE)


def upsample_gradient(Plan plan, Slot dy, Slot dx, *, size) -> None:
    """Record dx[n, c, i, j] = sum of dy[n, c, i sh + u, j sw + v] over u < sh, v < sw: the gradient of ``upsample``.

    Raises as ``upsample``.
    """
    cdef rn_upsample_args *a = record_upsample(plan, "upsample_gradient", KERNELS.upsample_gradient, dx, dy, size, 1.0)
    plan.link(&a.large, dy, READ)
    plan.link(&a.small, dx, WRITE)


def dropout_planes(Plan plan, Slot x, Slot y, double rate, purpose) -> None:
    """Record y = x m / (1 - rate) with one m, 0 or 1, for each whole plane (sample, channel); ``y`` may be ``x``.

    Plane p is kept where the generator's word p is at least rate 2^32; keys, gradient and errors as for ``dropout``.
    """
    same_shape("x", x, "y", y)
    cdef Py_ssize_t size = x.shape[2] * x.shape[3], planes = x.shape[0] * x.shape[1], group = planes_of_tile(size)
    cdef uint32_t threshold = dropout_threshold(rate)
    cdef rn_dropout_planes_args *a = <rn_dropout_planes_args *> plan.record(
        "dropout_planes", KERNELS.dropout_planes, sizeof(rn_dropout_planes_args), divide_up(planes, group), 0, 1.0 * x.size,
        8.0 * x.size)
    a.step = &plan.step
    a.planes, a.group, a.size = planes, group, size
    a.scale = <float> (1.0 / (1.0 - rate))
    a.threshold = threshold
    a.purpose = word32(purpose)
    plan.link(&a.x, x, READ)
    plan.link(&a.y, y, WRITE)
    plan.may_overwrite(x, y)


def sum_planes(Plan plan, Slot x, Slot total) -> None:
    """Record total[c] = the sum of x (n, c, h, w) over n, h and w. Raises ``ShapeError`` where total has not c elements."""
    if total.size != x.shape[1]:
        raise ShapeError(f"the sums of {x.shape} over all but the channels are {x.shape[1]} numbers, not {total.size}")
    refuse_overlap("sum_planes", total, (x,))
    cdef rn_sum_planes_args *a = <rn_sum_planes_args *> plan.record(
        "sum_planes", KERNELS.sum_planes, sizeof(rn_sum_planes_args), x.shape[1], 0, 1.0 * x.size, 4.0 * x.size)
    a.n, a.channels, a.size = x.shape[0], x.shape[1], x.shape[2] * x.shape[3]
    plan.link(&a.x, x, READ)
    plan.link(&a.total, total, WRITE)


def add_pair(Plan plan, Slot a, Slot b, Slot y) -> None:
    """Record y = a + b, element by element; ``y`` may be either. Raises ``ShapeError`` where the shapes differ."""
    same_shape("a", a, "y", y)
    same_shape("b", b, "y", y)
    cdef rn_add_pair_args *args = <rn_add_pair_args *> plan.record(
        "add_pair", KERNELS.add_pair, sizeof(rn_add_pair_args), element_tiles(y.size), 0, 1.0 * y.size, 12.0 * y.size)
    args.n = y.size
    plan.link(&args.a, a, READ)
    plan.link(&args.b, b, READ)
    plan.link(&args.y, y, WRITE)
    plan.may_overwrite(a, y)
    plan.may_overwrite(b, y)


cdef int check_layer_norm(Slot x, Slot weight, Slot bias, Slot moments) except -1:
    cdef Slot slot
    for name, slot in (("weight", weight), ("bias", bias)):
        if slot is not None and slot.size != row_size(x):
            raise ShapeError(f"layer_norm of {x.shape} has {row_size(x)} elements of {name}, not {slot.size}")
    if row_size(x) == 0:
        raise ShapeError(f"layer_norm needs at least one feature a sample, got {x.shape}")
    if moments is not None and moments.size != 3 * x.shape[0]:
        raise ShapeError(f"layer_norm of {x.shape} leaves {3 * x.shape[0]} moments, not {moments.size}")
    return 0


cdef rn_layer_norm_args *record_layer_norm(Plan plan, str name, rn_kernel kernel, Slot x, double flops,
                                           double bytes) except NULL:
    cdef Py_ssize_t c = row_size(x), rows = rows_of_tile(c)
    cdef rn_layer_norm_args *a = <rn_layer_norm_args *> plan.record(
        name, kernel, sizeof(rn_layer_norm_args), divide_up(x.shape[0], rows), 0, flops * x.size, bytes * x.size)
    a.n, a.c, a.rows = x.shape[0], c, rows
    return a


def layer_norm(Plan plan, Slot x, Slot y, *, Slot weight=None, Slot bias=None, Slot moments=None, double epsilon=1e-5) -> None:
    """Record y = weight (x - m) / sqrt(v + epsilon) + bias, m and v the mean and the variance of each sample's own elements.

    x and y (n, c, h, w); weight and bias c h w numbers, 1 and 0 where None; ``moments`` (3 n) keeps what the gradient needs;
    ``y`` may be ``x`` where it is None. Source: Ba, Kiros and Hinton 2016. Raises ``ShapeError``.
    """
    same_shape("x", x, "y", y)
    check_layer_norm(x, weight, bias, moments)
    cdef rn_layer_norm_args *a = record_layer_norm(plan, "layer_norm", KERNELS.layer_norm, x, 8.0, 8.0)
    a.epsilon = <float> epsilon
    plan.link(&a.x, x, READ)
    plan.link(&a.y, y, WRITE)
    if weight is not None:
        plan.link(&a.weight, weight, READ)
    if bias is not None:
        plan.link(&a.bias, bias, READ)
    if moments is not None:
        plan.link(&a.moments, moments, WRITE)


def layer_norm_gradient(Plan plan, Slot x, Slot dy, Slot moments, Slot dx, *, Slot weight=None) -> None:
    """Record dx of ``layer_norm`` from its x, moments and weight; ``dx`` may be ``dy``. Raises ``ShapeError``."""
    same_shape("dy", dy, "x", x)
    same_shape("dx", dx, "x", x)
    check_layer_norm(x, weight, None, moments)
    cdef rn_layer_norm_args *a = record_layer_norm(plan, "layer_norm_gradient", KERNELS.layer_norm_gradient, x, 12.0, 12.0)
    plan.link(&a.x, x, READ)
    plan.link(&a.dy, dy, READ)
    plan.link(&a.moments, moments, READ)
    plan.link(&a.dx, dx, WRITE)
    plan.may_overwrite(dy, dx)
    if weight is not None:
        plan.link(&a.weight, weight, READ)


def layer_norm_weight_gradient(Plan plan, Slot x, Slot dy, Slot moments, Slot dweight, *, Slot dbias=None) -> None:
    """Record the gradients of ``layer_norm``'s weight and bias. Raises ``ShapeError``."""
    same_shape("dy", dy, "x", x)
    check_layer_norm(x, dweight, dbias, moments)
    cdef rn_layer_norm_weights_args *a = <rn_layer_norm_weights_args *> plan.record(
        "layer_norm_weights", KERNELS.layer_norm_weights, sizeof(rn_layer_norm_weights_args),
        divide_up(row_size(x), RN_SUM_COLUMNS), 0, 4.0 * x.size, 8.0 * x.size)
    a.n, a.c = x.shape[0], row_size(x)
    plan.link(&a.x, x, READ)
    plan.link(&a.dy, dy, READ)
    plan.link(&a.moments, moments, READ)
    plan.link(&a.dweight, dweight, WRITE)
    if dbias is not None:
        plan.link(&a.dbias, dbias, WRITE)
