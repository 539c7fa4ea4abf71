# Rows and targets on their way into a plan: those that `train` gathers step by step, and those that a call brings.


@cython.internal
cdef class Feed:
    """Rows that `train` copies into a slot before each step."""

    cdef const unsigned char[::1] source
    cdef rn_gather_args args
    cdef Call call
    cdef Py_ssize_t rows


@cython.internal
cdef class FeedPointers:
    """The feeds and reports of a plan as C arrays, for a loop without the GIL."""

    cdef rn_gather_args **args
    cdef Call **calls
    cdef double **sums
    cdef Py_ssize_t *counts  # of each report
    cdef double *factors
    cdef list feeds  # held, so that the pointers into them stay good

    def __cinit__(self, list feeds, list reports):
        cdef Py_ssize_t i
        self.feeds = feeds
        self.args = <rn_gather_args **> calloc(len(feeds) + 1, sizeof(void *))
        self.calls = <Call **> calloc(len(feeds) + 1, sizeof(void *))
        self.sums = <double **> calloc(len(reports) + 1, sizeof(void *))
        self.counts = <Py_ssize_t *> calloc(len(reports) + 1, sizeof(Py_ssize_t))
        self.factors = <double *> calloc(len(reports) + 1, sizeof(double))
        if self.args == NULL or self.calls == NULL or self.sums == NULL or self.counts == NULL or self.factors == NULL:
            raise MemoryError()
        for i in range(len(feeds)):
            self.args[i] = &(<Feed> feeds[i]).args
            self.calls[i] = &(<Feed> feeds[i]).call
        cdef Root root
        for i, (root, factor) in enumerate(reports):
            self.sums[i] = <double *> root.data
            self.counts[i] = root.bytes // <Py_ssize_t> sizeof(double)
            self.factors[i] = factor

    def __dealloc__(self):
        free(self.args)
        free(self.calls)
        free(self.sums)
        free(self.counts)
        free(self.factors)


cdef bint copy_finite(const float *numbers, Py_ssize_t n, float *to) noexcept nogil:
    """Copy n numbers; whether none is NaN or infinite."""
    cdef int good
    cdef rn_copy_finite_args a
    a.from_, a.to, a.n, a.good = numbers, to, n, &good
    KERNELS.copy_finite(&a, 0, NULL)
    return good


cdef bint copy_classes(const int64_t *labels, Py_ssize_t n, Py_ssize_t classes, int32_t *to) noexcept nogil:
    """Copy n labels; whether all are from 0 to classes - 1."""
    cdef Py_ssize_t i
    cdef bint good = True
    for i in range(n):
        good &= 0 <= labels[i] < classes
        to[i] = <int32_t> labels[i]
    return good
