# Crews: threads that stand by to share a caller's calls. Theirs is the one parallel loop of the library.

from _thread import start_new_thread

from cython.parallel cimport prange

cdef extern from "pythread.h" nogil:
    ctypedef void *PyThread_type_lock
    enum:
        NOWAIT_LOCK
        WAIT_LOCK
    PyThread_type_lock PyThread_allocate_lock()
    void PyThread_free_lock(PyThread_type_lock lock)
    int PyThread_acquire_lock(PyThread_type_lock lock, int wait)
    void PyThread_release_lock(PyThread_type_lock lock)

cdef extern from "crew.h" nogil:
    enum:
        RN_LINE_BYTES

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
       of all the process may use but that one), until the caller has moved. */
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

# How long a helper without work spins before it sleeps, in nanoseconds: longer than the gaps in a step and the Python between
# two steps; where there are too few processors for all, no longer than waking takes.
cdef int64_t PATIENCE = 1000000
cdef int64_t LITTLE_PATIENCE = 20000


@cython.internal
cdef class Crew:
    """Seats for `threads` threads: the first is the caller's, the others are those of helpers that stand by."""

    cdef int threads
    cdef int wanted  # threads of the caller that has it now
    cdef bint roomy  # there are processors for all
    cdef char *memory
    cdef uint64_t *gate
    cdef rn_seat *seats
    cdef PyThread_type_lock gone  # released when the helpers have left
    # The call at hand.
    cdef const Call *call  # NULL: the crew is dismissed
    cdef int share
    cdef int processor  # the caller's
    cdef char *scratch
    cdef Py_ssize_t scratch_stride
    cdef Span *parts

    def __cinit__(self, int threads):
        cdef int i
        self.threads = threads
        self.roomy = threads <= rn_processors()
        self.memory = <char *> allocate(RN_LINE_BYTES + threads * sizeof(rn_seat))
        memset(self.memory, 0, RN_LINE_BYTES + threads * sizeof(rn_seat))
        self.gate = <uint64_t *> self.memory
        self.seats = <rn_seat *> (self.memory + RN_LINE_BYTES)
        self.gone = taken_lock()
        for i in range(1, threads):
            self.seats[i].bed = taken_lock()

    def __dealloc__(self):
        cdef int i
        for i in range(1, self.threads if self.seats != NULL else 0):
            free_lock(self.seats[i].bed)
        free_lock(self.gone)
        rn_aligned_free(self.memory)

    def stand_by(self) -> None:
        """Be the helpers, until the crew is dismissed: what its first thread does. Where OpenMP grants fewer, some seats stay
        empty."""
        cdef int seat
        with nogil:
            for seat in prange(1, self.threads, num_threads=self.threads - 1, schedule="static"):
                self.help(seat)
            PyThread_release_lock(self.gone)

    cdef void help(self, int seat) noexcept nogil:
        """Take part in every round that has this seat; sleep where there is none for a while."""
        cdef uint32_t seen = 0
        cdef int64_t since = rn_now(), patience = PATIENCE if self.roomy else LITTLE_PATIENCE
        while True:
            if rn_gate_enter(self.gate, seat, &seen):
                if self.call == NULL:
                    rn_gate_leave(self.gate)
                    return
                if self.roomy and self.processor >= 0 and self.processor == rn_processor():
                    rn_keep_off(self.processor)
                self.work(seat)
                rn_gate_leave(self.gate)
                since = rn_now()
            rn_gate_watch(self.gate, seen)
            if rn_now() - since > patience:
                rn_seat_sleep(&self.seats[seat], self.gate, seen)
                since = rn_now()

    cdef void share_call(self, const Call *call, int share, char *scratch, Py_ssize_t scratch_stride,
                         Span *parts) noexcept nogil:
        """Work a call on `share` threads, each beginning with a row of tiles of its own."""
        cdef int i
        self.call, self.share, self.processor = call, share, rn_processor()
        self.scratch, self.scratch_stride, self.parts = scratch, scratch_stride, parts
        for i in range(share):
            self.seats[i].next = call.tiles * i // share
            self.seats[i].end = call.tiles * (i + 1) // share
            if parts != NULL:
                parts[i].begin = parts[i].end = rn_now()  # that of helpers who do not come
        rn_gate_open(self.gate, share, self.seats)
        self.work(0)
        rn_gate_close(self.gate)

    cdef void work(self, int seat) noexcept nogil:
        """Work the tiles of a seat's row, then those that nobody has begun in the others'."""
        cdef rn_kernel kernel = self.call.kernel
        cdef const void *args = self.call.args
        cdef char *scratch = self.scratch + seat * self.scratch_stride
        cdef ptrdiff_t tile
        cdef int i, row = seat
        if self.parts != NULL:
            self.parts[seat].begin = rn_now()
        for i in range(self.share):
            tile = rn_seat_claim(&self.seats[row])
            while tile >= 0:
                kernel(args, tile, scratch)
                tile = rn_seat_claim(&self.seats[row])
            row = row + 1 if row + 1 < self.share else 0
        if self.parts != NULL:
            self.parts[seat].end = rn_now()

    cdef void dismiss(self) noexcept:
        """Let the helpers leave, and wait until they have."""
        self.call = NULL
        rn_gate_open(self.gate, self.threads, self.seats)
        with nogil:
            PyThread_acquire_lock(self.gone, WAIT_LOCK)


cdef PyThread_type_lock taken_lock() except NULL:
    cdef PyThread_type_lock lock = PyThread_allocate_lock()
    if lock == NULL:
        raise MemoryError()
    PyThread_acquire_lock(lock, NOWAIT_LOCK)
    return lock


cdef void free_lock(PyThread_type_lock lock) noexcept:
    if lock != NULL:
        PyThread_free_lock(lock)


cdef list idle_crews = []


cdef Crew muster(int threads):
    """A crew of so many threads for the caller, of whom it is one, until `stand_down`; None where it works alone."""
    cdef Crew crew
    if threads <= 1:
        return None
    while idle_crews:
        crew = idle_crews.pop()
        if crew.threads >= threads:
            crew.wanted = threads
            return crew
        crew.dismiss()
    try:
        crew = Crew(threads)
        start_new_thread(crew.stand_by, ())
    except (RuntimeError, MemoryError):
        return None  # no more threads are to be had
    crew.wanted = threads
    return crew


cdef void stand_down(Crew crew) noexcept:
    """Leave the crew to the next caller."""
    if crew is not None:
        idle_crews.append(crew)


cdef void dismiss_idle_crews() noexcept:
    while idle_crews:
        (<Crew> idle_crews.pop()).dismiss()
