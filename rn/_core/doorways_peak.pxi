# What the machine can do at best: the roofline that kernels are measured by.

cdef extern from "rn.h" nogil:
    enum:
        RN_SINK

    ctypedef struct rn_peak_args:
        const float *x
        ptrdiff_t n
        ptrdiff_t turns
        float *sink


cdef double best_time(const Call *call, int threads, Py_ssize_t rounds) noexcept:
    """The seconds of the fastest of some calls, once all threads have come."""
    cdef Crew *crew = muster(threads)
    cdef Span[MOST_THREADS] parts
    cdef int64_t begin, took, best = -1
    cdef Py_ssize_t i
    cdef int share = 1 if crew == NULL else threads
    with nogil:
        for i in range(64):  # no thread needs as long as that to come, if it does
            work(call, crew, share, NULL, 0, parts)
            if all_came(parts, share):
                break
        for i in range(rounds):
            begin = rn_now()
            work(call, crew, share, NULL, 0, NULL)
            took = rn_now() - begin
            best = took if best < 0 else min(best, took)
    stand_down(crew)
    return 1e-9 * max(best, 1)


cdef bint all_came(const Span *parts, int share) noexcept nogil:
    cdef int i
    for i in range(1, share):
        if parts[i].end == parts[i].begin:
            return False
    return True


def measure_arithmetic(int threads) -> float:
    """Return the FLOP/s of a loop of FMA on so many threads, the best of some rounds; takes about 20 ms."""
    cdef rn_peak_args a
    cdef Tensor4D sink = Tensor4D.zeros((threads, RN_SINK))
    a.x, a.n, a.turns, a.sink = NULL, 0, 100000, sink.data
    cdef Call call = loose_call(KERNELS.peak_arithmetic, &a, threads, 0, 0.0, 0.0)
    cdef double seconds = best_time(&call, threads, 12)
    return 24.0 * KERNELS.lanes * a.turns * threads / seconds


def measure_reading(Py_ssize_t size, int threads) -> float:
    """Return the bytes a second at which so many threads read ``size`` bytes, each its own part, again and again.

    The best of some rounds of 8 MiB or more, 64 KiB being the least for a thread.
    """
    cdef rn_peak_args a
    cdef Py_ssize_t floats = max(size // 4 // threads, 1 << 14)
    cdef Tensor4D x = Tensor4D.zeros((threads, floats))
    cdef Tensor4D sink = Tensor4D.zeros((threads, RN_SINK))
    memset(x.data, 0, 4 * threads * floats)  # else every page is the system's one page of zeros
    a.x, a.n, a.turns, a.sink = x.data, floats, max((1 << 21) // (threads * floats), 1), sink.data
    cdef Call call = loose_call(KERNELS.peak_reading, &a, threads, 0, 0.0, 0.0)
    cdef double seconds = best_time(&call, threads, 16)
    return 4.0 * threads * floats * a.turns / seconds
