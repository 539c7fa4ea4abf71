# What the profiler counts: for each kernel of each layer its calls and their time. Off, all of it is one branch in `run`.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdlib cimport realloc

cdef extern from "pythread.h" nogil:
    unsigned long PyThread_get_thread_ident()

cdef extern from *:
    """
    #if defined(_WIN32)
    #include <windows.h>
    static int64_t rn_now(void) {
        LARGE_INTEGER ticks, rate;
        QueryPerformanceCounter(&ticks);
        QueryPerformanceFrequency(&rate);
        return (int64_t)((double)ticks.QuadPart * 1e9 / (double)rate.QuadPart);
    }
    #else
    #include <time.h>
    static int64_t rn_now(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    #endif
    #if defined(_MSC_VER)
    #define RN_THREAD_LOCAL __declspec(thread)
    #else
    #define RN_THREAD_LOCAL _Thread_local
    #endif
    /* Held for some nanoseconds, so whoever finds it taken tries again. */
    #include "crew.h"
    static uint64_t rn_taken;
    static void rn_lock(void) { while (rn_exchange(&rn_taken, 1)) rn_yield(); }
    static void rn_unlock(void) { rn_exchange(&rn_taken, 0); }
    static RN_THREAD_LOCAL int64_t rn_inside; /* nanoseconds of the calls inside the call at hand of this thread */
    static RN_THREAD_LOCAL int rn_beside; /* threads beside this one that work batches of their own, each a lane */
    #if defined(RN_NO_PROFILER)
    enum { rn_watching = 0 };
    #define rn_watch(on) ((void)(on))
    #define RN_PROFILER 0
    #else
    static int rn_watching;
    #define rn_watch(on) (rn_watching = (on))
    #define RN_PROFILER 1
    #endif
    """
    int64_t rn_now() noexcept nogil
    void rn_lock() noexcept nogil
    void rn_unlock() noexcept nogil
    int64_t rn_inside
    int rn_beside
    bint rn_watching
    void rn_watch(bint on)
    bint RN_PROFILER

# What is known of one kernel in one phase of one layer.
cdef struct Row:
    Py_ssize_t number  # its place in `row_keys`
    int64_t calls
    int64_t nanoseconds  # without those of calls inside it
    int64_t worst
    int64_t busy  # of all threads together
    double flops
    double bytes

cdef struct Span:
    int64_t begin
    int64_t end

cdef struct Visit:
    int64_t begin
    int64_t inside  # `rn_inside` of the call around it

cdef struct Event:
    int64_t row
    uint64_t caller  # the thread that made the call
    int64_t begin
    int64_t end
    int64_t spans  # where those of the call's threads begin
    int64_t threads  # how many they are; 0: the caller alone

# So many calls are kept one by one, for traces; a step of a small convolutional net has about 40.
cdef enum:
    EVENTS = 1 << 18

cdef list row_keys = []  # (kernel, layer, phase) of each row
cdef dict row_numbers = {}
cdef Row **rows = NULL
cdef Row **table_rows = NULL  # of calls that no plan recorded, one for each kernel
cdef Row *waiting = NULL  # of threads side by side, where one has begun later or ended earlier than others
cdef list profiles = []  # those that are on, the innermost last

# Under `rn_lock` are the rows' numbers and all below. Who holds it touches no Python object: that could wait for the GIL.
cdef int running = 0  # calls at this moment
cdef int64_t covered_since
cdef int64_t covered = 0  # nanoseconds during which any call ran
cdef Event *events = NULL
cdef Py_ssize_t event_count = 0
cdef Py_ssize_t event_room = 0
cdef Span *spans = NULL
cdef Py_ssize_t span_count = 0
cdef Py_ssize_t span_room = 0


cdef Row *row_of(str kernel, str layer, str phase) except NULL:
    """The row of a kernel in a phase of a layer, made at the first call; it stays where it is."""
    global rows
    cdef Row **more
    cdef Row *row
    key = (kernel, layer, phase)
    number = row_numbers.get(key)
    if number is not None:
        return rows[<Py_ssize_t> number]
    number = len(row_keys)
    if number & (number - 1) == 0:
        more = <Row **> realloc(rows, max(2 * number, 1) * sizeof(Row *))
        if more == NULL:
            raise MemoryError()
        rows = more
    row = <Row *> calloc(1, sizeof(Row))
    if row == NULL:
        raise MemoryError()
    row.number = number
    rows[<Py_ssize_t> number] = row
    row_keys.append(key)
    row_numbers[key] = number
    return row


cdef void name_kernels() except *:
    """Give every kernel a row of its own."""
    global table_rows, waiting
    cdef int i
    if table_rows != NULL:
        return
    waiting = row_of("waiting", "", "")
    cdef Row **named = <Row **> calloc(RN_KERNEL_COUNT, sizeof(Row *))
    if named == NULL:
        raise MemoryError()
    for i in range(RN_KERNEL_COUNT):
        named[i] = row_of((<bytes> rn_kernel_names[i]).decode(), "", "")
    table_rows = named


cdef Visit enter_call() noexcept nogil:
    """Begin to watch a call on this thread."""
    global running, covered_since, rn_inside
    cdef Visit visit
    visit.inside = rn_inside
    rn_inside = 0
    rn_lock()
    visit.begin = rn_now()
    if running == 0:
        covered_since = visit.begin
    running += 1
    rn_unlock()
    return visit


cdef void end_call(Visit visit, int64_t end) noexcept nogil:
    """Let the call that this thread entered end then; `rn_lock` is held afterwards."""
    global running, covered, rn_inside
    rn_inside = visit.inside + end - visit.begin
    rn_lock()
    running -= 1
    if running == 0:
        covered += end - covered_since


cdef void leave_call(Visit visit, Row *row, rn_kernel kernel, double flops, double bytes, const Span *parts,
                     int threads) noexcept nogil:
    """Count the call that this thread entered; `parts` are the times of its threads, the caller's first."""
    cdef int64_t end = rn_now()
    cdef int64_t own = end - visit.begin - rn_inside
    cdef int i
    end_call(visit, end)
    if row == NULL:
        row = table_rows[rn_kernel_number(KERNELS, kernel)]
    row.calls += 1
    row.nanoseconds += own // (1 + rn_beside)  # so that all lanes together have the time that passed
    row.worst = max(row.worst, own)
    row.flops += flops
    row.bytes += bytes
    if threads == 1:
        row.busy += own
    else:
        for i in range(threads):
            row.busy += parts[i].end - parts[i].begin
    keep_event(row.number, visit.begin, end, parts, threads)
    rn_unlock()


cdef void leave_side_by_side(Visit visit, const Span *parts, int threads) noexcept nogil:
    """Count how long threads that worked side by side, since this one entered, were not at work, as a share of all of them."""
    cdef int64_t end = rn_now(), idle = 0
    cdef int i
    for i in range(threads):
        idle += (end - visit.begin) - (parts[i].end - parts[i].begin)
    end_call(visit, end)
    waiting.calls += 1
    waiting.nanoseconds += idle // threads
    waiting.worst = max(waiting.worst, idle // threads)
    rn_unlock()


cdef void keep_event(Py_ssize_t row, int64_t begin, int64_t end, const Span *parts, int threads) noexcept nogil:
    """Keep one call for the trace, while there is room."""
    global event_count, span_count
    cdef int helpers = threads if threads > 1 else 0
    cdef Event *event
    if not make_room(helpers):
        return
    event = &events[event_count]
    event.row, event.begin, event.end = row, begin, end
    event.caller, event.spans, event.threads = PyThread_get_thread_ident(), span_count, helpers
    event_count += 1
    if helpers:
        memcpy(&spans[span_count], parts, helpers * sizeof(Span))
        span_count += helpers


cdef bint make_room(int helpers) noexcept nogil:
    """Whether there is room for one more event with so many spans."""
    global events, event_room, spans, span_room
    cdef Event *more_events
    cdef Span *more_spans
    cdef Py_ssize_t room
    if event_count == EVENTS:
        return False
    if event_count == event_room:
        room = max(1024, 2 * event_room)
        more_events = <Event *> realloc(events, room * sizeof(Event))
        if more_events == NULL:
            return False
        events, event_room = more_events, room
    if span_count + helpers > span_room:
        room = max(span_count + helpers, max(1024, 2 * span_room))
        more_spans = <Span *> realloc(spans, room * sizeof(Span))
        if more_spans == NULL:
            return False
        spans, span_room = more_spans, room
    return True


cdef void note_plan(object plan) except *:
    """Let the profiles that are on know a plan that runs."""
    cdef Profile profile
    for profile in profiles:
        profile._plans[id(plan)] = plan


cdef void forget_callers() noexcept:
    """After a fork, in the child: none of the threads that may hold the lock or be in a call is there."""
    global running
    rn_unlock()
    running = 0


cdef class Profile:
    """What ran between ``start()`` and ``stop()``, on all threads.

    Profiles nest: one that is started while another is on has all calls up to its own stop, and so has the outer one.
    """

    cdef Row *_outer  # the numbers of the rows before this profile
    cdef Py_ssize_t _known  # how many they are
    cdef int64_t _begin
    cdef int64_t _end
    cdef int64_t _outer_covered
    cdef Py_ssize_t _first_event
    cdef dict _plans  # those that ran, by id
    cdef readonly list rows  # after stop: (kernel, layer, phase, calls, seconds, worst, busy, FLOPs, bytes), of what was called
    cdef readonly list plans  # after stop: those that ran
    cdef readonly list keys  # after stop: (kernel, layer, phase) by the number that events have as row
    cdef readonly bytes events  # after stop: six int64 each: row, caller, begin, end, first span, spans
    cdef readonly bytes spans  # after stop: two int64 each, from the first event's first on: begin and end of a thread's part
    cdef readonly bint complete  # whether `events` holds every call
    cdef readonly double covered  # seconds during which any call ran

    def __dealloc__(self):
        free(self._outer)

    @property
    def begin(self) -> int:
        """The clock at the start, in nanoseconds, as events have it."""
        return self._begin

    @property
    def seconds(self) -> float:
        """From start to stop, or to this moment while the profile is on."""
        if self._begin == 0:
            return 0.0
        return 1e-9 * ((self._end if self._end else rn_now()) - self._begin)

    def start(self) -> None:
        """Begin to count; ``StateError`` where that was done before, and in a core built without the profiler."""
        global covered, covered_since
        if not RN_PROFILER:
            raise StateError("this core was built without the profiler (RN_BUILD_PROFILER=0); build it again without that")
        if self._begin:
            raise StateError("a profile is used once: make a new one with rn.profile()")
        name_kernels()
        self._known = len(row_keys)
        self._outer = row_memory(self._known)
        rn_lock()
        self._begin = rn_now()
        if running > 0:
            covered += self._begin - covered_since
            covered_since = self._begin
        self._outer_covered, covered = covered, 0
        self._first_event = event_count
        take_rows(self._outer, self._known)
        rn_unlock()
        self._plans = {}
        profiles.append(self)
        rn_watch(True)

    def stop(self) -> None:
        """End, and keep what was counted; ``StateError`` where a profile that was started later is still on."""
        global covered, covered_since
        if not profiles or profiles[len(profiles) - 1] is not self:
            raise StateError("profiles end in the opposite order of their beginnings, each once")
        profiles.pop()
        if not profiles:
            rn_watch(False)
        cdef Py_ssize_t count = len(row_keys)
        cdef Row *mine = row_memory(count)
        rn_lock()
        self._end = rn_now()
        if running > 0:
            covered += self._end - covered_since
            covered_since = self._end
        self.covered = 1e-9 * covered
        covered += self._outer_covered
        take_rows(mine, count)
        give_rows(mine, count)
        give_rows(self._outer, self._known)
        rn_unlock()
        try:
            self._take_rows(mine, count)
        finally:
            free(mine)
        self.plans = list(self._plans.values())
        self._plans = {}
        self._take_events()

    cdef void _take_rows(self, const Row *mine, Py_ssize_t count) except *:
        cdef Py_ssize_t i
        self.rows = []
        for i in range(count):
            if mine[i].calls:
                self.rows.append((*row_keys[i], mine[i].calls, 1e-9 * mine[i].nanoseconds, 1e-9 * mine[i].worst,
                                  1e-9 * mine[i].busy, mine[i].flops, mine[i].bytes))

    cdef void _take_events(self) except *:
        # Threads that are still in a call may add to both lists, and move them, until they are copied.
        global event_count, span_count
        cdef Py_ssize_t first = self._first_event, first_span, count, parts
        rn_lock()
        self.complete = event_count < EVENTS
        count = event_count - first
        first_span = events[first].spans if count > 0 else span_count
        parts = span_count - first_span
        rn_unlock()
        self.keys = list(row_keys)
        self.events = PyBytes_FromStringAndSize(NULL, count * sizeof(Event))
        self.spans = PyBytes_FromStringAndSize(NULL, parts * sizeof(Span))
        cdef char *event_bytes = PyBytes_AS_STRING(self.events)
        cdef char *span_bytes = PyBytes_AS_STRING(self.spans)
        cdef bint last = not profiles
        rn_lock()
        if count > 0:
            memcpy(event_bytes, events + first, count * sizeof(Event))
        if parts > 0:
            memcpy(span_bytes, spans + first_span, parts * sizeof(Span))
        if last:
            event_count = span_count = 0
        rn_unlock()


cdef Row *row_memory(Py_ssize_t count) except NULL:
    cdef Row *memory = <Row *> calloc(count + 1, sizeof(Row))
    if memory == NULL:
        raise MemoryError()
    return memory


cdef void take_rows(Row *to, Py_ssize_t count) noexcept nogil:
    """Move the numbers of the first rows to `to`; those rows begin anew."""
    cdef Py_ssize_t i
    for i in range(count):
        to[i] = rows[i][0]
        rows[i].calls = rows[i].nanoseconds = rows[i].worst = rows[i].busy = 0
        rows[i].flops = rows[i].bytes = 0.0


cdef void give_rows(const Row *numbers, Py_ssize_t count) noexcept nogil:
    """Add numbers that `take_rows` took."""
    cdef Py_ssize_t i
    for i in range(count):
        rows[i].calls += numbers[i].calls
        rows[i].nanoseconds += numbers[i].nanoseconds
        rows[i].worst = max(rows[i].worst, numbers[i].worst)
        rows[i].busy += numbers[i].busy
        rows[i].flops += numbers[i].flops
        rows[i].bytes += numbers[i].bytes
