# Memory shared with others: buffers, arrays, DLPack, pickles.

from libc.stdint cimport uint16_t

from cpython.buffer cimport PyBuffer_IsContiguous, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.memoryview cimport PyMemoryView_FromObject, PyMemoryView_GET_BUFFER
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid, PyCapsule_New
from cpython.ref cimport Py_DECREF, Py_INCREF

import sys
from pickle import PickleBuffer

cdef extern from *:
    int Py_IsInitialized() nogil

cdef extern from "rn.h" nogil:
    ctypedef struct rn_narrow_args:
        const double *x
        float *y
        ptrdiff_t n

# struct's sign for the byte order of this machine
cdef char NATIVE_ORDER = b"<" if sys.byteorder == "little" else b">"


cdef int export_buffer(Tensor4D t, Py_buffer *buffer, int flags) except -1:
    """Fill `buffer` for whoever asks for the memory of `t`."""
    cdef int i
    cdef int long_axes = 0
    if t.readonly and flags & PyBUF_WRITABLE:
        raise BufferError("this Tensor4D is read-only")
    for i in range(4):
        long_axes += t.axes[i] > 1
    if flags & PyBUF_F_CONTIGUOUS == PyBUF_F_CONTIGUOUS and long_axes > 1 and t.size > 0:
        raise BufferError("a Tensor4D is in C order, not in Fortran's")
    t.strides_bytes[3] = sizeof(float)
    for i in range(2, -1, -1):
        t.strides_bytes[i] = t.strides_bytes[i + 1] * max(t.axes[i + 1], 1)
    buffer.buf = t.data
    buffer.obj = t
    buffer.len = t.size * <Py_ssize_t> sizeof(float)
    buffer.itemsize = sizeof(float)
    buffer.readonly = t.readonly
    buffer.ndim = 4
    buffer.format = FLOAT32_FORMAT if flags & PyBUF_FORMAT else NULL
    buffer.shape = t.axes if flags & PyBUF_ND else NULL
    buffer.strides = t.strides_bytes if flags & PyBUF_STRIDES == PyBUF_STRIDES else NULL
    buffer.suboffsets = NULL
    buffer.internal = NULL
    return 0


cdef object export_array(Tensor4D t, object dtype, object copy):
    """A NumPy array over the memory of `t`, or a copy of it."""
    array = numpy.asarray(memoryview(t))
    if dtype is not None and numpy.dtype(dtype) != array.dtype:
        if copy is not None and not copy:
            raise ValueError(f"a float32 Tensor4D cannot be an array of {numpy.dtype(dtype)} without a copy")
        return array.astype(dtype)
    return array.copy() if copy else array


cdef Tensor4D share(object x):
    """A tensor over the memory of `x`, or the reason why there is none."""
    cdef Tensor4D t
    if isinstance(x, Tensor4D):
        t = x
        return view_tensor(t, t.axes[0], t.axes[1], t.axes[2], t.axes[3])
    refuse_hidden(x)
    if PyObject_CheckBuffer(x):
        return share_buffer(PyMemoryView_FromObject(x))
    if hasattr(x, "__dlpack__"):
        return share_dlpack(x)
    raise DtypeError(f"{type(x).__name__} has no memory to share: it offers neither a buffer nor __dlpack__")


cdef Tensor4D share_if_possible(object x):
    """A tensor over the buffer of `x`, or None where that would take a copy."""
    try:
        return share_buffer(PyMemoryView_FromObject(x))
    except (BufferError, TypeError, ValueError):
        return None


cdef Tensor4D share_dlpack(object x):
    try:
        array = numpy.from_dlpack(x)
    except (AttributeError, BufferError, RuntimeError, TypeError, ValueError) as error:
        raise DtypeError(f"{type(x).__name__} cannot be shared through DLPack: {error}") from error
    return share_buffer(PyMemoryView_FromObject(array))


cdef Tensor4D share_buffer(object view):
    """A tensor over the memory that the memoryview `view` holds."""
    cdef Py_buffer *buffer = PyMemoryView_GET_BUFFER(view)
    cdef Py_ssize_t[4] axes
    if not has_format(buffer, b"f"):
        raise DtypeError(f"only float32 can be shared, got values of format {view.format!r}; Tensor4D(x) copies them")
    buffer_axes(buffer, axes)
    if not PyBuffer_IsContiguous(buffer, b"C"):
        raise ShapeError(f"only C-contiguous memory can be shared, got strides {view.strides}; Tensor4D(x) copies it")
    if <size_t> buffer.buf % sizeof(float) != 0:
        raise ShapeError("only memory aligned for float32 can be shared; Tensor4D(x) copies it")
    cdef Tensor4D t = Tensor4D.__new__(Tensor4D)
    set_memory(t, <float *> buffer.buf, axes, view, buffer.readonly)
    return t


cdef bint has_format(const Py_buffer *buffer, const char *code) noexcept:
    """Whether a buffer's elements are the C type of struct's `code`, in this machine's byte order."""
    cdef const char *format = buffer.format
    if format == NULL:
        return False
    if format[0] == b"=" or format[0] == b"@" or format[0] == NATIVE_ORDER:
        format += 1
    return format[0] == code[0] and format[1] == 0


cdef int buffer_axes(const Py_buffer *buffer, Py_ssize_t *axes) except -1:
    """Fill `axes` from a buffer's shape, with 1 for the axes that lack on the left."""
    cdef int i
    if buffer.ndim > 4:
        raise ShapeError(f"a tensor has at most four axes, got an array of {buffer.ndim}")
    for i in range(4):
        axes[i] = 1 if i < 4 - buffer.ndim else buffer.shape[i - (4 - buffer.ndim)]
    return 0


cdef bint copy_buffer(Tensor4D t, object x) except -1:
    """Give `t`, which has nothing yet, a copy of the buffer of `x`; False where that is not plain float32 or float64."""
    cdef Py_buffer buffer
    cdef Py_ssize_t[4] axes
    cdef rn_narrow_args narrow
    try:
        PyObject_GetBuffer(x, &buffer, PyBUF_FORMAT | PyBUF_STRIDES)
    except (BufferError, TypeError, ValueError):
        return False
    cdef bint single = has_format(&buffer, b"f")
    try:
        if not (single or has_format(&buffer, b"d")) or buffer.ndim > 4 or not PyBuffer_IsContiguous(&buffer, b"C"):
            return False
        if <size_t> buffer.buf % <size_t> buffer.itemsize != 0:
            return False
        buffer_axes(&buffer, axes)
        set_memory(t, <float *> allocate(count_elements(axes) * <Py_ssize_t> sizeof(float)), axes, None, False)
        if single:
            copy_elements(t.data, <const float *> buffer.buf, t.size)
        else:
            narrow.x = <const double *> buffer.buf
            narrow.y = t.data
            narrow.n = t.size
            launch(KERNELS.narrow, &narrow, element_tiles(t.size), 0.0, 12.0 * t.size)
        return True
    finally:
        PyBuffer_Release(&buffer)


cdef extern from *:
    """
    typedef struct {
        void *data;
        int32_t device_type, device_id;
        int32_t ndim;
        uint8_t type_code, type_bits;
        uint16_t type_lanes;
        int64_t *shape, *strides; /* strides count elements */
        uint64_t byte_offset;
    } rn_dl_tensor;
    typedef struct rn_dl_managed {
        rn_dl_tensor tensor;
        void *owner;
        void (*release)(struct rn_dl_managed *);
    } rn_dl_managed;
    typedef struct rn_dl_versioned {
        uint32_t major, minor;
        void *owner;
        void (*release)(struct rn_dl_versioned *);
        uint64_t flags;
        rn_dl_tensor tensor;
    } rn_dl_versioned;
    /* Either capsule, and the lengths that it points to. */
    typedef struct {
        union {
            rn_dl_managed managed;
            rn_dl_versioned versioned;
        };
        int64_t shape[4], strides[4];
    } rn_dl_export;
    """
    ctypedef struct rn_dl_tensor:
        void *data
        int32_t device_type
        int32_t device_id
        int32_t ndim
        uint8_t type_code
        uint8_t type_bits
        uint16_t type_lanes
        int64_t *shape
        int64_t *strides
        uint64_t byte_offset

    ctypedef struct rn_dl_managed:
        rn_dl_tensor tensor
        void *owner
        void (*release)(rn_dl_managed *) noexcept nogil

    ctypedef struct rn_dl_versioned:
        uint32_t major
        uint32_t minor
        void *owner
        void (*release)(rn_dl_versioned *) noexcept nogil
        uint64_t flags
        rn_dl_tensor tensor

    ctypedef struct rn_dl_export:
        rn_dl_managed managed
        rn_dl_versioned versioned
        int64_t[4] shape
        int64_t[4] strides

cdef enum:
    DLPACK_CPU = 1
    DLPACK_FLOAT = 2
    DLPACK_READ_ONLY = 1
    DLPACK_COPIED = 2


cdef void release_export(void *exported, void *owner) noexcept nogil:
    """End an export: its consumer, in whatever thread, is done with the memory."""
    if Py_IsInitialized():
        with gil:
            Py_DECREF(<object> owner)
    free(exported)


cdef void release_managed(rn_dl_managed *managed) noexcept nogil:
    release_export(managed, managed.owner)


cdef void release_versioned(rn_dl_versioned *versioned) noexcept nogil:
    release_export(versioned, versioned.owner)


cdef void drop_capsule(object capsule) noexcept:
    """End the export of a capsule that nobody took up; who takes one up renames it."""
    cdef rn_dl_managed *managed
    cdef rn_dl_versioned *versioned
    if PyCapsule_IsValid(capsule, b"dltensor"):
        managed = <rn_dl_managed *> PyCapsule_GetPointer(capsule, b"dltensor")
        managed.release(managed)
    elif PyCapsule_IsValid(capsule, b"dltensor_versioned"):
        versioned = <rn_dl_versioned *> PyCapsule_GetPointer(capsule, b"dltensor_versioned")
        versioned.release(versioned)


cdef object export_dlpack(Tensor4D t, object stream, object max_version, object dl_device, object copy):
    """A capsule that lends the memory of `t`, or of a copy, to its consumer."""
    if stream is not None:
        raise OptionError(f"a Tensor4D lives on the CPU, which has no streams, got stream={stream!r}")
    if dl_device is not None and dl_device != (DLPACK_CPU, 0):
        raise BufferError(f"a Tensor4D lives on the CPU, (1, 0), and cannot be exported to device {dl_device!r}")
    cdef bint versioned = isinstance(max_version, tuple) and max_version >= (1, 0)
    cdef bint copied = copy is not None and copy
    if copied:
        t = copy_tensor(t)
    if t.readonly and not versioned:
        raise BufferError("a read-only Tensor4D can be exported through DLPack 1.0 and later only, or with copy=True")
    cdef rn_dl_export *export = <rn_dl_export *> calloc(1, sizeof(rn_dl_export))
    if export == NULL:
        raise MemoryError()
    cdef rn_dl_tensor *tensor = &export.versioned.tensor if versioned else &export.managed.tensor
    cdef int64_t stride = 1
    cdef int i
    for i in range(3, -1, -1):
        export.shape[i] = t.axes[i]
        export.strides[i] = stride
        stride *= max(t.axes[i], 1)
    tensor.data = t.data
    tensor.device_type = DLPACK_CPU
    tensor.ndim = 4
    tensor.type_code = DLPACK_FLOAT
    tensor.type_bits = 32
    tensor.type_lanes = 1
    tensor.shape = export.shape
    tensor.strides = export.strides
    if versioned:
        export.versioned.major = 1
        export.versioned.owner = <void *> t
        export.versioned.release = release_versioned
        export.versioned.flags = (DLPACK_READ_ONLY if t.readonly else 0) | (DLPACK_COPIED if copied else 0)
    else:
        export.managed.owner = <void *> t
        export.managed.release = release_managed
    Py_INCREF(t)
    try:
        return PyCapsule_New(export, b"dltensor_versioned" if versioned else b"dltensor", drop_capsule)
    except BaseException:
        release_export(export, <void *> t)
        raise


cdef Tensor4D copy_tensor(Tensor4D t):
    cdef Tensor4D y = empty_tensor(t.axes)
    copy_elements(y.data, t.data, t.size)
    return y


cdef tuple reduce_tensor(Tensor4D t, int protocol):
    """What a pickle keeps: the shape and the memory itself, apart from the stream where protocol 5 allows it."""
    return tensor_from_bytes, (t.shape, PickleBuffer(t) if protocol >= 5 else bytes(memoryview(t)))


def tensor_from_bytes(shape, data) -> Tensor4D:
    """Return a tensor of ``shape`` whose elements are the float32 in the buffer ``data``: what unpickling calls."""
    cdef Py_ssize_t[4] axes
    read_shape(shape, axes)
    cdef const unsigned char[::1] source = memoryview(data).cast("B")
    cdef Py_ssize_t size = count_elements(axes)
    if source.shape[0] != size * <Py_ssize_t> sizeof(float):
        raise ShapeError(f"{source.shape[0]} bytes are not the elements of a tensor of shape {shape!r}")
    cdef Tensor4D t = empty_tensor(axes)
    if size > 0:
        memcpy(t.data, &source[0], source.shape[0])
    return t
