# The one parallel loop of the library, and the thread setting it obeys.

from cython.parallel cimport prange, threadid

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #define RN_OPENMP _OPENMP
    #else
    #define RN_OPENMP 0
    #endif
    /* A child has none of its parent's threads. LLVM's runtime starts afresh there by itself (and a pause before the fork keeps
       it from doing so); gcc's hangs unless its pool was released, which it can since version 9 though it calls itself 4.5. */
    #if defined(__clang__)
    static int rn_release_pool(void) { return 1; }
    #elif RN_OPENMP >= 201811 || (RN_OPENMP && defined(__GNUC__) && __GNUC__ >= 9)
    static int rn_release_pool(void) { return omp_pause_resource_all(omp_pause_hard) == 0; }
    #else
    static int rn_release_pool(void) { return 0; }
    #endif
    /* In a virtual machine an idle processor often counts as taken away, and threads that are woken are put behind the one
       that wakes them, again and again. A thread that finds itself on its caller's processor keeps off it from then on (a mask
       of all the process may use but that one), until the caller has moved. Only where there are processors for all. */
    #if RN_OPENMP && defined(__linux__)
    #include <sched.h>
    #include <unistd.h>
    static int rn_processor(int threads) { return threads <= omp_get_num_procs() ? sched_getcpu() : -1; }
    static void rn_keep_off(int processor) {
        cpu_set_t others;
        if (sched_getaffinity(getpid(), sizeof others, &others) != 0) return;
        CPU_CLR(processor, &others);
        if (CPU_COUNT(&others) > 0) sched_setaffinity(0, sizeof others, &others);
    }
    static inline void rn_spread(int processor, int thread) {
        if (thread != 0 && processor >= 0 && sched_getcpu() == processor) rn_keep_off(processor);
    }
    #else
    static int rn_processor(int threads) { (void)threads; return -1; }
    static inline void rn_spread(int processor, int thread) { (void)processor; (void)thread; }
    #endif
    #define RN_QUOTE_(x) #x
    #define RN_QUOTE(x) RN_QUOTE_(x)
    #if defined(__clang__)
    #define RN_COMPILER "clang " __clang_version__
    #elif defined(__GNUC__)
    #define RN_COMPILER "gcc " __VERSION__
    #elif defined(_MSC_FULL_VER)
    #define RN_COMPILER "MSVC " RN_QUOTE(_MSC_FULL_VER)
    #else
    #define RN_COMPILER "unknown"
    #endif
    #if defined(RN_NATIVE_PROFILING)
    #define RN_SYMBOLS 1
    #else
    #define RN_SYMBOLS 0
    #endif
    """
    int RN_OPENMP
    const char *RN_COMPILER
    bint RN_SYMBOLS
    int rn_release_pool() nogil
    int rn_processor(int threads) nogil
    void rn_spread(int processor, int thread) nogil

# What a call does, as the plan lists it. `flops` and `bytes` come from the kernel's own formula.
cdef struct Call:
    rn_kernel kernel  # NULL: the Python function at index `callback` of the plan
    const void *args
    Py_ssize_t tiles
    Py_ssize_t scratch  # bytes for each thread
    double flops
    double bytes
    int callback
    Row *row  # of the profiler; NULL: the kernel's own


cdef Call loose_call(rn_kernel kernel, const void *args, Py_ssize_t tiles, Py_ssize_t scratch, double flops,
                     double bytes) noexcept nogil:
    """A call outside any plan."""
    cdef Call call
    call.kernel, call.args, call.tiles, call.scratch = kernel, args, tiles, scratch
    call.flops, call.bytes, call.callback, call.row = flops, bytes, -1, NULL
    return call

# A call estimated below this many nanoseconds is not worth waking other threads for: that takes 1,000 to 3,000.
cdef double SHARE_FROM = 8000.0

cdef enum:
    MOST_THREADS = 1024

cdef int thread_setting = 1
cdef bint serial_only = RN_OPENMP == 0
cdef bint pool_released = False


cdef inline double estimated_nanoseconds(const Call *call) noexcept nogil:
    """A rough time of a call on one thread: 80 GFLOP/s, or 25 GB/s as small data comes from the cache."""
    return max(call.flops * 0.0125, call.bytes * 0.04)


cdef int threads_for(const Call *call, int threads) noexcept nogil:
    """How many threads share a call: never more than its tiles, one where the work is small."""
    if threads <= 1 or call.tiles <= 1 or estimated_nanoseconds(call) < SHARE_FROM:
        return 1
    return threads if threads < call.tiles else <int> call.tiles


cdef void run(const Call *call, int threads, char *scratch, Py_ssize_t scratch_stride) noexcept nogil:
    """Work every tile of a call; `scratch` holds one piece of `scratch_stride` bytes for each thread."""
    if rn_watching:
        run_watched(call, threads_for(call, threads), scratch, scratch_stride)
    else:
        work(call, threads_for(call, threads), scratch, scratch_stride, NULL)


cdef void run_watched(const Call *call, int share, char *scratch, Py_ssize_t scratch_stride) noexcept nogil:
    """The same with the profiler on."""
    cdef Span[MOST_THREADS] parts
    cdef Visit visit
    visit = enter_call()
    work(call, share, scratch, scratch_stride, parts)
    leave_call(visit, call.row, call.kernel, call.flops, call.bytes, parts, share)


cdef inline void work(const Call *call, int share, char *scratch, Py_ssize_t scratch_stride, Span *parts) noexcept nogil:
    """Work every tile on `share` threads, each a row of them; `parts`, unless NULL, takes their times where they are several."""
    cdef Py_ssize_t part
    if share == 1:
        work_tiles(call, 0, call.tiles, scratch)
        return
    cdef int processor = rn_processor(share)
    for part in prange(share, num_threads=share, schedule="static"):
        rn_spread(processor, threadid())
        work_part(call, part, share, scratch + part * scratch_stride, parts)


cdef inline void work_part(const Call *call, Py_ssize_t part, int share, char *scratch, Span *parts) noexcept nogil:
    if parts != NULL:
        parts[part].begin = rn_now()
    work_tiles(call, call.tiles * part // share, call.tiles * (part + 1) // share, scratch)
    if parts != NULL:
        parts[part].end = rn_now()


cdef inline void work_tiles(const Call *call, Py_ssize_t tile, Py_ssize_t end, char *scratch) noexcept nogil:
    cdef rn_kernel kernel = call.kernel
    cdef const void *args = call.args
    while tile < end:
        kernel(args, tile, scratch)
        tile += 1


def get_num_threads() -> int:
    """Return how many threads a kernel may use."""
    return thread_setting


def set_num_threads(int n) -> None:
    """Let kernels use up to ``n`` threads, 1 <= n <= 1024; results are the same bits for every n.

    Raises ``OptionError`` for any other number. Without OpenMP the setting is kept and one thread is used.
    """
    global thread_setting
    if n < 1 or n > MOST_THREADS:
        raise OptionError(f"the number of threads must be from 1 to 1024, got {n}")
    thread_setting = n


cdef int current_threads() noexcept nogil:
    return 1 if serial_only else thread_setting


def openmp_version() -> int:
    """Return OpenMP's version as its date (201511 is 4.5), or 0 where the core was built without it."""
    return RN_OPENMP


def compiler() -> str:
    """Return the name and version of the compiler that built the core."""
    return RN_COMPILER.decode().strip()


def debug_symbols() -> bool:
    """Return whether the core was built with frame pointers and debug symbols (``RN_BUILD_PROFILE=1``)."""
    return RN_SYMBOLS


def before_fork() -> None:
    """Make ready for a fork: release the thread pool where a child could not start its own beside it."""
    global pool_released
    with nogil:
        pool_released = rn_release_pool()


def after_fork_in_child() -> None:
    """Run on one thread from here on where the pool could not be released before the fork."""
    global serial_only
    if not pool_released:
        serial_only = True
    forget_callers()
