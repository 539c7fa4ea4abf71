# Operators and functions of one element at a time, with broadcasting.

from libc.string cimport memchr

cdef extern from "rn.h" nogil:
    ctypedef struct rn_binary_args:
        rn_walk walk
        const float *a
        const float *b
        void *y
        float absolute
        float relative

    ctypedef struct rn_unary_args:
        const float *x
        float *y
        ptrdiff_t n
        float low
        float high

# What stands at one side of an operator: a tensor, or a number.
cdef struct Operand:
    const float *data
    Py_ssize_t[4] axes
    float value  # what `data` points to where it is a number

cdef object make_numpy_array = numpy.empty
cdef object NUMPY_BOOL = numpy.dtype(bool)


cdef object read_operand(object x, Operand *operand):
    """Fill `operand`; return what must be kept alive with it, or None where `x` is nothing to calculate with."""
    cdef Tensor4D t
    if isinstance(x, Tensor4D):
        t = x
    elif isinstance(x, (float, int)):
        operand.value = number(x, "an operand")
        operand.data = &operand.value
        operand.axes = [1, 1, 1, 1]
        return x
    elif PyObject_CheckBuffer(x) or isinstance(x, (list, tuple)) or hasattr(x, "__array__"):
        t = tensor_of(x)
    else:
        return None
    operand.data = t.data
    operand.axes = t.axes
    return t


cdef int read_operands(const Operand *a, const Operand *b, rn_binary_args *args, Py_ssize_t *shape) except -1:
    """Fill the walk over both, and the shape of the result, before axes are merged."""
    cdef int i
    for i in range(4):
        if a.axes[i] == b.axes[i] or b.axes[i] == 1:
            shape[i] = a.axes[i]
        elif a.axes[i] == 1:
            shape[i] = b.axes[i]
        else:
            raise ShapeError(f"tensors of shape {a.axes[0], a.axes[1], a.axes[2], a.axes[3]} and "
                             f"{b.axes[0], b.axes[1], b.axes[2], b.axes[3]} do not broadcast")
        args.walk.shape[i] = shape[i]
    broadcast_strides(a.axes, shape, args.walk.a)
    broadcast_strides(b.axes, shape, args.walk.b)
    merge_axes(&args.walk)
    args.a = a.data
    args.b = b.data
    return 0


cdef object arithmetic(rn_kernel kernel, object left, object right, double flops=1.0):
    """left op right, a tensor; NotImplemented where one of them is nothing to calculate with."""
    cdef Operand a, b
    cdef rn_binary_args args
    cdef Py_ssize_t[4] shape
    cdef Tensor4D y
    left = read_operand(left, &a)
    right = read_operand(right, &b)
    if left is None or right is None:
        return NotImplemented
    read_operands(&a, &b, &args, shape)
    y = empty_tensor(shape)
    args.y = y.data
    run_binary(kernel, &args, y.size, flops, 12.0)
    return y


cdef object arithmetic_in_place(rn_kernel kernel, Tensor4D target, object right, double flops=1.0):
    """target op= right; the result must have the target's shape."""
    cdef Operand a, b
    cdef rn_binary_args args
    cdef Py_ssize_t[4] shape
    cdef int i
    writable(target)
    read_operand(target, &a)
    right = read_operand(right, &b)
    if right is None:
        return NotImplemented
    if isinstance(right, Tensor4D) and overlap(right, target):
        if (<Tensor4D> right).data != target.data or not same_axes(b.axes, a.axes):
            right = copy_tensor(right)
            b.data = (<Tensor4D> right).data
    read_operands(&a, &b, &args, shape)
    if not same_axes(shape, a.axes):
        raise ShapeError(f"a tensor of shape {target.shape} cannot hold the result of shape "
                         f"{shape[0], shape[1], shape[2], shape[3]}")
    args.y = target.data
    run_binary(kernel, &args, target.size, flops, 12.0)
    return target


cdef object compare(rn_kernel kernel, object left, object right):
    """left relation right, a NumPy array of booleans; NotImplemented where one of them is nothing to compare with."""
    cdef Operand a, b
    cdef rn_binary_args args
    cdef Py_ssize_t[4] shape
    cdef Py_buffer buffer
    left = read_operand(left, &a)
    right = read_operand(right, &b)
    if left is None or right is None:
        return NotImplemented
    read_operands(&a, &b, &args, shape)
    y = make_numpy_array((shape[0], shape[1], shape[2], shape[3]), NUMPY_BOOL)
    PyObject_GetBuffer(y, &buffer, PyBUF_WRITABLE)
    args.y = buffer.buf
    run_binary(kernel, &args, buffer.len, 1.0, 9.0)
    PyBuffer_Release(&buffer)
    return y


cdef void run_binary(rn_kernel kernel, const rn_binary_args *args, Py_ssize_t size, double flops, double bytes) noexcept:
    if size > 0:
        launch(kernel, args, element_tiles(size), flops * size, bytes * size)


cdef bint same_axes(const Py_ssize_t *a, const Py_ssize_t *b) noexcept:
    return a[0] == b[0] and a[1] == b[1] and a[2] == b[2] and a[3] == b[3]


cdef bint hold_everywhere(rn_kernel kernel, object left, object right, float absolute, float relative) except -1:
    """Whether a relation holds for all pairs of elements."""
    cdef Operand a, b
    cdef rn_binary_args args
    cdef Py_ssize_t[4] shape
    cdef Py_ssize_t size
    left = read_operand(left, &a)
    given, right = right, read_operand(right, &b)
    if right is None:
        raise DtypeError(f"a tensor can be compared with tensors, arrays and numbers, got {type(given).__name__}")
    read_operands(&a, &b, &args, shape)
    size = count_elements(shape)
    args.absolute = absolute
    args.relative = relative
    args.y = allocate(size)
    run_binary(kernel, &args, size, 1.0, 9.0)
    cdef bint found = size > 0 and memchr(args.y, 0, size) != NULL
    rn_aligned_free(args.y)
    return not found


cdef bint equal_tensors(Tensor4D t, object other) except -1:
    """Whether `other` has the shape of `t` and the same values."""
    cdef Tensor4D x
    try:
        x = tensor_of(other)
    except (DtypeError, ShapeError):
        return False
    return same_axes(t.axes, x.axes) and hold_everywhere(KERNELS.equal, t, x, 0.0, 0.0)


cdef object power(object base, object exponent, Tensor4D target=None):
    """base ** exponent, into `target` or a new tensor. The exponents that people write are exact: products and square roots."""
    cdef Tensor4D t
    cdef double e
    if isinstance(base, Tensor4D) and isinstance(exponent, (float, int)):
        t = base
        e = number(exponent, "an exponent")
        if e == 2.0:
            return into(KERNELS.multiply, t, t, target)
        if e == 3.0:
            return into(KERNELS.multiply, into(KERNELS.multiply, t, t, None), t, target)
        if e == -1.0:
            return into(KERNELS.divide, 1.0, t, target)
        if e == 1.0:
            return into(KERNELS.multiply, t, 1.0, target)
        if e == 0.5:
            return activated(t, RN_SQRT, 1.0, target)
    if target is not None:
        return arithmetic_in_place(KERNELS.power, target, exponent, 60.0)
    return arithmetic(KERNELS.power, base, exponent, 60.0)


cdef object into(rn_kernel kernel, object left, object right, Tensor4D target):
    """left op right in `target`, which is one of them or shares no memory with them, or in a new tensor."""
    cdef Operand a, b
    cdef rn_binary_args args
    cdef Py_ssize_t[4] shape
    if target is None:
        return arithmetic(kernel, left, right)
    writable(target)
    left = read_operand(left, &a)
    right = read_operand(right, &b)
    read_operands(&a, &b, &args, shape)
    args.y = target.data
    run_binary(kernel, &args, target.size, 1.0, 12.0)
    return target


cdef Tensor4D activated(Tensor4D t, int code, double flops, Tensor4D target=None):
    """f(t), f one of rn.h's activations."""
    cdef rn_activate_args a
    if target is None:
        target = empty_tensor(t.axes)
    else:
        writable(target)
    a.x = t.data
    a.y = target.data
    a.n = t.size
    a.alpha = 0.0
    a.activation = code
    launch(KERNELS.activate, &a, element_tiles(a.n), flops * a.n, 8.0 * a.n)
    return target


cdef Tensor4D unary(rn_kernel kernel, Tensor4D t, float low=0.0, float high=0.0):
    """negative, absolute or clip."""
    cdef rn_unary_args a
    cdef Tensor4D y = empty_tensor(t.axes)
    a.x = t.data
    a.y = y.data
    a.n = t.size
    a.low = low
    a.high = high
    launch(kernel, &a, element_tiles(a.n), 1.0 * a.n, 8.0 * a.n)
    return y


cdef Tensor4D clip_tensor(Tensor4D t, object low, object high):
    cdef float least = -INFINITY if low is None else number(low, "the lower bound")
    cdef float largest = INFINITY if high is None else number(high, "the upper bound")
    if not least <= largest:
        raise OptionError(f"clip takes a lower bound that is not above the upper one, got {low!r} and {high!r}")
    return unary(KERNELS.clip, t, least, largest)


cdef Tensor4D map_tensor(Tensor4D t, object function):
    cdef Tensor4D y = empty_tensor(t.axes)
    cdef Py_ssize_t i
    if not callable(function):
        raise DtypeError(f"map takes a function of a number, got {function!r}")
    for i in range(t.size):
        y.data[i] = number(function(t.data[i]), "what a mapped function returns")
    return y


cdef dict OPERATORS = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv, "power": operator.pow,
    "matmul": operator.matmul, "less": operator.lt, "less_equal": operator.le, "equal": operator.eq, "not_equal": operator.ne,
    "greater": operator.gt, "greater_equal": operator.ge,
}


cdef object as_arrays(object x):
    """`x` with arrays over the memory of tensors in their place, in lists, tuples and dicts as well."""
    if isinstance(x, Tensor4D):
        return numpy.asarray(x)
    if isinstance(x, tuple):
        return tuple([as_arrays(item) for item in x])
    if isinstance(x, list):
        return [as_arrays(item) for item in x]
    if isinstance(x, dict):
        return {key: as_arrays(item) for key, item in x.items()}
    return x


cdef object apply_ufunc(object ufunc, str method, tuple inputs, dict options):
    """What NumPy asks for: array op tensor is a tensor, any other function gives NumPy's own result on arrays."""
    wanted = OPERATORS.get(ufunc.__name__)
    if wanted is not None and method == "__call__" and not options:
        left, right = inputs
        return wanted(left if isinstance(left, Tensor4D) else tensor_of(left), right)
    return getattr(ufunc, method)(*as_arrays(inputs), **as_arrays(options))
