# Lanes: the forward calls of a plan once for each thread, over memory of its own, so that threads work batches side by side.
# Nobody waits for the others between two calls, and what one call leaves in a core's cache the next finds there.

cdef enum:
    MOST_IN_WAVE = 8  # batches for each thread between two times that Ctrl-C may be heard

# Of a plan whose tensors take more than this the threads share each call: lanes would fill the caches, and the memory.
cdef Py_ssize_t LANE_BYTES = 16 << 20

cdef struct Lane:
    Call *calls
    Py_ssize_t count
    char *args  # of the calls, and
    char *arena  # their tensors; both NULL in the first lane, which is the plan's own calls
    void ***x_fields  # where the calls hold x's address; none: x is filled by a copy
    Py_ssize_t x_count
    char *x
    const char *y

# What `Plan.transform` is given. The last batch may reach back over rows that the one before it has done.
cdef struct Rows:
    char *x
    char *y
    Py_ssize_t x_bytes  # of a row
    Py_ssize_t y_bytes
    Py_ssize_t count
    Py_ssize_t batch  # rows
    Py_ssize_t batches

cdef struct Wave:
    const Lane *lanes
    const Rows *rows
    int threads
    uint64_t next  # batch that nobody has begun
    Py_ssize_t end


def lanes(int threads, Py_ssize_t batches) -> int:
    """Return how many threads take batches side by side where there are so many; 1: they share each batch.

    At least three quarters of the threads' time must find a batch.
    """
    if threads == 1 or batches < 2 or 4 * batches < 3 * threads * divide_up(batches, threads):
        return 1
    return min(threads, batches)


cdef Rows rows_of(char *x, Py_ssize_t x_bytes, Py_ssize_t x_batch, char *y, Py_ssize_t y_batch, Py_ssize_t batch) noexcept:
    """Rows for batches of so many bytes in and out; batches are -1 where `x_bytes` are no rows or fewer than one batch."""
    cdef Rows rows
    rows.x, rows.y, rows.batch = x, y, max(batch, 1)
    rows.x_bytes, rows.y_bytes = x_batch // rows.batch, y_batch // rows.batch
    rows.count = x_bytes // max(rows.x_bytes, 1)
    rows.batches = divide_up(rows.count, rows.batch)
    if x_bytes != rows.count * rows.x_bytes or 0 < rows.count < rows.batch or x_batch % rows.batch or y_batch % rows.batch:
        rows.batches = -1
    return rows


cdef inline Py_ssize_t first_of(const Rows *rows, Py_ssize_t batch) noexcept nogil:
    return min(batch * rows.batch, rows.count - rows.batch)


cdef void look_at(const Lane *lane, char *x) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(lane.x_count):
        lane.x_fields[i][0] = x


cdef void take_batch(const Lane *lane, const Rows *rows, Py_ssize_t batch) noexcept nogil:
    """Let the lane's calls read a batch where it lies, or fill x with it."""
    cdef char *x = rows.x + first_of(rows, batch) * rows.x_bytes
    if lane.x_count > 0 and <uintptr_t> x % 4 == 0:
        look_at(lane, x)
    else:
        memcpy(lane.x, x, rows.batch * rows.x_bytes)


cdef void give_batch(const Lane *lane, const Rows *rows, Py_ssize_t batch) noexcept nogil:
    """Copy the results of those rows that no batch before had."""
    cdef Py_ssize_t first = batch * rows.batch, done = first - first_of(rows, batch)
    memcpy(rows.y + first * rows.y_bytes, lane.y + done * rows.y_bytes, (rows.batch - done) * rows.y_bytes)


cdef void work_lane(const void *args, ptrdiff_t tile, void *scratch) noexcept nogil:
    """A kernel: on the lane of its tile, batch after batch of a wave, whichever nobody has begun."""
    cdef Wave *wave = <Wave *> args
    cdef const Lane *lane = &wave.lanes[tile]
    cdef Py_ssize_t i, batch = rn_add(&wave.next, 1)
    global rn_beside
    rn_beside = wave.threads - 1
    while batch < wave.end:
        take_batch(lane, wave.rows, batch)
        for i in range(lane.count):
            run(&lane.calls[i], NULL, <char *> scratch, 0)
        give_batch(lane, wave.rows, batch)
        batch = rn_add(&wave.next, 1)
    rn_beside = 0


cdef void work_wave(const Lane *lanes, Crew *crew, int threads, const Rows *rows, Py_ssize_t begin, Py_ssize_t end,
                    char *scratch, Py_ssize_t scratch_stride) noexcept nogil:
    """Batches begin to end - 1, each on the lane of the thread that comes first."""
    cdef Wave wave
    wave.lanes, wave.rows, wave.threads, wave.next, wave.end = lanes, rows, threads, begin, end
    cdef Call call = loose_call(work_lane, &wave, threads, 0, 0.0, 0.0)
    cdef Span[MOST_THREADS] parts
    cdef Visit visit
    if rn_watching:
        visit = enter_call()
        work(&call, crew, threads, scratch, scratch_stride, parts)
        leave_side_by_side(visit, parts, threads)
    else:
        work(&call, crew, threads, scratch, scratch_stride, NULL)


cdef set written_by(list records):
    """The roots that calls write."""
    return {(<Link> link).root for record in records for link in (<Record> record).links if (<Link> link).use != READ}


cdef bint read_alone(list records, Root root) except -1:
    """Whether all that these calls do with a tensor is that kernels read it."""
    cdef Record record
    cdef Link link
    for record in records:
        for link in record.links:
            if link.root is root and (link.field == NULL or link.use != READ):
                return False
    return True


cdef void make_lane(Lane *lane, Plan plan, Root x, Root y, set own, bint in_place) except *:
    """Fill in a lane of zeros: a copy of the plan's calls with the tensors `own` for itself, or the plan's own calls for None.

    `in_place`: x is read where the rows lie. Should this raise, free_lane takes what is there.
    """
    cdef Record record
    cdef Link link
    cdef Py_ssize_t i = 0, shift = 0
    lane.count = plan.forward_end - plan.prepare_end
    lane.x_fields = <void ***> allocate(sum([len((<Record> r).links) for r in plan._forward]) * sizeof(void **))
    if own is None:
        lane.calls = plan.calls + plan.prepare_end
    else:
        lane.arena = <char *> allocate(plan.lane_bytes)
        lane.args = <char *> allocate(sum([whole_lines((<Record> r).args_bytes) for r in plan._forward]))
        lane.calls = <Call *> allocate(lane.count * sizeof(Call))
    lane.x, lane.y = place_in(lane, plan, x, own), place_in(lane, plan, y, own)
    cdef char *args = lane.args
    for i, record in enumerate(plan._forward):
        if own is not None:
            memcpy(args, record.args, record.args_bytes)
            lane.calls[i] = plan.calls[plan.prepare_end + i]
            lane.calls[i].args = args
            shift = args - <char *> record.args
            args += whole_lines(record.args_bytes)
        for link in record.links:
            if link.field != NULL:
                put_in(lane, <void **> (<char *> link.field + shift), place_in(lane, plan, link.root, own),
                       in_place and link.root is x)


cdef bint leaves_nothing_behind(list records) except -1:
    """Whether these calls run in the core alone and change no tensor that anybody else, or their next run, looks at."""
    cdef Record record
    cdef Link link
    cdef set made = set()
    for record in records:
        if record.call.callback >= 0:
            return False
        for link in record.links:
            if link.use != READ and (link.root.owner is not None or (link.use == UPDATE and link.root not in made)):
                return False
            if link.use == WRITE:
                made.add(link.root)
    return True


cdef char *place_in(const Lane *lane, Plan plan, Root root, set own) noexcept:
    """Where a lane has a tensor: its own for itself, weights and all else where the plan has them."""
    return lane.arena + (root.data - plan.arena) if own is not None and root in own else root.data


cdef void put_in(Lane *lane, void **field, char *data, bint is_x) noexcept:
    field[0] = data
    if is_x:
        lane.x_fields[lane.x_count] = field
        lane.x_count += 1


cdef void free_lane(Lane *lane) noexcept:
    if lane.arena != NULL:
        rn_aligned_free(lane.calls)
    rn_aligned_free(lane.args)
    rn_aligned_free(lane.arena)
    rn_aligned_free(lane.x_fields)


cdef inline Py_ssize_t whole_lines(Py_ssize_t bytes) noexcept nogil:
    return (bytes + 63) & ~63
