# Doorways of pooling over images.

cdef extern from "rn.h" nogil:
    enum:
        RN_POOL_MARGIN

    ctypedef struct rn_pool_args:
        const float *x
        const float *dy
        float *result
        int32_t *taps
        ptrdiff_t planes
        ptrdiff_t group
        ptrdiff_t h
        ptrdiff_t w
        ptrdiff_t oh
        ptrdiff_t ow
        ptrdiff_t kh
        ptrdiff_t kw
        ptrdiff_t sh
        ptrdiff_t sw
        ptrdiff_t top
        ptrdiff_t left
        ptrdiff_t row
        int relu


cdef Py_ssize_t pooled_axis(str axis, Py_ssize_t length, Py_ssize_t size, Py_ssize_t stride, Py_ssize_t before,
                            Py_ssize_t after) except -1:
    """How many windows one axis has; every window must hold at least one element of the image."""
    if size < 1 or stride < 1:
        raise OptionError(f"pooling needs a size and a stride of at least 1, got {size} and {stride} along {axis}")
    if not (0 <= before < size and 0 <= after < size):
        raise OptionError(f"pooling padding must be from 0 to below the size {size}, got ({before}, {after}) along {axis}")
    if length < 1 or length + before + after < size:
        raise ShapeError(f"a pooling window of {size} does not fit {length} + {before} + {after} elements along {axis}")
    return (length + before + after - size) // stride + 1


cdef rn_pool_args pooling_of(str name, tuple image, tuple pooled, size, stride, padding) except *:
    """The sizes of one pooling from shapes, checked; no tensor is linked yet."""
    cdef rn_pool_args a
    memset(&a, 0, sizeof(a))
    n, c, a.h, a.w = image
    (a.kh, a.kw), (a.sh, a.sw), ((a.top, bottom), (a.left, right)) = size, stride, padding
    a.oh, a.ow = pooled_axis("h", a.h, a.kh, a.sh, a.top, bottom), pooled_axis("w", a.w, a.kw, a.sw, a.left, right)
    expected = (n, c, a.oh, a.ow)
    if pooled != expected:
        raise ShapeError(f"{name} of {image} by {a.kh} x {a.kw}, stride {a.sh} x {a.sw}, has shape {expected}, got {pooled}")
    a.planes, a.group = n * c, max(1, RN_ELEMENT_TILE // (a.h * a.w))
    a.row = a.kw + RN_POOL_MARGIN + max(a.ow, (a.w - 1 + a.left) // a.sw + 1)
    return a


cdef Py_ssize_t pool_scratch(const rn_pool_args *a) noexcept nogil:
    """The bytes that the gradient of a pooling works in."""
    return 8 * a.oh * a.row


cdef rn_pool_args *record_pool(Plan plan, str name, rn_kernel kernel, Slot image, Slot pooled, size, stride, padding,
                               bint gradient, double flops_of_cell, double arrays_of_image, double arrays_of_pooled) except NULL:
    """Check the shapes of one pooling, record its call and return its arguments, tensors not yet linked."""
    if image.root is pooled.root:
        raise OptionError(f"{name} cannot write over what it reads")
    cdef rn_pool_args a = pooling_of(name, image.shape, pooled.shape, size, stride, padding)
    cdef rn_pool_args *call = <rn_pool_args *> plan.record(
        name, kernel, sizeof(rn_pool_args), (a.planes + a.group - 1) // a.group, pool_scratch(&a) if gradient else 0,
        flops_of_cell * pooled.size * a.kh * a.kw, 4.0 * (arrays_of_image * image.size + arrays_of_pooled * pooled.size))
    call[0] = a
    return call


def max_pool2d(Plan plan, Slot x, Slot y, *, size, stride, padding=((0, 0), (0, 0)), Slot taps=None, bint relu=False) -> None:
    """Record y[n, c, i, j] = the largest x[n, c, i sh - top + p, j sw - left + q], p < kh, q < kw, inside the image.

    ``size`` (kh, kw), ``stride`` (sh, sw), ``padding`` ((top, bottom), (left, right)), each less than the size; y has
    (h + top + bottom - kh) // sh + 1 rows and columns likewise. Padding never wins; a NaN in a window is its maximum. Raises
    ``OptionError`` or ``ShapeError``.

    ``taps``, of y's shape, takes what ``max_pool2d_gradient`` needs: p kw + q of each window's first largest cell, row by row.
    ``relu``: x is what ReLU gave, and the gradient is to be that by ReLU's input: windows whose maximum is 0 give nothing.
    """
    if taps is not None:
        same_shape("taps", taps, "y", y)
        if taps.root is y.root or taps.root is x.root:
            raise OptionError("max_pool2d's taps are a tensor of their own")
    cdef rn_pool_args *a = record_pool(plan, "max_pool2d", KERNELS.max_pool2d, x, y, size, stride, padding, False, 1.0, 1.0,
                                       1.0 if taps is None else 2.0)
    a.relu = relu
    plan.link(&a.x, x, READ)
    plan.link(&a.result, y, WRITE)
    if taps is not None:
        plan.link(&a.taps, taps, WRITE)


def max_pool2d_gradient(Plan plan, Slot taps, Slot dy, Slot dx, *, size, stride, padding=((0, 0), (0, 0))) -> None:
    """Record dx: each dy goes to the cell that holds its window's maximum, by the taps; overlapping windows add up.

    ``taps`` are those of ``max_pool2d``, ``dx`` has the shape of its x and is another tensor than dy. Raises as ``max_pool2d``.
    """
    same_shape("dy", dy, "taps", taps)
    if dx.root is taps.root:
        raise OptionError("max_pool2d_gradient cannot write over what it reads")
    cdef rn_pool_args *a = record_pool(plan, "max_pool2d_gradient", KERNELS.max_pool2d_gradient, dx, dy, size, stride, padding,
                                       True, 1.0, 1.0, 2.0)
    plan.link(&a.taps, taps, READ)
    plan.link(&a.dy, dy, READ)
    plan.link(&a.result, dx, WRITE)


def avg_pool2d(Plan plan, Slot x, Slot y, *, size, stride, padding=((0, 0), (0, 0))) -> None:
    """Record y[n, c, i, j] = the mean of x[n, c, i sh - top + p, j sw - left + q], p < kh, q < kw, inside the image.

    Arguments and errors as for ``max_pool2d``; padding is not counted.
    """
    cdef rn_pool_args *a = record_pool(plan, "avg_pool2d", KERNELS.avg_pool2d, x, y, size, stride, padding, False, 1.0, 1.0, 1.0)
    plan.link(&a.x, x, READ)
    plan.link(&a.result, y, WRITE)


def avg_pool2d_gradient(Plan plan, Slot dy, Slot dx, *, size, stride, padding=((0, 0), (0, 0))) -> None:
    """Record dx: each dy, divided by the cells its window has inside the image, goes to all of them; overlapping windows add up.

    ``dx`` has the shape of ``avg_pool2d``'s x and is another tensor than dy. Raises as ``max_pool2d``.
    """
    cdef rn_pool_args *a = record_pool(plan, "avg_pool2d_gradient", KERNELS.avg_pool2d_gradient, dx, dy, size, stride, padding,
                                       True, 1.0, 1.0, 1.0)
    plan.link(&a.dy, dy, READ)
    plan.link(&a.result, dx, WRITE)
