# What networks are made of, as methods of a tensor: products, convolutions, pooling, softmax, dropout.

cdef extern from "rn.h" nogil:
    ctypedef struct rn_columns_args:
        const float *from_ "from"
        float *to
        ptrdiff_t n
        ptrdiff_t channels
        ptrdiff_t h
        ptrdiff_t w
        ptrdiff_t kh
        ptrdiff_t kw
        ptrdiff_t oh
        ptrdiff_t ow
        ptrdiff_t stride_y
        ptrdiff_t stride_x
        ptrdiff_t dilation_y
        ptrdiff_t dilation_x
        ptrdiff_t top
        ptrdiff_t left


cdef object multiply_matrices(object left, object right):
    """left @ right over the last two axes; NotImplemented where one of them is no tensor, array or sequence."""
    cdef Operand a_operand, b_operand
    cdef Tensor4D a, b, c
    cdef Py_ssize_t[4] shape
    cdef Py_ssize_t n, i, j, rows
    cdef int axis
    left = read_operand(left, &a_operand)
    right = read_operand(right, &b_operand)
    if not (isinstance(left, Tensor4D) and isinstance(right, Tensor4D)):
        return NotImplemented
    a, b = left, right
    if a.axes[3] != b.axes[2]:
        column = b.size == b.axes[3] == a.axes[3]
        remedy = f"; a vector at the right is a column, reshape(1, 1, {a.axes[3]}, 1)" if column else ""
        raise ShapeError(f"matrices of shape {a.shape} and {b.shape} do not multiply: {a.axes[3]} columns, {b.axes[2]} rows"
                         + remedy)
    for axis in range(2):
        if a.axes[axis] != b.axes[axis] and a.axes[axis] != 1 and b.axes[axis] != 1:
            raise ShapeError(f"matrices of shape {a.shape} and {b.shape} do not broadcast over the first two axes")
        shape[axis] = b.axes[axis] if a.axes[axis] == 1 else a.axes[axis]
    shape[2], shape[3] = a.axes[2], b.axes[3]
    c = empty_tensor(shape)
    if c.size == 0:
        return c
    n = shape[0] * shape[1]
    rows = shape[2]
    if b.axes[0] == 1 and b.axes[1] == 1:
        n, rows = 1, n * rows  # one matrix at the right: all those at the left are one tall matrix
    multiply_each(a, b, c, n, rows)
    return c


cdef int multiply_each(Tensor4D a, Tensor4D b, Tensor4D c, Py_ssize_t n, Py_ssize_t rows) except -1:
    """c = a @ b, `n` matrices of `rows` rows one after the other in c."""
    cdef Call call
    cdef rn_gemm_args args
    cdef Py_ssize_t i, j, place
    cdef Py_ssize_t a_step = a.axes[2] * a.axes[3]
    cdef Py_ssize_t b_step = b.axes[2] * b.axes[3]
    cdef int threads
    cdef Crew *crew
    cdef char *scratch
    memset(&args, 0, sizeof(args))
    args.m, args.n, args.k = rows, c.axes[3], a.axes[3]
    args.left_row, args.left_step = args.k, 1
    args.right_step, args.right_column = args.n, 1
    args.c_row = args.n
    args.activation = RN_LINEAR
    call = loose_call(KERNELS.gemm, &args, cut_gemm(&args), 0, 2.0 * args.m * args.n * args.k,
                      4.0 * (<double> args.m * args.k + <double> args.k * args.n + <double> args.m * args.n))
    call.scratch = (gemm_scratch(&args) + 63) & ~63
    threads = threads_for(&call, current_threads())
    scratch = <char *> allocate(threads * call.scratch)
    crew = muster(threads)
    with nogil:
        for place in range(n):
            i = place // c.axes[1]
            j = place % c.axes[1]
            args.left = a.data + ((i if a.axes[0] > 1 else 0) * a.axes[1] + (j if a.axes[1] > 1 else 0)) * a_step
            args.right = b.data + ((i if b.axes[0] > 1 else 0) * b.axes[1] + (j if b.axes[1] > 1 else 0)) * b_step
            args.c = c.data + place * rows * args.n
            run(&call, crew, scratch, call.scratch)
    stand_down(crew)
    rn_aligned_free(scratch)
    return 0


cdef tuple read_pair(object value, str what, int least):
    """A whole number or two, for rows and columns, as a pair; the upper bound keeps all that follows from it inside 64 bits."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    whole_numbers = all([is_integer(x) and not isinstance(x, bool) for x in pair])
    if len(pair) != 2 or not whole_numbers or not least <= min(pair) <= max(pair) <= 1 << 20:
        raise OptionError(f"{what} is a whole number from {least} to {1 << 20}, or two, got {value!r}")
    return int(pair[0]), int(pair[1])


cdef class _Window:
    """How a kernel goes over the images of a tensor, all checked."""

    cdef tuple size, strides, dilation, padding  # padding: ((top, bottom), (left, right))
    cdef Py_ssize_t rows, columns  # the places of the kernel

    def __cinit__(self, tuple shape, size, strides, padding, dilation):
        self.size = read_pair(size, "a kernel's size", 1)
        self.strides = read_pair(self.size if strides is None else strides, "strides", 1)
        self.dilation = read_pair(dilation, "dilation", 1)
        reach = [self.dilation[i] * (self.size[i] - 1) + 1 for i in range(2)]
        if isinstance(padding, str):
            self.padding = self.named_padding(padding, shape, reach)
        else:
            pair = padding if isinstance(padding, (tuple, list)) and len(padding) == 2 else (padding, padding)
            self.padding = tuple([read_pair(sides, "padding", 0) for sides in pair])
        places = [shape[2 + i] + sum(self.padding[i]) - reach[i] for i in range(2)]
        if min(places) < 0:
            raise ShapeError(f"a kernel of size {self.size}, dilation {self.dilation}, is larger than the images of {shape} "
                             f"with padding {self.padding}")
        self.rows = places[0] // self.strides[0] + 1
        self.columns = places[1] // self.strides[1] + 1

    cdef tuple named_padding(self, str name, tuple shape, list reach):
        """"valid": none; "same": so that each side of the output is ceil(side / stride), the odd cell at the bottom or right."""
        if name == "valid":
            return (0, 0), (0, 0)
        if name != "same":
            raise OptionError(f'padding is "valid", "same" or whole numbers, got {name!r}')
        total = [max((-(-shape[2 + i] // self.strides[i]) - 1) * self.strides[i] + reach[i] - shape[2 + i], 0) for i in range(2)]
        return tuple([(cells // 2, cells - cells // 2) for cells in total])

    cdef void fill(self, rn_columns_args *a, Py_ssize_t n, Py_ssize_t channels, Py_ssize_t h, Py_ssize_t w):
        a.n, a.channels, a.h, a.w = n, channels, h, w
        a.kh, a.kw = self.size
        a.oh, a.ow = self.rows, self.columns
        a.stride_y, a.stride_x = self.strides
        a.dilation_y, a.dilation_x = self.dilation
        a.top, a.left = self.padding[0][0], self.padding[1][0]


cdef Tensor4D tensor_im2col(Tensor4D t, object kernel_size, object strides, object padding, object dilation):
    cdef _Window window = _Window(t.shape, kernel_size, strides, padding, dilation)
    cdef rn_columns_args a
    cdef Py_ssize_t rows
    window.fill(&a, t.axes[0], t.axes[1], t.axes[2], t.axes[3])
    cdef Tensor4D y = tensor_of_shape((a.n, 1, <object> a.channels * a.kh * a.kw, <object> a.oh * a.ow))
    a.from_ = t.data
    a.to = y.data
    rows = a.n * a.channels * a.kh * a.kw
    launch(KERNELS.im2col, &a, rows, 0.0, 8.0 * y.size)
    return y


cdef Tensor4D tensor_col2im(Tensor4D t, object shape, object kernel_size, object strides, object padding, object dilation):
    cdef Py_ssize_t[4] axes
    cdef rn_columns_args a
    read_shape(shape, axes)
    full = (axes[0], axes[1], axes[2], axes[3])
    cdef _Window window = _Window(full, kernel_size, strides, padding, dilation)
    window.fill(&a, axes[0], axes[1], axes[2], axes[3])
    expected = (a.n, 1, <object> a.channels * a.kh * a.kw, <object> a.oh * a.ow)
    if t.shape != expected:
        raise ShapeError(f"the columns of images of shape {full} have shape {expected}, got {t.shape}")
    cdef Tensor4D y = empty_tensor(axes)
    a.from_ = t.data
    a.to = y.data
    launch(KERNELS.col2im, &a, a.n * a.channels, 1.0 * t.size, 8.0 * t.size)
    return y


cdef Tensor4D tensor_conv2d(Tensor4D t, object weight, object bias, object strides, object padding, object dilation,
                            object groups):
    cdef Tensor4D w = tensor_of(weight)
    cdef Tensor4D b = None if bias is None else tensor_of(bias)
    cdef _Window window = _Window(t.shape, (w.axes[2], w.axes[3]), strides, padding, dilation)
    cdef Tensor4D y = tensor_of_shape((t.axes[0], w.axes[0], window.rows, window.columns))
    cdef Plan plan = Plan(t.axes[0])
    cdef Py_ssize_t parts = read_pair(groups, "groups", 1)[0]
    conv2d(plan, plan.bound(t), plan.bound(w), plan.bound(y), bias=None if b is None else plan.bound(b), stride=window.strides,
           padding=window.padding, dilation=window.dilation, groups=parts)
    plan.seal()
    plan.run("forward")
    return y


cdef Tensor4D tensor_max_pool2d(Tensor4D t, object pool_size, object strides, object padding):
    cdef _Window window = _Window(t.shape, pool_size, strides, padding, 1)
    cdef Tensor4D y = tensor_of_shape((t.axes[0], t.axes[1], window.rows, window.columns))
    cdef Plan plan = Plan(t.axes[0])
    max_pool2d(plan, plan.bound(t), plan.bound(y), size=window.size, stride=window.strides, padding=window.padding)
    plan.seal()
    plan.run("forward")
    return y


cdef Tensor4D tensor_softmax(Tensor4D t, object axis):
    cdef Py_ssize_t place = read_axis(axis)
    cdef Py_ssize_t i
    cdef rn_softmax_args a
    cdef Tensor4D y = empty_tensor(t.axes)
    if t.size == 0:
        return y
    a.x = t.data
    a.y = y.data
    a.n = a.s = 1
    for i in range(place):
        a.n *= t.axes[i]
    a.c = t.axes[place]
    for i in range(place + 1, 4):
        a.s *= t.axes[i]
    a.rows = rows_of_tile(a.c)
    launch(KERNELS.softmax, &a, softmax_tiles(a.n, a.c, a.s), 25.0 * t.size, 8.0 * t.size)
    return y


cdef Tensor4D tensor_dropout_mask(Tensor4D t, object rate, object seed, object step):
    cdef Tensor4D mask = empty_tensor(t.axes)
    cdef Plan plan = Plan(1, seed=seed_of(seed))
    plan.step.step = word64(whole(step, "a step"))
    fill_elements(mask.data, mask.size, 1.0)
    dropout(plan, plan.bound(mask), plan.bound(mask), real(rate, "a dropout rate"), 0)
    plan.seal()
    plan.run("forward")
    return mask


cdef Tensor4D uniform_tensor(object shape, object low, object high, object seed):
    cdef Tensor4D t = tensor_of_shape(shape)
    random_uniform(t, real(low, "the lower end"), real(high, "the upper end"), seed_or_fresh(seed), 0)
    return t


cdef Tensor4D normal_tensor(object shape, object mean, object std, object seed):
    cdef Tensor4D t = tensor_of_shape(shape)
    random_normal(t, real(mean, "the mean"), real(std, "the standard deviation"), seed_or_fresh(seed), 0)
    return t


cdef object seed_or_fresh(object seed):
    return int.from_bytes(os.urandom(8), "little") if seed is None else seed_of(seed)


cdef object seed_of(object seed):
    return seed_number("a seed", whole(seed, "a seed"))


cdef object whole(object value, str what):
    if isinstance(value, bool) or not is_integer(value):
        raise DtypeError(f"{what} is a whole number, got {value!r}")
    return int(value)
