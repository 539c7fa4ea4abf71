# The 4-D tensor: float32, C-contiguous, axes (n, c, h, w). This file is what it offers; the others by its name are how.

cimport cython
from cpython.buffer cimport (
    PyBUF_F_CONTIGUOUS,
    PyBUF_FORMAT,
    PyBUF_ND,
    PyBUF_STRIDES,
    PyBUF_WRITABLE,
)

import operator

import numpy

cdef char *FLOAT32_FORMAT = b"f"


# Nothing that Python could reach may outlive `owner`, so the garbage collector must not take it away before the tensor goes.
@cython.no_gc_clear
@cython.freelist(32)
cdef class Tensor4D:
    """A float32 tensor of four axes (n, c, h, w), C-contiguous.

    ``Tensor4D(shape)``, a tuple of one to four integers, is a tensor of zeros; anything else is data and is copied: a number,
    nested sequences (a flat one is a list: ``Tensor4D([2, 3])`` holds two numbers, ``Tensor4D((2, 3))`` six zeros), an array
    of any number type, or any object with a buffer. Fewer axes are filled with 1 from the left: a matrix is
    (1, 1, rows, columns). Values are rounded to float32, infinite where they are too large for it; so are those of whatever
    a tensor is combined or compared with. Comparisons give NumPy arrays of booleans.

    Its memory is its own and starts on a 64-byte boundary; ``Tensor4D.wrap(x)`` shares the memory of ``x`` instead.

    Raises ``ShapeError`` for ragged sequences, more than four axes or a negative length, ``DtypeError`` for values that are no
    real numbers (objects, strings, complex), ``MemoryError`` for more elements than there is room for.
    """

    cdef float *data
    cdef Py_ssize_t[4] axes
    cdef Py_ssize_t[4] strides_bytes
    cdef readonly Py_ssize_t size
    """The number of elements."""
    cdef object owner  # what keeps `data` alive; None where this tensor does
    cdef bint owned  # the memory is this tensor's to free
    cdef readonly bint readonly
    """Whether the memory is somebody's who does not let it be written."""
    cdef object __weakref__

    def __cinit__(self, *values):
        if values:
            make_tensor(self, values[0])

    def __init__(self, x, /):
        pass

    def __dealloc__(self):
        if self.owned:
            rn_aligned_free(self.data)

    @classmethod
    def wrap(cls, x) -> Tensor4D:
        """Return a tensor that shares the memory of ``x`` and keeps ``x`` alive; read-only where ``x`` is.

        ``x`` has a buffer or ``__dlpack__``; its values are float32 in C order. Fewer axes are filled with 1 from the left.
        Raises ``DtypeError`` or ``ShapeError`` where a copy would be needed: ``Tensor4D(x)`` makes one.
        """
        return share(x)

    @classmethod
    def from_dlpack(cls, x) -> Tensor4D:
        """Return a tensor that shares the memory of ``x``, which offers float32 in C order on the CPU by ``__dlpack__``."""
        return share_dlpack(x)

    @classmethod
    def zeros(cls, shape) -> Tensor4D:
        """Return a tensor of zeros; ``shape`` is one to four integers, filled with 1 from the left."""
        return zeros_tensor(shape)

    @classmethod
    def ones(cls, shape) -> Tensor4D:
        """Return a tensor of ones; ``shape`` is one to four integers, filled with 1 from the left."""
        return full_tensor(shape, 1.0)

    @classmethod
    def full(cls, shape, value) -> Tensor4D:
        """Return a tensor whose every element is ``value``; ``shape`` is one to four integers, filled with 1 from the left."""
        return full_tensor(shape, value)

    @classmethod
    def eye(cls, rows, columns=None) -> Tensor4D:
        """Return the matrix (1, 1, rows, columns) with ones where row and column agree, zeros elsewhere; square by default."""
        return eye_tensor(rows, rows if columns is None else columns)

    @classmethod
    def arange(cls, start, stop=None, step=1) -> Tensor4D:
        """Return (1, 1, 1, ceil((stop - start) / step)) with element i = start + i step; ``arange(stop)`` starts at 0.

        The elements are computed in float64 and rounded once. Raises ``OptionError`` for a step of 0 and for bounds that are not
        finite.
        """
        return arange_tensor(start, stop, step)

    @classmethod
    def uniform(cls, shape, low=0.0, high=1.0, *, seed=None) -> Tensor4D:
        """Return random numbers evenly spread over [low, high), the same for the same ``seed``; None takes a fresh one.

        Raises ``OptionError`` unless both ends are finite, low <= high and 0 <= seed < 2^64.
        """
        return uniform_tensor(shape, low, high, seed)

    @classmethod
    def normal(cls, shape, mean=0.0, std=1.0, *, seed=None) -> Tensor4D:
        """Return normal random numbers, the same for the same ``seed``; None takes a fresh one.

        Raises ``OptionError`` unless mean and std are finite, std >= 0 and 0 <= seed < 2^64.
        """
        return normal_tensor(shape, mean, std, seed)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The lengths of the axes (n, c, h, w)."""
        return (self.axes[0], self.axes[1], self.axes[2], self.axes[3])

    @property
    def ndim(self) -> int:
        """The number of axes: always 4."""
        return 4

    @property
    def nbytes(self) -> int:
        """The bytes of the elements: 4 each."""
        return self.size * <Py_ssize_t> sizeof(float)

    def __len__(self):
        return self.axes[0]

    def __iter__(self):
        return (self[i] for i in range(self.axes[0]))

    def __bool__(self):
        return single_element(self, "the truth") != 0.0

    def __float__(self):
        return single_element(self, "the value")

    def item(self) -> float:
        """Return the one element; ``OptionError`` where there are more or none."""
        return float(self)

    def tolist(self) -> list:
        """Return the elements as nested lists of floats, four deep."""
        return numpy.asarray(self).tolist()

    @property
    def T(self) -> Tensor4D:
        """The last two axes swapped, as ``transpose()`` does: a copy."""
        return self.transpose()

    def __int__(self) -> int:
        """The one element, without its fraction."""
        return int(float(self))

    def __repr__(self):
        values = numpy.array2string(numpy.asarray(self), separator=", ")
        return f"Tensor4D of shape {self.shape}{', read-only' if self.readonly else ''}\n{values}"

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        export_buffer(self, buffer, flags)

    def __array__(self, dtype=None, copy=None):
        """Return a NumPy array over the same memory; a copy where ``dtype`` is another one or ``copy`` is True.

        Raises ``ValueError`` where ``copy`` is False and a copy is needed, as NumPy asks.
        """
        return export_array(self, dtype, copy)

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        """Return a DLPack capsule over the same memory, or over a copy where ``copy`` is True.

        The capsule is versioned where ``max_version`` is (1, 0) or later. Raises ``BufferError`` for another device than the CPU,
        or where the tensor is read-only and the capsule could not say so.
        """
        return export_dlpack(self, stream, max_version, dl_device, copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return DLPack's (device type, device number): (1, 0), the CPU."""
        return (DLPACK_CPU, 0)

    def __reduce_ex__(self, protocol):
        return reduce_tensor(self, protocol)

    def copy(self) -> Tensor4D:
        """Return a tensor of the same values in memory of its own."""
        return copy_tensor(self)

    def __copy__(self):
        return copy_tensor(self)

    def __deepcopy__(self, memo):
        return copy_tensor(self)

    def __getitem__(self, index):
        """Return a copy of the part that ``index`` names, always of four axes; four integers give a float.

        ``index`` holds up to four integers and slices, and ``...`` for as many whole axes as are missing. An integer keeps its
        axis, at length 1: ``t[2]`` is (1, c, h, w). Negative integers count from the end, slices may step backwards. Raises
        ``IndexError`` for an integer out of range or too many indices, ``DtypeError`` for anything else (for index arrays:
        ``numpy.asarray(t)[...]``).
        """
        return get_part(self, index)

    def __setitem__(self, index, value):
        """Write ``value``, a number, tensor, array or nested sequence, broadcast to the part that ``index`` names.

        The result is as if ``value`` had been copied first, so it may share the tensor's memory. Raises as reading does,
        ``ShapeError`` where ``value`` does not broadcast to the part, and ``StateError`` where the tensor is read-only.
        """
        set_part(self, index, value)

    def __add__(self, other):
        return arithmetic(KERNELS.add, self, other)

    def __radd__(self, other):
        return arithmetic(KERNELS.add, other, self)

    def __iadd__(self, other):
        return arithmetic_in_place(KERNELS.add, self, other)

    def __sub__(self, other):
        return arithmetic(KERNELS.subtract, self, other)

    def __rsub__(self, other):
        return arithmetic(KERNELS.subtract, other, self)

    def __isub__(self, other):
        return arithmetic_in_place(KERNELS.subtract, self, other)

    def __mul__(self, other):
        return arithmetic(KERNELS.multiply, self, other)

    def __rmul__(self, other):
        return arithmetic(KERNELS.multiply, other, self)

    def __imul__(self, other):
        return arithmetic_in_place(KERNELS.multiply, self, other)

    def __truediv__(self, other):
        return arithmetic(KERNELS.divide, self, other)

    def __rtruediv__(self, other):
        return arithmetic(KERNELS.divide, other, self)

    def __itruediv__(self, other):
        return arithmetic_in_place(KERNELS.divide, self, other)

    def __pow__(self, other, modulus):
        """Return x^y. The exponents 2, 3, -1, 1 and 0.5 are products, quotients and square roots; others are 2^(y log2 x).

        These are at most 4 ulp off, 1.5 where the result lies between 2^-32 and 2^32. A negative x has powers at whole y alone,
        elsewhere NaN; x^0 = 1^y = 1.
        """
        return NotImplemented if modulus is not None else power(self, other)

    def __rpow__(self, other, modulus):
        return NotImplemented if modulus is not None else power(other, self)

    def __ipow__(self, other):
        return power(self, other, self)

    def __neg__(self):
        return unary(KERNELS.negative, self)

    def __pos__(self):
        return copy_tensor(self)

    def __abs__(self):
        return unary(KERNELS.absolute, self)

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        """Let NumPy's functions take tensors: ``array + tensor`` is a tensor, ``numpy.exp(tensor)`` an array."""
        return apply_ufunc(ufunc, method, inputs, options)

    def __array_function__(self, function, types, inputs, options):
        """Let ``numpy.mean(tensor, axis=1)``, ``numpy.stack([tensor, tensor])`` and their like give what arrays would."""
        return function(*as_arrays(inputs), **as_arrays(options))

    def __matmul__(self, other):
        return multiply_matrices(self, other)

    def __rmatmul__(self, other):
        return multiply_matrices(other, self)

    def __lt__(self, other):
        return compare(KERNELS.less, self, other)

    def __le__(self, other):
        return compare(KERNELS.less_equal, self, other)

    def __eq__(self, other):
        return compare(KERNELS.equal, self, other)

    def __ne__(self, other):
        return compare(KERNELS.not_equal, self, other)

    def __gt__(self, other):
        return compare(KERNELS.less, other, self)

    def __ge__(self, other):
        return compare(KERNELS.less_equal, other, self)

    def equals(self, other) -> bool:
        """Return whether ``other`` is a tensor or array of the same shape with equal elements everywhere; NaN equals nothing."""
        return equal_tensors(self, other)

    def allclose(self, other, rtol=1e-5, atol=1e-8) -> bool:
        """Return whether |x - y| <= atol + rtol |y| for all elements x of this tensor and y of ``other``, broadcast.

        Infinities are close to themselves, NaN to nothing. Raises ``ShapeError`` where the shapes do not broadcast.
        """
        return hold_everywhere(KERNELS.near, self, other, number(atol, "atol"), number(rtol, "rtol"))

    def clip(self, low=None, high=None) -> Tensor4D:
        """Return min(max(x, low), high); None leaves a side open, NaN stays NaN. Raises ``OptionError`` where low > high."""
        return clip_tensor(self, low, high)

    def exp(self) -> Tensor4D:
        """Return e^x, to 4 units of the last place."""
        return activated(self, RN_EXP, 20.0)

    def log(self) -> Tensor4D:
        """Return the natural logarithm, to 4 units of the last place; -inf at 0, NaN below."""
        return activated(self, RN_LOG, 20.0)

    def sqrt(self) -> Tensor4D:
        """Return the square root, rounded once; NaN below 0."""
        return activated(self, RN_SQRT, 1.0)

    def tanh(self) -> Tensor4D:
        """Return (e^x - e^-x) / (e^x + e^-x), to 4 units of the last place."""
        return activated(self, RN_TANH, 20.0)

    def sigmoid(self) -> Tensor4D:
        """Return 1 / (1 + e^-x), to 4 units of the last place."""
        return activated(self, RN_SIGMOID, 20.0)

    def relu(self) -> Tensor4D:
        """Return max(x, 0); NaN stays NaN."""
        return activated(self, RN_RELU, 1.0)

    def map(self, function) -> Tensor4D:
        """Return function(x) for every element x, a Python float; what it returns is rounded to float32.

        One call an element: for short tensors and functions that nothing else offers. Raises ``DtypeError`` where the function
        returns no number, and whatever the function raises.
        """
        return map_tensor(self, function)

    def sum(self, axis=None) -> Tensor4D | float:
        """Return the sum over ``axis``, added up in float64; 0 where there is nothing to add."""
        return reduce_axes(self, axis, REDUCE_SUM)

    def mean(self, axis=None) -> Tensor4D | float:
        """Return sum / count over ``axis``, added up in float64; NaN where there is nothing to add."""
        return reduce_axes(self, axis, REDUCE_SUM, RN_FINISH_MEAN)

    def var(self, axis=None) -> Tensor4D | float:
        """Return mean((x - mean(x))^2) over ``axis``, in float64; NaN where there is nothing to add."""
        return reduce_axes(self, axis, REDUCE_MOMENTS, RN_FINISH_VARIANCE)

    def std(self, axis=None) -> Tensor4D | float:
        """Return sqrt(var(axis))."""
        return reduce_axes(self, axis, REDUCE_MOMENTS, RN_FINISH_DEVIATION)

    def norm(self, axis=None) -> Tensor4D | float:
        """Return sqrt(sum(x^2)) over ``axis``, added up in float64."""
        return reduce_axes(self, axis, REDUCE_SQUARES, RN_FINISH_ROOT)

    def min(self, axis=None) -> Tensor4D | float:
        """Return the least element over ``axis``; NaN where there is one. Raises ``ShapeError`` where there is no element."""
        return reduce_axes(self, axis, REDUCE_MIN)

    def max(self, axis=None) -> Tensor4D | float:
        """Return the largest element over ``axis``; NaN where there is one. Raises ``ShapeError`` where there is no element."""
        return reduce_axes(self, axis, REDUCE_MAX)

    def argmax(self, axis=None):
        """Return where the largest element over ``axis`` is, the first of equals; NaN counts as larger than all.

        None gives the place in the flattened tensor, an int; otherwise an int64 array of four axes, the reduced ones of
        length 1. Over several axes the place is that in their row-major order. Raises ``ShapeError`` where there is no element.
        """
        return reduce_axes(self, axis, REDUCE_ARGMAX)

    def reshape(self, *shape) -> Tensor4D:
        """Return the same memory under another shape of as many elements, given as integers or as one tuple.

        One length may be -1 and follows from the others; fewer than four are filled with 1 from the left.
        """
        return reshape_tensor(self, shape)

    def flatten(self) -> Tensor4D:
        """Return the same memory as (1, 1, 1, size)."""
        return view_tensor(self, 1, 1, 1, self.size)

    def transpose(self, axes=(0, 1, 3, 2)) -> Tensor4D:
        """Return a copy whose axis i is axis ``axes[i]`` of this tensor; by default the matrices (h, w) are transposed."""
        return transpose_tensor(self, axes)

    def pad(self, widths, value=0.0) -> Tensor4D:
        """Return a copy with ``value`` around it.

        ``widths`` is one integer for all four sides of the image (h, w), or ((top, bottom), (left, right)), or four
        (before, after) pairs, one an axis. Raises ``ShapeError`` for any other form and for negative widths.
        """
        return pad_tensor(self, widths, value)

    def matmul(self, other) -> Tensor4D:
        """Return ``self @ other``: y[i, j, p, q] = sum_k a[i, j, p, k] b[i, j, k, q], broadcast over the first two axes.

        Each matrix lies in the last two axes. Raises ``ShapeError`` where they do not fit, ``DtypeError`` where ``other`` is
        no tensor, array or nested sequence.
        """
        product = multiply_matrices(self, other)
        if product is NotImplemented:
            raise DtypeError(f"a tensor can be multiplied by tensors and arrays, got {other!r}")
        return product

    def conv2d(self, weight, bias=None, *, strides=1, padding="valid", dilation=1, groups=1) -> Tensor4D:
        """Return y[n, f, i, j] = bias[f] + sum_{c, u, v} weight[f, c, u, v] x[n, c, i s + u d - top, j s + v d - left].

        x is (n, c, h, w), ``weight`` (filters, c / groups, kh, kw), ``bias`` has ``filters`` elements; y is (n, filters, oh, ow)
        with oh = (h + top + bottom - d (kh - 1) - 1) // s + 1, ow likewise. Outside the image x is 0. ``strides`` s and
        ``dilation`` d are one whole number or (rows, columns); ``padding`` is "valid" (none), "same" (oh = ceil(h / s)), a whole
        number of cells on every side, (rows, columns) or ((top, bottom), (left, right)). With groups, filter f sees the channels
        of its own group only.

        Raises ``ShapeError`` where shapes do not fit, ``OptionError`` for other options.
        """
        return tensor_conv2d(self, weight, bias, strides, padding, dilation, groups)

    def im2col(self, kernel_size, *, strides=1, padding="valid", dilation=1) -> Tensor4D:
        """Return the columns (n, 1, c kh kw, oh ow) whose product with a (1, 1, filters, c kh kw) matrix is a convolution.

        Row (c kh + u) kw + v, column i ow + j is x[n, c, i s + u d - top, j s + v d - left], 0 outside the image; the options
        are those of ``conv2d``. This shows how a convolution is a product of matrices; ``conv2d`` never writes the columns out.
        """
        return tensor_im2col(self, kernel_size, strides, padding, dilation)

    def col2im(self, shape, kernel_size, *, strides=1, padding="valid", dilation=1) -> Tensor4D:
        """Return images of ``shape`` (n, c, h, w): each element of these columns is added where ``im2col`` read it from.

        The transpose of ``im2col`` with the same options: the sum of col2im(y) x equals the sum of y im2col(x). Raises
        ``ShapeError`` where the columns are not those of such images.
        """
        return tensor_col2im(self, shape, kernel_size, strides, padding, dilation)

    def max_pool2d(self, pool_size=2, strides=None, padding="valid") -> Tensor4D:
        """Return y[n, c, i, j] = the largest x[n, c, i s - top + u, j s - left + v], u < kh, v < kw, inside the image.

        y is (n, c, (h + top + bottom - kh) // s + 1, ...). ``pool_size`` is one whole number or (kh, kw); ``strides`` likewise,
        by default the pool's size; ``padding`` as in ``conv2d``, less than the pool's size. Padding never wins, NaN does.
        Raises ``ShapeError`` or ``OptionError``.
        """
        return tensor_max_pool2d(self, pool_size, strides, padding)

    def softmax(self, axis=1) -> Tensor4D:
        """Return exp(x - m) / sum(exp(x - m)) along ``axis``, m the largest x along it; by default over the channels."""
        return tensor_softmax(self, axis)

    def dropout_mask(self, rate, seed, step=0) -> Tensor4D:
        """Return a tensor of this shape that holds 1 / (1 - rate) with probability 1 - rate, elsewhere 0.

        Times x it is inverted dropout, whose mean is x. The same (seed, step) repeat a mask, other steps have others. Raises
        ``OptionError`` unless 0 <= rate < 1 and 0 <= seed < 2^64.
        """
        return tensor_dropout_mask(self, rate, seed, step)


cdef Tensor4D tensor_over(float *data, tuple shape, object owner, bint readonly):
    """A tensor over memory that `owner` keeps; where owner is None the tensor frees it."""
    cdef Tensor4D t = Tensor4D.__new__(Tensor4D)
    cdef Py_ssize_t[4] axes = [shape[0], shape[1], shape[2], shape[3]]
    set_memory(t, data, axes, owner, readonly)
    return t


cdef Tensor4D new_tensor(tuple shape):
    """A tensor of uninitialised memory of its own."""
    cdef Py_ssize_t[4] axes = [shape[0], shape[1], shape[2], shape[3]]
    return empty_tensor(axes)


include "tensor4d_making.pxi"
include "tensor4d_exchange.pxi"
include "tensor4d_indexing.pxi"
include "tensor4d_layout.pxi"
include "tensor4d_arithmetic.pxi"
include "tensor4d_reductions.pxi"
include "tensor4d_network.pxi"
