# Elements put elsewhere: walks over strides, other shapes, transposes, padding.

from cpython.number cimport PyNumber_Index

cdef extern from "rn.h" nogil:
    ctypedef struct rn_walk:
        ptrdiff_t[4] shape
        ptrdiff_t[4] a
        ptrdiff_t[4] b

    ctypedef struct rn_copy_args:
        rn_walk walk
        const float *x
        float *y

    ctypedef struct rn_pad_args:
        rn_walk walk
        ptrdiff_t[4] before
        ptrdiff_t[4] lengths
        const float *x
        float *y
        float value

    enum:
        RN_TRANSPOSE_ROWS

    ctypedef struct rn_transpose_args:
        const float *x
        float *y
        ptrdiff_t[2] outer
        ptrdiff_t rows
        ptrdiff_t columns
        ptrdiff_t[2] x_outer
        ptrdiff_t x_stride
        ptrdiff_t[2] y_outer
        ptrdiff_t y_stride

# A call that moves fewer bytes than this is over before another thread could have used the GIL.
cdef double RELEASE_FROM = 100000.0


cdef void launch(rn_kernel kernel, const void *args, Py_ssize_t tiles, double flops, double bytes) noexcept:
    """Run one kernel now, outside any plan; without the GIL where that is worth it."""
    cdef Call call = loose_call(kernel, args, tiles, 0, flops, bytes)
    if bytes < RELEASE_FROM:
        run(&call, NULL, NULL, 0)
    else:
        run_now(&call)


cdef void set_walk(rn_walk *walk, Py_ssize_t n, Py_ssize_t c, Py_ssize_t h, Py_ssize_t w) noexcept:
    """A walk of the shape (n, c, h, w) whose strides are still 0."""
    walk.shape = [n, c, h, w]
    walk.a = [0, 0, 0, 0]
    walk.b = [0, 0, 0, 0]


cdef void natural_strides(const Py_ssize_t *axes, ptrdiff_t *strides) noexcept:
    """The strides of a C-contiguous tensor, in elements."""
    cdef ptrdiff_t stride = 1
    cdef int i
    for i in range(3, -1, -1):
        strides[i] = stride
        stride *= axes[i]


cdef bint broadcast_strides(const Py_ssize_t *axes, const Py_ssize_t *shape, ptrdiff_t *strides) noexcept:
    """Strides that repeat a C-contiguous tensor of lengths `axes` to `shape`; False where it does not fit."""
    cdef int i
    natural_strides(axes, strides)
    for i in range(4):
        if axes[i] == 1:
            strides[i] = 0
        elif axes[i] != shape[i]:
            return False
    return True


cdef void merge_axes(rn_walk *walk) noexcept:
    """Join axes that both arrays walk as one, so that rows are as long as they can be; drop those of length 1."""
    cdef int last = 3  # the axis that others are joined to
    cdef int i
    for i in range(2, -1, -1):
        if walk.shape[i] == 1:
            continue
        if walk.shape[last] == 1:
            walk.a[last] = walk.a[i]
            walk.b[last] = walk.b[i]
            walk.shape[last] = walk.shape[i]
        elif walk.a[i] == walk.a[last] * walk.shape[last] and walk.b[i] == walk.b[last] * walk.shape[last]:
            walk.shape[last] *= walk.shape[i]
        else:
            last -= 1
            walk.a[last] = walk.a[i]
            walk.b[last] = walk.b[i]
            walk.shape[last] = walk.shape[i]
    for i in range(last):
        walk.a[i] = walk.b[i] = 0
        walk.shape[i] = 1


cdef void copy_walk(rn_copy_args *a) noexcept:
    """Run copy_block over the walk in `a`."""
    cdef Py_ssize_t size = a.walk.shape[0] * a.walk.shape[1] * a.walk.shape[2] * a.walk.shape[3]
    if size == 0:
        return
    merge_axes(&a.walk)
    launch(KERNELS.copy_block, a, element_tiles(size), 0.0, 8.0 * size)


cdef Tensor4D view_tensor(Tensor4D t, Py_ssize_t n, Py_ssize_t c, Py_ssize_t h, Py_ssize_t w):
    """The memory of `t` under another shape of as many elements."""
    cdef Tensor4D y = Tensor4D.__new__(Tensor4D)
    cdef Py_ssize_t[4] axes = [n, c, h, w]
    set_memory(y, t.data, axes, t if t.owner is None else t.owner, t.readonly)
    return y


cdef Tensor4D reshape_tensor(Tensor4D t, tuple shape):
    cdef Py_ssize_t[4] axes
    cdef Py_ssize_t known
    lengths = shape[0] if len(shape) == 1 and not is_integer(shape[0]) else shape
    if isinstance(lengths, (str, bytes)) or not hasattr(lengths, "__iter__"):
        raise DtypeError(f"a shape is one to four integers, got {lengths!r}")
    lengths = tuple(lengths)
    unknown = [i for i, length in enumerate(lengths) if is_integer(length) and length == -1]
    if len(unknown) > 1:
        raise ShapeError(f"at most one length of a shape can be -1, got {lengths}")
    read_shape([1 if i in unknown else length for i, length in enumerate(lengths)], axes)
    known = count_elements(axes)
    if unknown:
        if known == 0 or t.size % known != 0:
            raise ShapeError(f"{t.size} elements of shape {t.shape} cannot have the shape {lengths}")
        axes[4 - len(lengths) + <Py_ssize_t> unknown[0]] = t.size // known
    elif known != t.size:
        raise ShapeError(f"{t.size} elements of shape {t.shape} cannot have the shape {lengths}")
    return view_tensor(t, axes[0], axes[1], axes[2], axes[3])


cdef Tensor4D transpose_tensor(Tensor4D t, object axes):
    cdef Py_ssize_t[4] lengths
    cdef ptrdiff_t[4] strides
    cdef rn_copy_args a
    cdef Tensor4D y
    cdef int i
    order = [read_axis(axis) for axis in axes] if hasattr(axes, "__iter__") else axes
    if not isinstance(order, list) or sorted(order) != [0, 1, 2, 3]:
        raise OptionError(f"transpose takes each of the axes 0, 1, 2, 3 once, got {axes!r}")
    natural_strides(t.axes, strides)
    for i in range(4):
        lengths[i] = t.axes[<Py_ssize_t> order[i]]
        a.walk.shape[i] = lengths[i]
        a.walk.a[i] = strides[<Py_ssize_t> order[i]]
    y = empty_tensor(lengths)
    if y.size == 0:
        return y
    natural_strides(lengths, a.walk.b)
    a.x = t.data
    a.y = y.data
    merge_axes(&a.walk)
    if a.walk.a[3] == 1:
        launch(KERNELS.copy_block, &a, element_tiles(y.size), 0.0, 8.0 * y.size)
    else:
        transpose_walk(&a, y.size)
    return y


cdef void transpose_walk(const rn_copy_args *a, Py_ssize_t size) noexcept:
    """Run transpose_planes over a walk whose x is without gaps along another axis than y, whose own is the last."""
    cdef rn_transpose_args planes
    cdef int outer = 0
    cdef int i
    planes.x = a.x
    planes.y = a.y
    planes.columns = a.walk.shape[3]
    planes.x_stride = a.walk.a[3]
    planes.outer = [1, 1]
    planes.x_outer = [0, 0]
    planes.y_outer = [0, 0]
    planes.rows = 1
    planes.y_stride = 0
    for i in range(3):
        if a.walk.a[i] == 1:
            planes.rows = a.walk.shape[i]
            planes.y_stride = a.walk.b[i]
        elif a.walk.shape[i] > 1:
            planes.outer[outer] = a.walk.shape[i]
            planes.x_outer[outer] = a.walk.a[i]
            planes.y_outer[outer] = a.walk.b[i]
            outer += 1
    cdef Py_ssize_t strips = (planes.rows + RN_TRANSPOSE_ROWS - 1) // RN_TRANSPOSE_ROWS
    launch(KERNELS.transpose_planes, &planes, planes.outer[0] * planes.outer[1] * strips, 0.0, 8.0 * size)


cdef Py_ssize_t read_axis(object axis) except -1:
    """An axis as a number from 0 to 3; negative ones count from the last."""
    if isinstance(axis, bool) or not is_integer(axis):
        raise DtypeError(f"an axis is an integer, got {axis!r}")
    axis = operator.index(axis)
    if not -4 <= axis < 4:
        raise OptionError(f"a tensor has the axes 0 to 3 (or -4 to -1), got {axis}")
    return axis % 4


cdef Tensor4D pad_tensor(Tensor4D t, object widths, object value):
    cdef Py_ssize_t[4] lengths
    cdef Py_ssize_t[4] before
    cdef rn_pad_args a
    cdef Tensor4D y
    cdef Py_ssize_t i
    a.value = number(value, "the value of the padding")
    a.x = t.data
    natural_strides(t.axes, a.walk.a)
    for i, (front, back) in enumerate(padding_pairs(widths)):
        if front + back > PY_SSIZE_T_MAX - t.axes[i]:
            raise MemoryError(f"a tensor of shape {t.shape} padded by {widths!r} is larger than any memory")
        a.before[i] = front
        a.lengths[i] = t.axes[i]
        lengths[i] = a.walk.shape[i] = t.axes[i] + <Py_ssize_t> (front + back)
        a.x -= a.before[i] * a.walk.a[i]
    y = empty_tensor(lengths)
    natural_strides(lengths, a.walk.b)
    a.y = y.data
    launch(KERNELS.pad, &a, element_tiles(y.size), 0.0, 4.0 * (t.size + y.size))
    return y


cdef list padding_pairs(object widths):
    """The widths of a padding as four pairs (before, after)."""
    if is_integer(widths) and not isinstance(widths, bool):
        widths = ((widths, widths), (widths, widths))
    cdef list pairs = []
    try:
        for front, back in widths:
            pairs.append((PyNumber_Index(front), PyNumber_Index(back)))
    except (TypeError, ValueError) as error:
        raise ShapeError(f"padding is an integer or pairs (before, after) of integers, got {widths!r}") from error
    if len(pairs) not in (2, 4):
        raise ShapeError(f"padding has two pairs, for h and w, or four, one an axis, got {len(pairs)}: {widths!r}")
    for front, back in pairs:
        if front < 0 or back < 0:
            raise ShapeError(f"padding cannot be negative, got {widths!r}")
    return [(0, 0)] * (4 - len(pairs)) + pairs
