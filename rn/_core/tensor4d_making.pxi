# How a tensor comes to be: from a shape, from numbers, from arrays.

from cpython.number cimport PyIndex_Check
from cpython.sequence cimport PySequence_Check
from libc.math cimport INFINITY, ceil, isfinite

cdef extern from *:
    Py_ssize_t PY_SSIZE_T_MAX


cdef void set_memory(Tensor4D t, float *data, const Py_ssize_t *axes, object owner, bint readonly):
    """Give `t` its memory, once: `owner`'s, or its own where owner is None."""
    cdef int i
    t.data = data
    t.size = 1
    for i in range(4):
        t.axes[i] = axes[i]
        t.size *= axes[i]
    t.owner = owner
    t.owned = owner is None
    t.readonly = readonly


cdef Py_ssize_t count_elements(const Py_ssize_t *axes) except -1:
    """The product of four lengths, none negative; MemoryError where no machine could hold them."""
    cdef Py_ssize_t room = PY_SSIZE_T_MAX // <Py_ssize_t> sizeof(float) - 64
    cdef Py_ssize_t size = 1
    cdef int i
    for i in range(4):
        if axes[i] > room:
            raise MemoryError(f"a tensor of shape {axes[0], axes[1], axes[2], axes[3]} is larger than any memory")
        if axes[i] > 0:
            room //= axes[i]
        size *= axes[i]
    return size


cdef Tensor4D empty_tensor(const Py_ssize_t *axes, bint zeros=False):
    """A tensor of memory of its own, uninitialised or zero."""
    cdef Py_ssize_t size = count_elements(axes)
    cdef Tensor4D t = Tensor4D.__new__(Tensor4D)
    set_memory(t, <float *> allocate(size * <Py_ssize_t> sizeof(float), zeros), axes, None, False)
    return t


cdef Tensor4D tensor_of_shape(object shape):
    """A tensor of uninitialised memory of its own, of a shape that may be too large for any memory."""
    cdef Py_ssize_t[4] axes
    read_shape(shape, axes)
    return empty_tensor(axes)


cdef bint is_integer(object x):
    """Whether `x` is an integer, or a boolean, of Python, NumPy or another library; arrays of one element are none.

    No question to `numbers.Integral`: it is answered in Python, and where Ctrl-C breaks that off, an error is a yes.
    """
    return PyIndex_Check(x) and not PySequence_Check(x) and type(x) is not numpy.bool_


cdef bint is_shape(object x):
    """Whether `x` is a tuple of integers, which means a shape, not data."""
    if not isinstance(x, tuple):
        return False
    for length in x:
        if isinstance(length, bool) or not is_integer(length):
            return False
    return True


cdef int read_shape(object shape, Py_ssize_t *axes) except -1:
    """Fill `axes` from an integer or a sequence of one to four, with 1 for the axes that lack on the left."""
    lengths = (shape,) if is_integer(shape) else shape
    if isinstance(lengths, (str, bytes)) or not hasattr(lengths, "__iter__"):
        raise DtypeError(f"a shape is an integer or one to four of them, got {shape!r}")
    lengths = tuple(lengths)
    cdef Py_ssize_t missing = 4 - len(lengths)
    cdef Py_ssize_t i
    if not 1 <= len(lengths) <= 4:
        raise ShapeError(f"a tensor's shape has one to four lengths, got {len(lengths)}: {shape!r}")
    for i in range(missing):
        axes[i] = 1
    for i, length in enumerate(lengths):
        if isinstance(length, bool) or not is_integer(length):
            raise DtypeError(f"the lengths of a shape are integers, got {length!r} in {shape!r}")
        length = operator.index(length)
        if length < 0:
            raise ShapeError(f"the lengths of a shape are 0 or more, got {length} in {shape!r}")
        if length > PY_SSIZE_T_MAX:
            raise MemoryError(f"a tensor of shape {shape!r} is larger than any memory")
        axes[missing + i] = length
    return 0


cdef int fill_axes(object shape, Py_ssize_t *axes) except -1:
    """Fill `axes` from the shape of an array, with 1 for the axes that lack on the left."""
    cdef Py_ssize_t missing = 4 - len(shape)
    cdef Py_ssize_t i
    if missing < 0:
        raise ShapeError(f"a tensor has at most four axes, got an array of {len(shape)}: {tuple(shape)}")
    for i in range(4):
        axes[i] = 1 if i < missing else shape[i - missing]
    return 0


cdef double real(object x, str what) except? -1.0:
    """`x` as a float64, infinite where it is too large; DtypeError where it is no real number."""
    if isinstance(x, (str, bytes, complex)):
        raise DtypeError(f"{what} is a real number, got {x!r}")
    try:
        return float(x)
    except OverflowError:
        return -INFINITY if x < 0 else INFINITY
    except (TypeError, ValueError) as error:
        raise DtypeError(f"{what} is a number, got {x!r}") from error


cdef float number(object x, str what) except? -1.0:
    """`x` as a float32, infinite where it is too large; DtypeError where it is no real number."""
    return <float> real(x, what)


cdef int make_tensor(Tensor4D t, object x) except -1:
    """Fill `t`, which has nothing yet, with zeros of the shape `x` or with a copy of the data `x`."""
    cdef Py_ssize_t[4] axes
    if is_shape(x):
        read_shape(x, axes)
        set_memory(t, <float *> allocate(count_elements(axes) * <Py_ssize_t> sizeof(float), True), axes, None, False)
        return 0
    copy_data(t, x)
    return 0


cdef Tensor4D tensor_of(object x):
    """`x` as a tensor for reading: itself or its memory where that is possible, otherwise a copy."""
    cdef Tensor4D t
    if isinstance(x, Tensor4D):
        return x
    if PyObject_CheckBuffer(x):
        refuse_hidden(x)
        t = share_if_possible(x)
        if t is not None:
            return t
    t = Tensor4D.__new__(Tensor4D)
    copy_data(t, x)
    return t


cdef int copy_data(Tensor4D t, object x) except -1:
    """Give `t`, which has nothing yet, memory of its own with the values of `x`."""
    cdef Tensor4D source
    cdef Py_ssize_t[4] axes = [1, 1, 1, 1]
    if isinstance(x, (float, int)):
        set_memory(t, <float *> allocate(sizeof(float)), axes, None, False)
        t.data[0] = number(x, "a value")
        return 0
    if isinstance(x, Tensor4D):
        source = x
        set_memory(t, <float *> allocate(source.size * <Py_ssize_t> sizeof(float)), source.axes, None, False)
        copy_elements(t.data, source.data, t.size)
        return 0
    refuse_hidden(x)
    if PyObject_CheckBuffer(x) and copy_buffer(t, x):
        return 0
    array = number_array(x)
    fill_axes(array.shape, axes)
    set_memory(t, <float *> allocate(count_elements(axes) * <Py_ssize_t> sizeof(float)), axes, None, False)
    with numpy.errstate(over="ignore", invalid="ignore"):
        numpy.copyto(numpy.asarray(t).reshape(array.shape), array, casting="unsafe")
    return 0


cdef int refuse_hidden(object x) except -1:
    """Refuse masked arrays, as models do."""
    if type(x) is not numpy.ndarray:
        refuse_masked("x", x)
    return 0


cdef object number_array(object x):
    """`x` as a NumPy array of booleans, integers or floats."""
    try:
        array = numpy.asarray(x)
    except MemoryError:
        raise
    except ValueError as error:
        raise ShapeError(f"nested sequences must have one length at every level: {error}") from error
    except Exception as error:
        raise DtypeError(f"{type(x).__name__} cannot be read as an array of numbers: {error}") from error
    if array.dtype.kind not in "buif":
        raise DtypeError(f"a tensor holds real numbers, got {type(x).__name__} with values of type {array.dtype}")
    return array


cdef void copy_elements(float *y, const float *x, Py_ssize_t size):
    """y[i] = x[i]; the two do not overlap."""
    cdef rn_copy_args a
    set_walk(&a.walk, 1, 1, 1, size)
    a.walk.a[3] = a.walk.b[3] = 1
    a.x = x
    a.y = y
    launch(KERNELS.copy_block, &a, element_tiles(size), 0.0, 8.0 * size)


cdef void fill_elements(float *y, Py_ssize_t size, float value):
    """y[i] = value."""
    cdef rn_fill_args a
    a.y = y
    a.n = size
    a.value = value
    launch(KERNELS.fill, &a, element_tiles(size), 0.0, 4.0 * size)


cdef Tensor4D zeros_tensor(object shape):
    cdef Py_ssize_t[4] axes
    read_shape(shape, axes)
    return empty_tensor(axes, True)


cdef Tensor4D full_tensor(object shape, object value):
    cdef float fill_value = number(value, "the value of a tensor")
    cdef Tensor4D t = tensor_of_shape(shape)
    fill_elements(t.data, t.size, fill_value)
    return t


cdef Tensor4D eye_tensor(object rows, object columns):
    cdef Tensor4D t = zeros_tensor((rows, columns))
    cdef Py_ssize_t i
    for i in range(min(t.axes[2], t.axes[3])):
        t.data[i * t.axes[3] + i] = 1.0
    return t


cdef Tensor4D arange_tensor(object start, object stop, object step):
    if stop is None:
        start, stop = 0, start
    try:
        first, end, pace = float(start), float(stop), float(step)
    except (TypeError, ValueError, OverflowError) as error:
        raise DtypeError(f"arange takes numbers, got {start!r}, {stop!r}, {step!r}") from error
    if pace == 0.0 or not (isfinite(first) and isfinite(end) and isfinite(pace)):
        raise OptionError(f"arange takes finite bounds and a step other than 0, got {start!r}, {stop!r}, {step!r}")
    cdef double begin = first
    cdef double stride = pace
    cdef double count = max(0.0, ceil((<double> end - begin) / stride))
    if count > <double> (PY_SSIZE_T_MAX // 64):
        raise MemoryError(f"arange of {count:.3g} elements is larger than any memory")
    cdef Tensor4D t = new_tensor((1, 1, 1, <Py_ssize_t> count))
    cdef Py_ssize_t i
    for i in range(t.size):
        t.data[i] = <float> (begin + i * stride)
    return t
