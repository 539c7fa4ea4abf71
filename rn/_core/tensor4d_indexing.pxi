# Parts of a tensor: t[...] and t[...] = value.

from cpython.slice cimport PySlice_AdjustIndices, PySlice_Unpack

# The part of a tensor that an index names: one slice an axis.
cdef struct Part:
    Py_ssize_t[4] start
    Py_ssize_t[4] step
    Py_ssize_t[4] length
    bint element  # four integers: a single element


cdef int read_index(Tensor4D t, object index, Part *part) except -1:
    """Fill `part` from what stands between the brackets."""
    cdef tuple items = index if isinstance(index, tuple) else (index,)
    cdef Py_ssize_t given = 0
    cdef int ellipses = 0
    cdef int integers = 0
    cdef int axis = 0
    for item in items:
        if item is Ellipsis:
            ellipses += 1
        else:
            given += 1
    if given > 4 or ellipses > 1:
        raise IndexError(f"a tensor takes up to four indices and one ..., got {len(items)}: {index!r}")
    for item in items:
        if item is Ellipsis:
            for _ in range(4 - given):
                read_slice(t, slice(None), axis, part)
                axis += 1
        elif isinstance(item, slice):
            read_slice(t, item, axis, part)
            axis += 1
        else:
            read_integer(t, item, axis, part)
            integers += 1
            axis += 1
    while axis < 4:
        read_slice(t, slice(None), axis, part)
        axis += 1
    part.element = integers == 4
    return 0


cdef int read_slice(Tensor4D t, object item, int axis, Part *part) except -1:
    cdef Py_ssize_t stop
    try:
        PySlice_Unpack(item, &part.start[axis], &stop, &part.step[axis])
    except TypeError as error:
        raise DtypeError(f"the bounds of a slice are integers, got {item!r} for axis {axis}") from error
    part.length[axis] = PySlice_AdjustIndices(t.axes[axis], &part.start[axis], &stop, part.step[axis])
    return 0


cdef int read_integer(Tensor4D t, object item, int axis, Part *part) except -1:
    cdef Py_ssize_t i = read_position(item, axis, t.axes[axis])
    part.start[axis] = i
    part.step[axis] = 1
    part.length[axis] = 1
    return 0


cdef object no_index(object item):
    """The error for what is no index; masks and other arrays are named by their kind, not printed."""
    shape = getattr(item, "shape", None)
    got = f"{item!r:.80}" if shape is None else f"an array of {getattr(item, 'dtype', 'float32')}, shape {shape}"
    return DtypeError(f"a tensor is indexed by integers, slices and ..., got {got}; by masks and arrays: numpy.asarray(t)[mask]")


cdef Py_ssize_t read_position(object item, int axis, Py_ssize_t length) except -1:
    """An index along an axis as a number from 0 to length - 1."""
    if isinstance(item, bool) or not (isinstance(item, int) or hasattr(item, "__index__")):
        raise no_index(item)
    try:
        position = operator.index(item)
    except TypeError as error:
        raise no_index(item) from error
    if not -length <= position < length:
        raise IndexError(f"index {position} is out of range for axis {axis} of length {length}")
    return position + length if position < 0 else position


cdef object get_part(Tensor4D t, object index):
    cdef Part part
    cdef rn_copy_args a
    cdef Tensor4D y
    cdef Py_ssize_t offset
    read_index(t, index, &part)
    offset = part_walk(t, &part, &a.walk, a.walk.a)
    if part.element:
        return t.data[offset]
    y = empty_tensor(part.length)
    natural_strides(y.axes, a.walk.b)
    a.x = t.data + offset
    a.y = y.data
    copy_walk(&a)
    return y


cdef int set_part(Tensor4D t, object index, object value) except -1:
    cdef Part part
    cdef rn_copy_args a
    cdef Py_ssize_t offset
    cdef float single
    cdef Tensor4D x
    writable(t)
    read_index(t, index, &part)
    offset = part_walk(t, &part, &a.walk, a.walk.b)
    if isinstance(value, (float, int)):
        single = number(value, "a value")
        a.walk.a = [0, 0, 0, 0]
        a.x = &single
    else:
        x = tensor_of(value)
        if not broadcast_strides(x.axes, part.length, a.walk.a):
            raise ShapeError(f"values of shape {x.shape} do not broadcast to the part of shape "
                             f"{part.length[0], part.length[1], part.length[2], part.length[3]} at {index!r}")
        if overlap(x, t):
            x = copy_tensor(x)
        a.x = x.data
    a.y = t.data + offset
    copy_walk(&a)
    return 0


cdef Py_ssize_t part_walk(Tensor4D t, const Part *part, rn_walk *walk, ptrdiff_t *strides):
    """Set the walk's shape to the part's and `strides` to its strides in `t`; return where it starts."""
    cdef Py_ssize_t offset = 0
    cdef int i
    natural_strides(t.axes, strides)
    for i in range(4):
        walk.shape[i] = part.length[i]
        offset += part.start[i] * strides[i]
        strides[i] *= part.step[i]
    return offset


cdef int writable(Tensor4D t) except -1:
    if t.readonly:
        raise StateError("this tensor is read-only: its memory is somebody else's; write to a copy()")
    return 0


cdef double single_element(Tensor4D t, str what) except? -1.0:
    if t.size != 1:
        raise OptionError(f"{what} of a tensor with {t.size} elements, shape {t.shape}, is not one number")
    return t.data[0]


cdef bint overlap(Tensor4D a, Tensor4D b):
    """Whether two tensors have a byte in common."""
    return a.data < b.data + b.size and b.data < a.data + a.size
