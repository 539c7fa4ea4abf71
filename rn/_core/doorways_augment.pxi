# Doorways of the kernels that change images on their way into a model. They work on arrays, not on a plan's tensors, and on the
# caller's thread alone: batches are prepared beside the training of the one before, whose threads they would only disturb.

cdef extern from "rn.h" nogil:
    ctypedef struct rn_crop_args:
        const uint8_t *x
        uint8_t *y
        const int64_t *top
        const int64_t *left
        const uint8_t *upend
        const uint8_t *mirror
        ptrdiff_t c
        ptrdiff_t h
        ptrdiff_t w
        ptrdiff_t oh
        ptrdiff_t ow
        ptrdiff_t bytes

    ctypedef struct rn_cut_args:
        const uint8_t *x
        uint8_t *y
        const int64_t *top
        const int64_t *left
        ptrdiff_t c
        ptrdiff_t h
        ptrdiff_t w
        ptrdiff_t size
        ptrdiff_t bytes

    ctypedef struct rn_warp_args:
        const void *x
        void *y
        const float *map
        ptrdiff_t c
        ptrdiff_t h
        ptrdiff_t w
        ptrdiff_t bytes

    ctypedef struct rn_jitter_args:
        const void *x
        void *y
        const float *factor
        ptrdiff_t c
        ptrdiff_t size
        ptrdiff_t bytes
        float highest

    ctypedef struct rn_scale_args:
        const void *x
        float *y
        const float *scale
        const float *shift
        ptrdiff_t c
        ptrdiff_t size
        ptrdiff_t bytes

    ctypedef struct rn_mix_args:
        const void *x
        const void *other
        float *y
        const float *share
        ptrdiff_t size
        ptrdiff_t bytes

    ptrdiff_t RN_WARP_SCRATCH(ptrdiff_t h, ptrdiff_t w)


@cython.final
cdef class _Pixels:
    """The memory of an array of bytes or float32, C-contiguous, for as long as this lives: n rows of any shape."""

    cdef Py_buffer view
    cdef char *data
    cdef Py_ssize_t n
    cdef Py_ssize_t bytes

    def __cinit__(self, str name, array, bint writable=False):
        PyObject_GetBuffer(array, &self.view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | (PyBUF_WRITABLE if writable else 0))
        cdef bytes kind = self.view.format
        if kind not in (b"B", b"f") or self.view.ndim < 1:
            raise DtypeError(f"{name} must be an array of uint8 or float32, got format {kind.decode()!r}")
        self.data = <char *> self.view.buf
        self.n = self.view.shape[0]
        self.bytes = self.view.itemsize

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    cdef tuple shape(self):
        return tuple([self.view.shape[axis] for axis in range(self.view.ndim)])


cdef int need(bint holds, str text) except -1:
    if not holds:
        raise ShapeError(text)
    return 0


cdef int need_images(_Pixels x, _Pixels y, bint same) except -1:
    """Both hold n images of c channels; of the same size and type where `same`."""
    need(x.view.ndim == 4 and y.view.ndim == 4 and x.shape()[:2] == y.shape()[:2],
         f"x and y must be n images of c channels, got {x.shape()} and {y.shape()}")
    need(x.bytes == y.bytes, "x and y must be of one type")
    if same:
        need(x.shape() == y.shape(), f"x and y must have the same shape, got {x.shape()} and {y.shape()}")
    return 0


cdef int work_images(rn_kernel kernel, const void *args, Py_ssize_t tiles, Py_ssize_t scratch_bytes, double flops,
                     double bytes) except -1:
    """Work every tile here, on this thread, without the GIL."""
    cdef Call call = loose_call(kernel, args, tiles, scratch_bytes, flops, bytes)
    cdef char *scratch = <char *> allocate(scratch_bytes) if scratch_bytes else NULL
    with nogil:
        run(&call, NULL, scratch, 0)
    rn_aligned_free(scratch)
    return 0


def draw_words(uint32_t[:, ::1] words, const int64_t[::1] indices, block, seed, purpose, step=0) -> None:
    """Fill row i of ``words``, whole blocks of four, with those of the counters (indices[i], block + j, step, purpose)."""
    need(words.shape[0] == indices.shape[0] and words.shape[1] % 4 == 0,
         f"words must be ({indices.shape[0]}, 4 k), got {(words.shape[0], words.shape[1])}")
    cdef uint64_t key = word64(seed)
    cdef uint32_t first = word32(block), c2 = word32(step), c3 = word32(purpose)
    cdef Py_ssize_t i, j
    cdef uint32_t *counter
    with nogil:
        for i in range(words.shape[0]):
            for j in range(words.shape[1] // 4):
                counter = &words[i, 4 * j]
                counter[0], counter[1], counter[2], counter[3] = <uint32_t> indices[i], first + <uint32_t> j, c2, c3
                rn_philox(counter, key)


def crop_images(x, y, const int64_t[::1] top, const int64_t[::1] left, const uint8_t[::1] upend,
                const uint8_t[::1] mirror) -> None:
    """Cut windows of y's size out of x (n, c, h, w) at (top[i], left[i]), 0 outside of x, some of them upended or mirrored.

    ``x`` and ``y`` are uint8 or float32, both the same.
    """
    cdef _Pixels source = _Pixels("x", x), target = _Pixels("y", y, True)
    need_images(source, target, False)
    for lengths in (top.shape[0], left.shape[0], upend.shape[0], mirror.shape[0]):
        need(lengths == source.n, f"there must be {source.n} places and choices, one an image, got {lengths}")
    cdef rn_crop_args a
    a.x, a.y, a.bytes = <const uint8_t *> source.data, <uint8_t *> target.data, source.bytes
    a.c, a.h, a.w = source.view.shape[1], source.view.shape[2], source.view.shape[3]
    a.oh, a.ow = target.view.shape[2], target.view.shape[3]
    if source.n == 0:
        return
    a.top, a.left, a.upend, a.mirror = &top[0], &left[0], &upend[0], &mirror[0]
    work_images(KERNELS.crop_images, &a, source.n, 0, 0.0, 2.0 * target.view.len)


def cut_images(x, y, const int64_t[::1] top, const int64_t[::1] left, Py_ssize_t size) -> None:
    """Copy x (n, c, h, w) to ``y``, with zeros in a square of ``size`` rows and columns that begins at (top[i], left[i])."""
    cdef _Pixels source = _Pixels("x", x), target = _Pixels("y", y, True)
    need_images(source, target, True)
    need(top.shape[0] == source.n and left.shape[0] == source.n and size >= 0, f"there must be {source.n} places")
    cdef rn_cut_args a
    a.x, a.y, a.bytes, a.size = <const uint8_t *> source.data, <uint8_t *> target.data, source.bytes, size
    a.c, a.h, a.w = source.view.shape[1], source.view.shape[2], source.view.shape[3]
    if source.n == 0:
        return
    a.top, a.left = &top[0], &left[0]
    work_images(KERNELS.cut_images, &a, source.n, 0, 0.0, 2.0 * source.view.len)


def warp_images(x, y, const float[:, ::1] map) -> None:
    """Give pixel (r, s) of ``y`` what x (n, c, h, w) has at column m0 s + m1 r + m2, row m3 s + m4 r + m5, m = map[i].

    Bilinear, with zeros around the image. Raises ``ShapeError`` for images of 2^28 pixels or more.
    """
    cdef _Pixels source = _Pixels("x", x), target = _Pixels("y", y, True)
    need_images(source, target, True)
    need(map.shape[0] == source.n and map.shape[1] == 6, f"map must be ({source.n}, 6)")
    cdef rn_warp_args a
    a.x, a.y, a.bytes = source.data, target.data, source.bytes
    a.c, a.h, a.w = source.view.shape[1], source.view.shape[2], source.view.shape[3]
    need((a.h + 3.0) * (a.w + 3.0) < 2.0 ** 28, f"images of {a.h} x {a.w} are too large to be warped")
    if source.n == 0:
        return
    a.map = &map[0, 0]
    work_images(KERNELS.warp_images, &a, source.n, RN_WARP_SCRATCH(a.h, a.w), 12.0 * source.view.len / a.bytes,
                2.0 * source.view.len)


def jitter_images(x, y, const float[:, ::1] factor) -> None:
    """Change brightness, contrast and saturation of x (n, c, h, w), c 1 or 3, by the factors in row i of ``factor``.

    Clipped after each to 0 … 255 for uint8, 0 … 1 for float32.
    """
    cdef _Pixels source = _Pixels("x", x), target = _Pixels("y", y, True)
    need_images(source, target, True)
    need(factor.shape[0] == source.n and factor.shape[1] == 3, f"factor must be ({source.n}, 3)")
    cdef rn_jitter_args a
    a.x, a.y, a.bytes = source.data, target.data, source.bytes
    a.c, a.size = source.view.shape[1], source.view.shape[2] * source.view.shape[3]
    need(a.c in (1, 3), f"colours are changed of 1 or 3 channels, got {a.c}")
    a.highest = 255.0 if a.bytes == 1 else 1.0
    if source.n == 0:
        return
    a.factor = &factor[0, 0]
    work_images(KERNELS.jitter_images, &a, source.n, 4 * a.c * a.size, 30.0 * source.view.len / a.bytes, 2.0 * source.view.len)


def scale_images(x, float[:, :, :, ::1] y, const float[::1] scale, const float[::1] shift) -> None:
    """y = x scale + shift of x (n, c, h, w), with a number of each for every channel."""
    cdef _Pixels source = _Pixels("x", x)
    need(source.shape() == (y.shape[0], y.shape[1], y.shape[2], y.shape[3]), f"y must have x's shape {source.shape()}")
    need(scale.shape[0] == y.shape[1] and shift.shape[0] == y.shape[1], f"there must be {y.shape[1]} scales and shifts")
    cdef rn_scale_args a
    a.x, a.bytes, a.c, a.size = source.data, source.bytes, y.shape[1], y.shape[2] * y.shape[3]
    if source.n == 0 or a.c == 0 or a.size == 0:
        return
    a.y, a.scale, a.shift = &y[0, 0, 0, 0], &scale[0], &shift[0]
    work_images(KERNELS.scale_images, &a, source.n, 0, 2.0 * source.n * a.c * a.size,
                source.view.len + 4.0 * source.n * a.c * a.size)


def mix_rows(x, other, float[:, ::1] y, const float[::1] share) -> None:
    """y[i] = share[i] x[i] + (1 - share[i]) other[i]; y (n, size), x and other n rows of any shape with as many elements."""
    cdef _Pixels first = _Pixels("x", x), second = _Pixels("other", other)
    need(first.shape() == second.shape() and first.bytes == second.bytes, "x and other must be alike")
    need(first.n == y.shape[0] == share.shape[0] and first.view.len == y.shape[0] * y.shape[1] * first.bytes,
         f"y must be {first.n} rows with the elements of x")
    cdef rn_mix_args a
    a.x, a.other, a.bytes, a.size = first.data, second.data, first.bytes, y.shape[1]
    if first.n == 0 or a.size == 0:
        return
    a.y, a.share = &y[0, 0], &share[0]
    work_images(KERNELS.mix_rows, &a, first.n, 0, 3.0 * first.n * a.size,
                2.0 * first.view.len + 4.0 * first.n * a.size)
