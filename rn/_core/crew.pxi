# Crews: threads that stand by to share a caller's calls. Theirs is the one parallel loop of the library.

from cython.parallel cimport prange

cdef extern from "pythread.h" nogil:
    ctypedef void *PyThread_type_lock
    enum:
        NOWAIT_LOCK
        WAIT_LOCK
    unsigned long PyThread_start_new_thread(void (*function)(void *) noexcept nogil, void *argument)
    PyThread_type_lock PyThread_allocate_lock()
    void PyThread_free_lock(PyThread_type_lock lock)
    int PyThread_acquire_lock(PyThread_type_lock lock, int wait)
    void PyThread_release_lock(PyThread_type_lock lock)

cdef extern from "crew.h" nogil:
    ctypedef struct rn_seat:
        uint64_t next
        uint64_t end
        PyThread_type_lock bed

    uint64_t rn_add(uint64_t *p, uint64_t n)
    void rn_gate_open(uint64_t *gate, int seats, rn_seat *seat)
    void rn_gate_close(uint64_t *gate)
    bint rn_gate_enter(uint64_t *gate, int seat, uint32_t *seen)
    void rn_gate_leave(uint64_t *gate)
    void rn_gate_watch(uint64_t *gate, uint32_t seen)
    void rn_seat_sleep(rn_seat *seat, uint64_t *gate, uint32_t seen)
    ptrdiff_t rn_seat_claim(rn_seat *seat)

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #define RN_OPENMP _OPENMP
    static int rn_processors(void) { return omp_get_num_procs(); }
    #else
    #define RN_OPENMP 0
    static int rn_processors(void) { return 1; }
    #endif
    /* In a virtual machine an idle processor often counts as taken away, and threads that are woken are put behind the one
       that wakes them, again and again. A helper that finds itself on its caller's processor keeps off it from then on (a mask
       of all that the process's first thread may use but that one), until they meet again. */
    #if defined(__linux__)
    #include <unistd.h>
    static int rn_processor(void) { return sched_getcpu(); }
    static void rn_keep_off(int processor) {
        cpu_set_t others;
        if (sched_getaffinity(getpid(), sizeof others, &others) != 0) return;
        CPU_CLR(processor, &others);
        if (CPU_COUNT(&others) > 0) sched_setaffinity(0, sizeof others, &others);
    }
    #else
    static int rn_processor(void) { return -1; }
    static void rn_keep_off(int processor) { (void)processor; }
    #endif
    """
    int RN_OPENMP
    int rn_processors() nogil
    int rn_processor() nogil
    void rn_keep_off(int processor) nogil

cdef extern from "float_control.h" nogil:
    unsigned int RN_NO_DENORMALS
    unsigned int rn_float_control()
    void rn_set_float_control(unsigned int control)

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
    bint alternates  # every other run works the tiles from the last to the first, and finds what the one before read last
    bint backwards  # the run at hand does

# How long a helper without work spins before it sleeps, in nanoseconds: longer than the gaps in a step and the Python between
# two steps, where such waits have paid; else, or where a processor is not its own, no longer than waking takes.
cdef int64_t PATIENCE = 1000000
cdef int64_t LITTLE_PATIENCE = 50000

cdef enum:
    MOST_IDLE = 8  # crews that are kept for later callers

# Seats for threads: the first is the caller's, the others are those of helpers that stand by.
cdef struct Crew:
    uint64_t gate
    char[56] apart  # the gate has a line of the cache for itself
    rn_seat *seats
    int threads
    int processors
    Crew *next  # of the idle crews
    unsigned long forks  # that there had been when the helpers were started
    PyThread_type_lock gone  # released when the helpers have left
    # For the caller that has it now.
    int wanted  # threads
    bint roomy  # there are processors for these, and for all that share other callers' work
    # The call at hand.
    const Call *call  # NULL: the crew is dismissed
    int share
    int processor  # the caller's; -2 where helpers need not keep off it
    unsigned int control  # of floats, the caller's
    char *scratch
    Py_ssize_t scratch_stride
    Span *parts


cdef void share_call(Crew *crew, const Call *call, int share, char *scratch, Py_ssize_t scratch_stride,
                     Span *parts) noexcept nogil:
    """Work a call on `share` threads, each beginning with a row of tiles of its own."""
    cdef int i
    crew.call, crew.share, crew.processor = call, share, rn_processor() if crew.roomy else -2
    crew.scratch, crew.scratch_stride, crew.parts, crew.control = scratch, scratch_stride, parts, rn_float_control()
    for i in range(share):
        crew.seats[i].next = call.tiles * i // share
        crew.seats[i].end = call.tiles * (i + 1) // share
        if parts != NULL:
            parts[i].begin = parts[i].end = rn_now()  # that of helpers who do not come
    rn_gate_open(&crew.gate, share, crew.seats)
    take_part(crew, 0)
    rn_gate_close(&crew.gate)


cdef void take_part(const Crew *crew, int seat) noexcept nogil:
    """Work the tiles of a seat's row, then those that nobody has begun in the others'.

    Backwards, all rows are turned round, and each seat has the one that was its own, but for a tile at its ends.
    """
    cdef rn_kernel kernel = crew.call.kernel
    cdef const void *args = crew.call.args
    cdef char *scratch = crew.scratch + seat * crew.scratch_stride
    cdef bint backwards = crew.call.backwards
    cdef ptrdiff_t tile, last = crew.call.tiles - 1
    cdef int i, row = crew.share - 1 - seat if backwards else seat
    if crew.parts != NULL:
        crew.parts[seat].begin = rn_now()
    for i in range(crew.share):
        tile = rn_seat_claim(&crew.seats[row])
        while tile >= 0:
            kernel(args, last - tile if backwards else tile, scratch)
            tile = rn_seat_claim(&crew.seats[row])
        row = row + 1 if row + 1 < crew.share else 0
    if crew.parts != NULL:
        crew.parts[seat].end = rn_now()


cdef void help(Crew *crew, int seat) noexcept nogil:
    """Take part in every round that has this seat; sleep where there is none for a while; end when the crew is dismissed."""
    cdef uint32_t seen = 0
    cdef int64_t since = rn_now(), patience = PATIENCE, waited
    cdef unsigned int own = rn_float_control()
    while True:
        if rn_gate_enter(&crew.gate, seat, &seen):
            if crew.call == NULL:
                rn_set_float_control(own)
                rn_gate_leave(&crew.gate)
                return
            waited = rn_now() - since
            rn_set_float_control(crew.control)  # the caller's: the same bits whoever works a tile
            take_part(crew, seat)
            rn_gate_leave(&crew.gate)
        elif rn_now() - since > (patience if crew.roomy else LITTLE_PATIENCE):
            rn_seat_sleep(&crew.seats[seat], &crew.gate, seen)
            waited = rn_now() - since
        else:
            rn_gate_watch(&crew.gate, seen)
            continue
        if rn_processor() == crew.processor:
            rn_keep_off(crew.processor)
            patience = LITTLE_PATIENCE
        else:
            patience = adapted(patience, waited)
        since = rn_now()


cdef inline int64_t adapted(int64_t patience, int64_t waited) noexcept nogil:
    """More patience where a wait could have been spun through, less where it was too long."""
    if waited <= LITTLE_PATIENCE:
        return patience
    return min(2 * patience, PATIENCE) if waited < PATIENCE else max(patience // 2, LITTLE_PATIENCE)


cdef void stand_by(void *given) noexcept nogil:
    """Be the helpers, until the crew is dismissed. OpenMP binds threads to places by their numbers, so that of the caller's seat
    is one of them, and sleeps. Where it grants fewer, some seats stay empty."""
    cdef Crew *crew = <Crew *> given
    cdef PyThread_type_lock gone = crew.gone
    cdef int seat
    for seat in prange(crew.threads, num_threads=crew.threads, schedule="static"):
        if seat == 0:
            PyThread_acquire_lock(crew.seats[0].bed, WAIT_LOCK)
        else:
            help(crew, seat)
    PyThread_release_lock(gone)


# All below runs under the GIL.
cdef Crew *idle_crews = NULL
cdef int idle_count = 0
cdef int threads_at_work = 0  # of all callers
cdef unsigned long fork_count = 0


cdef Crew *new_crew(int threads) noexcept:
    """A crew whose helpers are about to come; NULL where there is no memory or no thread for it."""
    cdef int i
    cdef Crew *crew = <Crew *> rn_aligned_allocate_zeros(sizeof(Crew))
    if crew == NULL:
        return NULL
    crew.threads, crew.processors, crew.forks = threads, rn_processors(), fork_count
    crew.seats = <rn_seat *> rn_aligned_allocate_zeros(threads * sizeof(rn_seat))
    crew.gone = taken_lock()
    cdef bint good = crew.seats != NULL and crew.gone != NULL
    for i in range(threads if crew.seats != NULL else 0):
        crew.seats[i].bed = taken_lock()
        good = good and crew.seats[i].bed != NULL
    if good and PyThread_start_new_thread(stand_by, crew) != <unsigned long> -1:
        return crew
    free_crew(crew)
    return NULL


cdef void free_crew(Crew *crew) noexcept:
    cdef int i
    for i in range(crew.threads if crew.seats != NULL else 0):
        free_lock(crew.seats[i].bed)
    free_lock(crew.gone)
    rn_aligned_free(crew.seats)
    rn_aligned_free(crew)


cdef PyThread_type_lock taken_lock() noexcept:
    cdef PyThread_type_lock lock = PyThread_allocate_lock()
    if lock != NULL:
        PyThread_acquire_lock(lock, NOWAIT_LOCK)
    return lock


cdef void free_lock(PyThread_type_lock lock) noexcept:
    if lock != NULL:
        PyThread_free_lock(lock)


cdef void dismiss(Crew *crew) noexcept:
    """Let the helpers leave, and wait until they have."""
    crew.call = NULL
    rn_gate_open(&crew.gate, crew.threads, crew.seats)
    PyThread_release_lock(crew.seats[0].bed)
    with nogil:
        PyThread_acquire_lock(crew.gone, WAIT_LOCK)
    free_crew(crew)


cdef Crew *take_idle() noexcept:
    global idle_crews, idle_count
    cdef Crew *crew = idle_crews
    if crew != NULL:
        idle_crews = crew.next
        idle_count -= 1
    return crew


cdef Crew *muster(int threads) noexcept:
    """A crew for the caller and so many threads, itself among them, until it stands down; NULL where the caller works alone."""
    global threads_at_work
    if threads <= 1 or not RN_OPENMP:
        return NULL
    cdef Crew *crew = take_idle()
    while crew != NULL and crew.threads < threads:
        dismiss(crew)
        crew = take_idle()
    if crew == NULL:
        crew = new_crew(threads)
    if crew != NULL:
        threads_at_work += threads
        crew.wanted, crew.roomy = threads, threads_at_work <= crew.processors
    return crew


cdef void stand_down(Crew *crew) noexcept:
    """Leave the crew to the next caller. In a child that was forked since it was mustered, none of its helpers are there."""
    global idle_crews, idle_count, threads_at_work
    if crew == NULL or crew.forks != fork_count:
        return
    threads_at_work -= crew.wanted
    if idle_count == MOST_IDLE:
        dismiss(crew)
        return
    crew.next, idle_crews = idle_crews, crew
    idle_count += 1


cdef void dismiss_idle_crews() noexcept:
    cdef Crew *crew = take_idle()
    while crew != NULL:
        dismiss(crew)
        crew = take_idle()


cdef void forget_crews() noexcept:
    """After a fork, in the child: none of the helpers is there. What crews there were is not touched again, nor freed."""
    global idle_crews, idle_count, threads_at_work, fork_count
    idle_crews, idle_count, threads_at_work = NULL, 0, 0
    fork_count += 1
