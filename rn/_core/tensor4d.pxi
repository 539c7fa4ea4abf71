# The 4-D tensor: float32, C-contiguous, axes (n, c, h, w).

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE

cdef char *FLOAT32_FORMAT = b"f"


cdef class Tensor4D:
    """A float32 tensor of four axes (n, c, h, w), C-contiguous."""

    cdef float *data
    cdef Py_ssize_t[4] axes
    cdef Py_ssize_t[4] strides_bytes
    cdef object owner  # what keeps `data` alive; None where this tensor does
    cdef readonly bint readonly

    def __cinit__(self, *args, **kwargs):
        self.data = NULL
        self.owner = None
        self.readonly = False

    def __dealloc__(self):
        if self.owner is None and self.data != NULL:
            rn_aligned_free(self.data)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The lengths of the axes (n, c, h, w)."""
        return (self.axes[0], self.axes[1], self.axes[2], self.axes[3])

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.axes[0] * self.axes[1] * self.axes[2] * self.axes[3]

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if self.readonly and flags & PyBUF_WRITABLE:
            raise BufferError("this Tensor4D is read-only")
        self.strides_bytes[3] = sizeof(float)
        for i in range(2, -1, -1):
            self.strides_bytes[i] = self.strides_bytes[i + 1] * self.axes[i + 1]
        buffer.buf = self.data
        buffer.obj = self
        buffer.len = self.size * <Py_ssize_t> sizeof(float)
        buffer.itemsize = sizeof(float)
        buffer.readonly = self.readonly
        buffer.ndim = 4
        buffer.format = FLOAT32_FORMAT if flags & PyBUF_FORMAT else NULL
        buffer.shape = self.axes if flags & PyBUF_ND else NULL
        buffer.strides = self.strides_bytes if flags & PyBUF_STRIDES == PyBUF_STRIDES else NULL
        buffer.suboffsets = NULL
        buffer.internal = NULL


cdef Tensor4D tensor_over(float *data, tuple shape, object owner, bint readonly):
    """A tensor over memory that `owner` keeps; where owner is None the tensor frees it."""
    cdef Tensor4D t = Tensor4D.__new__(Tensor4D)
    t.data = data
    for i in range(4):
        t.axes[i] = shape[i]
    t.owner = owner
    t.readonly = readonly
    return t


cdef Tensor4D new_tensor(tuple shape):
    """A tensor of uninitialised memory of its own."""
    cdef Py_ssize_t size = 1
    for length in shape:
        size *= length
    return tensor_over(<float *> allocate(size * <Py_ssize_t> sizeof(float)), shape, None, False)
