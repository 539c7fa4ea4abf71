# What a plan is made of: slots, the memory behind them and where it lies, and the calls that read and write them.

READ, WRITE, UPDATE = 1, 2, 3


@cython.internal
cdef class Root:
    """A piece of memory of a plan: its size, its life in calls and, once sealed, its place."""

    cdef Py_ssize_t bytes
    cdef Py_ssize_t first  # the first and the last call, in running order, that touch it
    cdef Py_ssize_t last
    cdef Py_ssize_t offset  # in the arena
    cdef bint kept  # alive from before the first call to after the last
    cdef object owner  # whose memory it is; None: the arena's
    cdef char *data
    cdef bint filled  # written by the caller before each run
    cdef bint constant  # follows from what is filled in and from what is not trained
    cdef bint prepared  # written by the calls of `prepare`
    cdef Root over  # the root over whose memory it lies; None: it has a place of its own
    cdef str layer  # in whose scope it was made

    cdef bint free_to_join(self):
        return self.owner is None and not self.kept and not self.filled and not self.prepared

    cdef void touch(self, Py_ssize_t call):
        if self.first < 0 or call < self.first:
            self.first = call
        if call > self.last:
            self.last = call


cdef class Slot:
    """A tensor of a plan: shape (n, c, h, w) over memory that the plan places when it is sealed."""

    cdef Plan plan
    cdef Root root
    cdef readonly tuple shape
    cdef readonly Py_ssize_t size
    cdef Slot base  # the slot that this one is a view of
    cdef Slot _gradient

    def __repr__(self):
        return f"<Slot {self.shape}>"


@cython.internal
cdef class Link:
    """A field of a call's arguments that will hold a slot's address."""

    cdef void **field
    cdef Root root
    cdef int use


@cython.internal
cdef class Record:
    """A call as it is written down: its arguments' memory and the slots it uses."""

    cdef Call call
    cdef void *args
    cdef list links
    cdef list in_place  # pairs of roots (read, written) of which the second may lie over the first
    cdef readonly str name
    cdef readonly str layer
    cdef readonly str phase
    cdef size_t args_bytes

    def __dealloc__(self):
        free(self.args)


cdef tuple four_axes(shape):
    """`shape` with 1 for the axes it lacks on the right: (n, features) is (n, features, 1, 1)."""
    axes = tuple(int(length) for length in shape)
    if len(axes) > 4 or any(length < 0 for length in axes):
        raise ShapeError(f"a tensor of a plan has at most four axes, none negative, got {axes}")
    return axes + (1,) * (4 - len(axes))


cdef Py_ssize_t float_bytes(tuple shape) except -1:
    """The bytes of a float32 tensor; `MemoryError` for more than a process can have (2^62 leaves sums of some room)."""
    count = 4
    for length in shape:
        count *= length
    if count > 2**62:
        raise MemoryError(f"a tensor of shape {shape} is larger than any memory")
    return count


cdef Root place_of(Root root):
    """The root in whose memory this one lies, itself unless it was joined."""
    while root.over is not None:
        root = root.over
    return root


cdef void join_roots(Root read, Root written, Py_ssize_t call) except *:
    """Put `written` over `read` where the one's life begins with the call that ends the other's."""
    read, written = place_of(read), place_of(written)
    if read is written or read.bytes != written.bytes or not (read.free_to_join() and written.free_to_join()):
        return
    if read.last == call and written.first == call:
        read.last = written.last
        written.over = read


cdef Py_ssize_t place_roots(list roots, Py_ssize_t calls) except -1:
    """Give every root an offset so that roots alive together do not overlap; return the bytes needed.

    Largest first, each at the lowest free place beside those already placed whose lives overlap its own; what is prepared
    for good comes last, behind all else.
    """
    cdef Root root, other
    cdef Py_ssize_t end = 0
    mine = [root for root in roots if (<Root> root).owner is None and (<Root> root).over is None]
    for root in mine:
        if root.filled:
            root.first = -1
        if root.kept:
            root.first, root.last = -1, calls
    placed = []
    for root in sorted(mine, key=_placing_order):
        offset = 0
        need = (root.bytes + 63) & ~63
        for other in sorted([p for p in placed if lives_meet(root, p)], key=_root_offset):
            if offset + need <= other.offset:
                break
            offset = max(offset, other.offset + ((other.bytes + 63) & ~63))
        if offset > PY_SSIZE_T_MAX - need:
            raise MemoryError("the tensors of a plan are larger than any memory")
        root.offset = offset
        placed.append(root)
        end = max(end, offset + need)
    return end


def _placing_order(Root root):
    return prepared_for_good(root), -root.bytes


cdef bint prepared_for_good(Root root):
    return root.prepared and root.kept


def _root_offset(Root root):
    return root.offset


cdef bint lives_meet(Root a, Root b):
    return a.first <= b.last and b.first <= a.last
