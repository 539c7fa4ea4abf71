# How a call is run: alone or by a crew, watched or not; and the thread setting.

cdef extern from *:
    """
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
    const char *RN_COMPILER
    bint RN_SYMBOLS

cdef Call loose_call(rn_kernel kernel, const void *args, Py_ssize_t tiles, Py_ssize_t scratch, double flops,
                     double bytes) noexcept nogil:
    """A call outside any plan."""
    cdef Call call
    call.kernel, call.args, call.tiles, call.scratch = kernel, args, tiles, scratch
    call.flops, call.bytes, call.callback, call.row = flops, bytes, -1, NULL
    call.alternates = call.backwards = False
    return call

# A call estimated below this many nanoseconds is not worth waking other threads for: that takes 1,000 to 3,000.
cdef double SHARE_FROM = 8000.0

cdef enum:
    MOST_THREADS = 1024

cdef int thread_setting = 1


cdef inline double estimated_nanoseconds(const Call *call) noexcept nogil:
    """A rough time of a call on one thread: 80 GFLOP/s, or 25 GB/s as small data comes from the cache."""
    return max(call.flops * 0.0125, call.bytes * 0.04)


cdef int threads_for(const Call *call, int threads) noexcept nogil:
    """How many threads share a call: never more than its tiles, one where the work is small."""
    if threads <= 1 or call.tiles <= 1 or estimated_nanoseconds(call) < SHARE_FROM:
        return 1
    return threads if threads < call.tiles else <int> call.tiles


cdef void run(Call *call, Crew *crew, char *scratch, Py_ssize_t scratch_stride) noexcept nogil:
    """Work every tile of a call; `scratch` holds one piece of `scratch_stride` bytes for each thread of the crew."""
    if call.alternates:
        call.backwards = not call.backwards
    cdef int share = 1 if crew == NULL else threads_for(call, crew.wanted)
    if rn_watching:
        run_watched(call, crew, share, scratch, scratch_stride)
    else:
        work(call, crew, share, scratch, scratch_stride, NULL)


cdef void run_watched(const Call *call, Crew *crew, int share, char *scratch, Py_ssize_t scratch_stride) noexcept nogil:
    """The same with the profiler on."""
    cdef Span[MOST_THREADS] parts
    cdef Visit visit
    visit = enter_call()
    work(call, crew, share, scratch, scratch_stride, parts)
    leave_call(visit, call.row, call.kernel, call.flops, call.bytes, parts, share)


cdef inline void work(const Call *call, Crew *crew, int share, char *scratch, Py_ssize_t scratch_stride,
                      Span *parts) noexcept nogil:
    """Work every tile on `share` threads; `parts`, unless NULL, takes their times where they are several."""
    cdef Py_ssize_t tile, last = call.tiles - 1
    cdef bint backwards = call.backwards
    cdef rn_kernel kernel = call.kernel
    cdef const void *args = call.args
    if share > 1:
        share_call(crew, call, share, scratch, scratch_stride, parts)
        return
    for tile in range(call.tiles):
        kernel(args, last - tile if backwards else tile, scratch)


cdef void run_now(Call *call) noexcept:
    """Run a call that no plan holds and that needs no scratch, without the GIL."""
    cdef Crew *crew = muster(threads_for(call, current_threads()))
    with nogil:
        run(call, crew, NULL, 0)
    stand_down(crew)


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
    return thread_setting if RN_OPENMP else 1


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
    """Let the threads that stand by leave: a child has none of its parent's threads."""
    dismiss_idle_crews()


def after_fork_in_child() -> None:
    """Forget, in the child, the parent's other threads and their calls."""
    forget_crews()
    forget_callers()
