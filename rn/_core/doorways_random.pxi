# Doorways of the random numbers. All come from Philox4x32-10, keyed by seed, counted by (element, step, purpose): philox.h.

from libc.math cimport ceil, isfinite

cdef extern from "philox.h" nogil:
    void rn_philox(uint32_t *counter, uint64_t key) noexcept

cdef extern from "rn.h" nogil:
    ctypedef struct rn_dropout_args:
        const float *x
        float *y
        const rn_step *step
        ptrdiff_t n
        float scale
        uint32_t threshold
        uint32_t purpose

    ctypedef struct rn_random_args:
        float *y
        ptrdiff_t n
        uint64_t seed
        uint32_t step
        uint32_t purpose
        float shift
        float scale
        int truncated

    ctypedef struct rn_shuffle_args:
        int64_t *order
        ptrdiff_t n
        uint64_t seed
        uint32_t step
        uint32_t purpose


cdef uint64_t word64(value):
    """The low 64 bits of a whole number."""
    return <uint64_t> (int(value) & 0xFFFFFFFFFFFFFFFF)


cdef uint32_t word32(value):
    return <uint32_t> (int(value) & 0xFFFFFFFF)


def philox(counter, key) -> tuple[int, int, int, int]:
    """Return the four 32-bit words that Philox4x32-10 makes of a counter of four words and a 64-bit key.

    Source: Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
    """
    cdef uint32_t[4] c
    for i in range(4):
        c[i] = word32(counter[i])
    rn_philox(c, word64(key))
    return c[0], c[1], c[2], c[3]


cdef uint32_t dropout_threshold(double rate) except? 0:
    """The least random word that keeps an element."""
    if not 0.0 <= rate < 1.0:
        raise OptionError(f"a dropout rate must be at least 0 and below 1, got {rate}")
    return <uint32_t> min(ceil(rate * 4294967296.0), 4294967295.0)


def dropout(Plan plan, Slot x, Slot y, double rate, purpose) -> None:
    """Record y = x mask / (1 - rate); ``y`` may be ``x``.

    Element i is kept where the generator's word i for (plan's seed, step, ``purpose``) is at least rate 2^32, so that each step
    has its own mask and the same seed repeats it. The gradient is the same call on dy with the same purpose: the mask is made
    again, never stored. Raises ``OptionError`` unless 0 <= rate < 1, ``ShapeError`` where the shapes differ.
    """
    cdef uint32_t threshold = dropout_threshold(rate)
    same_shape("x", x, "y", y)
    cdef rn_dropout_args *a = <rn_dropout_args *> plan.record(
        "dropout", KERNELS.dropout, sizeof(rn_dropout_args), element_tiles(x.size), 0, 27.0 * x.size, 8.0 * x.size)
    a.step = &plan.step
    a.n = x.size
    a.scale = <float> (1.0 / (1.0 - rate))
    a.threshold = threshold
    a.purpose = word32(purpose)
    plan.link(&a.x, x, READ)
    plan.link(&a.y, y, WRITE)
    plan.may_overwrite(x, y)


cdef int fill_random(Tensor4D t, rn_kernel kernel, double operations, double shift, double scale, seed, purpose, step,
                     bint truncated) except -1:
    if t.readonly:
        raise StateError("random numbers cannot be written to a read-only Tensor4D")
    if not (isfinite(shift) and isfinite(scale)):
        raise OptionError(f"the range of random numbers must be finite, got {shift} and {scale}")
    cdef rn_random_args a
    a.y = t.data
    a.n = t.size
    a.seed = word64(seed)
    a.step = word32(step)
    a.purpose = word32(purpose)
    a.shift = <float> shift
    a.scale = <float> scale
    a.truncated = truncated
    cdef Call call = loose_call(kernel, &a, element_tiles(a.n), 0, operations * a.n, 4.0 * a.n)
    run_now(&call)
    return 0


def random_uniform(Tensor4D t, double low, double high, seed, purpose, step=0) -> None:
    """Fill ``t`` with numbers evenly spread over [low, high), the same for the same (seed, purpose, step) everywhere.

    Numbers are low + (high - low) u with 24-bit u in [0, 1), rounded to float32. Raises ``OptionError`` unless both ends are
    finite and low <= high, ``StateError`` where ``t`` is read-only.
    """
    if low > high:
        raise OptionError(f"random numbers from {low} to {high}: the lower end is above the upper")
    fill_random(t, KERNELS.random_uniform, 30.0, low, high - low, seed, purpose, step, False)


def random_normal(Tensor4D t, double mean, double std, seed, purpose, step=0, bint truncated=False) -> None:
    """Fill ``t`` with normal numbers, the same for the same (seed, purpose, step) on this instruction set.

    ``truncated`` draws those farther than two deviations from the mean again (their deviation is then 0.88 ``std``). Source:
    Box and Muller 1958. Raises ``OptionError`` unless mean and std are finite and std >= 0, ``StateError`` where ``t`` is
    read-only.
    """
    if std < 0.0:
        raise OptionError(f"a standard deviation cannot be negative, got {std}")
    fill_random(t, KERNELS.random_normal, 80.0, mean, std, seed, purpose, step, truncated)


def shuffle(int64_t[::1] order, seed, purpose, step=0) -> None:
    """Fill ``order`` with the numbers 0 … n - 1 in random order, the same for the same (seed, purpose, step, n) everywhere.

    Every order is equally likely to one part in 2^32. Source: Durstenfeld 1964. Raises ``OptionError`` for 2^32 numbers or more.
    """
    cdef rn_shuffle_args a
    a.n = order.shape[0]
    if a.n == 0:
        return
    if a.n > 0xFFFFFFFF:
        raise OptionError(f"shuffle orders fewer than 2^32 numbers, got {a.n}")
    a.order = &order[0]
    a.seed = word64(seed)
    a.step = word32(step)
    a.purpose = word32(purpose)
    cdef Call call = loose_call(KERNELS.shuffle, &a, 1, 0, 0.0, 16.0 * a.n)
    with nogil:
        run(&call, NULL, NULL, 0)
