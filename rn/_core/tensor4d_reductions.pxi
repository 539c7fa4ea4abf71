# Sums, means, extremes and their like over any axes.

cdef extern from "rn.h" nogil:
    ctypedef enum rn_finish:
        RN_FINISH_SUM
        RN_FINISH_MEAN
        RN_FINISH_ROOT
        RN_FINISH_VARIANCE
        RN_FINISH_DEVIATION

    enum:
        RN_REDUCE_COLUMNS

    ctypedef struct rn_reduce_args:
        const float *x
        void *y
        double *partial
        ptrdiff_t outer
        ptrdiff_t first
        ptrdiff_t middle
        ptrdiff_t second
        ptrdiff_t inner
        ptrdiff_t chunks
        ptrdiff_t chunk_rows
        ptrdiff_t tile_units
        rn_finish finish

    double rn_finished(rn_finish finish, double sum, double squares, double count) noexcept

cdef object NUMPY_INT64 = numpy.dtype(numpy.int64)

# With this many units side by side there is work enough to share; with fewer, rows are cut into chunks of about so many
# elements.
cdef enum:
    UNITS_TO_SHARE = 64
    CHUNK_ELEMENTS = 131072

cdef enum Reduction:
    REDUCE_SUM
    REDUCE_SQUARES
    REDUCE_MOMENTS
    REDUCE_MIN
    REDUCE_MAX
    REDUCE_ARGMAX


cdef int read_axes(object axis, bint *reduced) except -1:
    """Mark the axes that `axis` names: an integer, several, or None for all."""
    cdef int i
    for i in range(4):
        reduced[i] = axis is None
    if axis is None:
        return 0
    for item in (axis,) if is_integer(axis) else axis if isinstance(axis, (tuple, list)) else (axis,):
        i = read_axis(item)
        if reduced[i]:
            raise OptionError(f"axis {i} is named twice in {axis!r}")
        reduced[i] = True
    return 0


cdef void fill_reduction(Tensor4D t, const bint *reduced, rn_reduce_args *a) noexcept:
    """Sort the axes into outer, first, middle, second, inner: neighbours of one kind are one, the two kinds take turns."""
    cdef Py_ssize_t[5] lengths = [1, 1, 1, 1, 1]  # from inner to outer; kept ones at even places
    cdef int place = 0
    cdef int i
    for i in range(3, -1, -1):
        if t.axes[i] == 1:
            continue
        if reduced[i] != place % 2:
            place += 1
        lengths[place] *= t.axes[i]
    a.x = t.data
    a.inner, a.second, a.middle, a.first, a.outer = lengths[0], lengths[1], lengths[2], lengths[3], lengths[4]
    cdef Py_ssize_t rows = a.first * a.second
    cdef Py_ssize_t width = max(min(a.inner, RN_REDUCE_COLUMNS), 1)
    cdef Py_ssize_t units = a.outer * a.middle * ((a.inner + RN_REDUCE_COLUMNS - 1) // RN_REDUCE_COLUMNS)
    a.chunk_rows = max(rows, 1) if units >= UNITS_TO_SHARE else CHUNK_ELEMENTS // width
    if a.chunk_rows > 1 << 30:
        a.chunk_rows = 1 << 30
    a.chunks = max((rows + a.chunk_rows - 1) // a.chunk_rows, 1)
    a.tile_units = max(RN_ELEMENT_TILE // max(min(a.chunk_rows, rows) * width, 1), 1)


cdef void run_reduction(Reduction reduction, const rn_reduce_args *a) noexcept:
    cdef rn_kernel kernel
    cdef double flops = 1.0
    cdef double size = <double> a.outer * a.first * a.middle * a.second * a.inner
    cdef Py_ssize_t units = a.outer * a.middle * ((a.inner + RN_REDUCE_COLUMNS - 1) // RN_REDUCE_COLUMNS)
    if reduction == REDUCE_SUM:
        kernel = KERNELS.reduce_sum
    elif reduction == REDUCE_SQUARES:
        kernel = KERNELS.reduce_squares
        flops = 2.0
    elif reduction == REDUCE_MOMENTS:
        kernel = KERNELS.reduce_moments
        flops = 3.0
    elif reduction == REDUCE_MIN:
        kernel = KERNELS.reduce_min
    elif reduction == REDUCE_MAX:
        kernel = KERNELS.reduce_max
    else:
        kernel = KERNELS.reduce_argmax
    if units > 0:
        launch(kernel, a, a.chunks * ((units + a.tile_units - 1) // a.tile_units), flops * size, 4.0 * size)


cdef void join_chunks(Reduction reduction, const rn_reduce_args *a) noexcept:
    """Add what the other chunks gave, in their order, to what the first one gave."""
    cdef Py_ssize_t outputs = a.outer * a.middle * a.inner
    cdef Py_ssize_t values = outputs * (2 if reduction == REDUCE_MOMENTS or reduction == REDUCE_ARGMAX else 1)
    cdef double *total = a.partial
    cdef const double *part
    cdef Py_ssize_t chunk, i
    for chunk in range(1, a.chunks):
        part = a.partial + chunk * values
        if reduction <= REDUCE_MOMENTS:
            for i in range(values):
                total[i] += part[i]
            continue
        for i in range(outputs):
            if total[i] != total[i]:
                continue
            if part[i] != part[i] or (part[i] < total[i] if reduction == REDUCE_MIN else part[i] > total[i]):
                total[i] = part[i]
                if reduction == REDUCE_ARGMAX:
                    total[outputs + i] = part[outputs + i]


cdef double finished(Reduction reduction, rn_finish finish, const double *total, const double *second, Py_ssize_t rows) noexcept:
    """The result of one output from its joined values."""
    if reduction == REDUCE_ARGMAX:
        return second[0]
    if reduction > REDUCE_MOMENTS:
        return total[0]
    return rn_finished(finish, total[0], second[0] if reduction == REDUCE_MOMENTS else 0.0, <double> rows)


cdef object reduce_axes(Tensor4D t, object axis, Reduction reduction, rn_finish finish=RN_FINISH_SUM):
    """The reduction over `axis`: a number for None, otherwise a tensor (for argmax an array) whose reduced axes have length 1."""
    cdef bint[4] reduced
    cdef rn_reduce_args a
    cdef Py_ssize_t[4] shape
    cdef Py_ssize_t outputs, i
    cdef double value
    cdef Tensor4D y
    read_axes(axis, reduced)
    fill_reduction(t, reduced, &a)
    for i in range(4):
        shape[i] = 1 if reduced[i] else t.axes[i]
    outputs = a.outer * a.middle * a.inner
    cdef Py_ssize_t rows = a.first * a.second
    if rows == 0 and outputs > 0 and reduction >= REDUCE_MIN:
        raise ShapeError(f"a tensor of shape {t.shape} has no largest or least element along axis {axis}")
    a.finish = finish
    a.y = a.partial = NULL
    if axis is None or a.chunks > 1:
        a.partial = <double *> allocate(a.chunks * 2 * max(outputs, 1) * <Py_ssize_t> sizeof(double))
    try:
        if axis is None:
            run_reduction(reduction, &a)
            join_chunks(reduction, &a)
            value = finished(reduction, finish, a.partial, a.partial + 1, rows)
            return <Py_ssize_t> value if reduction == REDUCE_ARGMAX else value
        if reduction == REDUCE_ARGMAX:
            return place_axes(&a, shape)
        y = empty_tensor(shape)
        a.y = y.data
        run_reduction(reduction, &a)
        if a.partial != NULL:
            join_chunks(reduction, &a)
            for i in range(outputs):
                y.data[i] = <float> finished(reduction, finish, a.partial + i, a.partial + outputs + i, rows)
        return y
    finally:
        rn_aligned_free(a.partial)


cdef object place_axes(rn_reduce_args *a, const Py_ssize_t *shape):
    """What argmax gives over some axes: a NumPy array of int64."""
    cdef Py_ssize_t outputs = a.outer * a.middle * a.inner
    cdef Py_ssize_t i
    cdef Py_buffer places
    array = make_numpy_array((shape[0], shape[1], shape[2], shape[3]), NUMPY_INT64)
    PyObject_GetBuffer(array, &places, PyBUF_WRITABLE)
    a.y = places.buf
    run_reduction(REDUCE_ARGMAX, a)
    if a.partial != NULL:
        join_chunks(REDUCE_ARGMAX, a)
        for i in range(outputs):
            (<int64_t *> a.y)[i] = <int64_t> a.partial[outputs + i]
    PyBuffer_Release(&places)
    return array
