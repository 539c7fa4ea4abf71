# The plan: kernel calls bound once to tensors whose memory is known before anything runs, then replayed in one loop.

from itertools import accumulate

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals

cdef int64_t LISTEN_EVERY = 50000000  # nanoseconds of batches between two times that Ctrl-C is heard


cdef class Version:
    """How often the weights of a network have been written.

    Whoever writes them calls ``advance()``, and plans that train do so themselves: that is how plans know whether what they
    prepared from the weights still holds. Copies and pickles begin anew, at 0.
    """

    cdef readonly uint64_t count

    def advance(self) -> None:
        """Say that weights or buffers were written."""
        self.count += 1

    def __reduce__(self):
        return Version, ()


cdef class _Prepare:
    """`with plan.prepare():`; what is recorded inside runs when the weights have changed, in training plans as it comes."""

    cdef Plan plan
    cdef list outer
    cdef str outer_phase

    def __enter__(self):
        self.outer, self.outer_phase = self.plan._current, self.plan._phase
        if not self.plan.training:
            self.plan._current = self.plan._prepare
            self.plan._phase = "prepare"

    def __exit__(self, *exception):
        self.plan._current, self.plan._phase = self.outer, self.outer_phase


cdef class _Phase:
    """`with plan.backward():` and `with plan.update():`; what is recorded inside goes to that phase."""

    cdef Plan plan
    cdef str phase
    cdef list outer

    def __enter__(self):
        self.outer = self.plan._current
        if self.outer is not self.plan._forward:
            raise StateError("phases of a plan do not nest")
        if self.phase == "backward":
            self.plan._current = []
            self.plan._backward.append(self.plan._current)
        else:
            self.plan._current = self.plan._update
        self.plan._phase = self.phase

    def __exit__(self, *exception):
        self.plan._current = self.outer
        self.plan._phase = "forward"


cdef class _Scope:
    """`with plan.scope(name):`; calls recorded inside belong to the layer of that name."""

    cdef Plan plan
    cdef str name
    cdef str outer

    def __enter__(self):
        self.outer = self.plan._layer
        self.plan._layer = self.name

    def __exit__(self, *exception):
        self.plan._layer = self.outer


# What changes from step to step and kernels read: random numbers key on seed and step, the optimizer on the rest.
cdef extern from "rn.h" nogil:
    ctypedef struct rn_step:
        uint64_t seed
        uint64_t step
        uint64_t update
        double learning_rate


cdef class Plan:
    """A list of kernel calls for one batch size, over tensors that share memory where they are not alive together.

    ``training`` says how layers behave (dropout works, batch statistics are taken), and on x86 that denormals count as 0;
    ``gradients`` says whether backward calls are recorded. ``version`` counts the writes to the weights that the plan is
    bound to; a plan that trains advances it.

    Life: make tensors and record calls (forward as they come; backward in groups that run in reverse; then the update),
    ``seal()``, then any number of runs. One thread at a time may run a plan.
    """

    cdef readonly Py_ssize_t batch
    cdef readonly bint training
    cdef readonly bint gradients
    cdef readonly bint sealed
    cdef Version version
    cdef uint64_t prepared_version  # of the weights, when `prepare`'s calls ran last
    cdef readonly Py_ssize_t preparations  # how often they have run
    cdef list _prepare
    cdef list _forward
    cdef list _backward
    cdef list _update
    cdef list _current
    cdef str _phase
    cdef str _layer
    cdef list _roots
    cdef list _callbacks
    cdef list _order
    cdef list _feeds
    cdef list _reports
    cdef Call *calls
    cdef Py_ssize_t prepare_end
    cdef Py_ssize_t forward_end
    cdef Py_ssize_t backward_end
    cdef Py_ssize_t update_end
    cdef char *arena
    cdef readonly Py_ssize_t arena_bytes
    cdef char *scratch
    cdef Py_ssize_t scratch_stride
    cdef int scratch_threads
    cdef rn_step step
    cdef Py_ssize_t lane_bytes  # of the arena, before what is prepared and kept
    cdef bint repeatable  # whether lanes may have the forward calls
    cdef double forward_nanoseconds  # of the forward calls, by a rough estimate
    cdef bint brief  # whether all calls take so little together that threads share none, and the GIL is not worth giving away
    cdef int most_threads  # that share one of the calls, if so many may
    cdef Lane *lanes  # of `transform`: the first is the plan's own calls
    cdef Py_ssize_t lane_count
    cdef Root _lane_x  # what they read and write
    cdef Root _lane_y
    cdef int _purposes
    cdef public object holder  # for whoever accounts for the plan: called, it gives what the plan belongs to, or None

    def __cinit__(self, Py_ssize_t batch, *, bint training=False, gradients=None, seed=0, Version version=None):
        self.batch = batch
        self.version = Version() if version is None else version
        self.training = training
        self.gradients = training if gradients is None else gradients
        self._prepare = []
        self._forward = []
        self._backward = []
        self._update = []
        self._current = self._forward
        self._phase = "forward"
        self._layer = ""
        self._roots = []
        self._callbacks = []
        self._feeds = []
        self._reports = []
        self.step.seed = <uint64_t> (seed & 0xFFFFFFFFFFFFFFFF)

    def __dealloc__(self):
        self._drop_lanes()
        free(self.calls)
        rn_aligned_free(self.arena)
        rn_aligned_free(self.scratch)

    cdef Slot _slot(self, Root root, tuple shape):
        cdef Slot slot = Slot.__new__(Slot)
        slot.plan = self
        slot.root = root
        slot.shape = shape
        slot.size = 1
        for length in shape:
            slot.size *= length
        return slot

    cdef Root _root(self, Py_ssize_t bytes):
        if self.sealed:
            raise StateError("a sealed plan takes no more tensors")
        cdef Root root = Root.__new__(Root)
        root.bytes = bytes
        root.layer = self._layer
        root.first = root.last = -1
        self._roots.append(root)
        return root

    def tensor(self, shape) -> Slot:
        """Return a tensor of the plan, alive from the first call that touches it to the last."""
        shape = four_axes(shape)
        return self._slot(self._root(float_bytes(shape)), shape)

    def input(self, shape) -> Slot:
        """Return a tensor that the caller fills before each run."""
        cdef Slot slot = self.tensor(shape)
        slot.root.filled = True
        return slot

    def kept(self, shape) -> Slot:
        """Return a tensor whose memory is its own, zero at first; it keeps its values between runs."""
        cdef Slot slot = self.tensor(shape)
        slot.root.kept = True
        return slot

    def keep(self, Slot slot) -> Slot:
        """Keep what a tensor holds until the run has ended, so that the caller can read it; return it."""
        self._mine(slot)
        slot.root.kept = True
        return slot

    def bound(self, Tensor4D tensor) -> Slot:
        """Return a tensor over somebody else's memory, such as a parameter; the plan keeps ``tensor`` alive."""
        cdef Root root = self._root(4 * tensor.size)
        root.owner = tensor
        root.data = <char *> tensor.data
        return self._slot(root, tensor.shape)

    def view(self, Slot slot, shape) -> Slot:
        """Return ``slot``'s memory under another shape of as many elements; its gradient is a view likewise."""
        self._mine(slot)
        cdef Slot other = self._slot(slot.root, four_axes(shape))
        if other.size != slot.size:
            raise ShapeError(f"a view of {slot.shape} cannot have shape {other.shape}")
        other.base = slot
        return other

    def branch(self, Slot slot) -> Slot:
        """Return the same numbers as a slot with a gradient of its own, for a tensor that several calls read.

        Whoever branches records the sum of the branches' gradients in a backward context, before the branches are used.
        """
        self._mine(slot)
        return self._slot(slot.root, slot.shape)

    def gradient(self, Slot slot) -> Slot:
        """Return the tensor of d loss / d ``slot``, made at the first call."""
        self._mine(slot)
        if slot._gradient is None:
            if slot.base is None:
                slot._gradient = self.tensor(slot.shape)
            else:
                slot._gradient = self._slot((<Slot> self.gradient(slot.base)).root, slot.shape)
        return slot._gradient

    def constant(self, Slot slot) -> None:
        """Say that nothing that is trained goes into ``slot``, so that nobody computes its gradient."""
        self._mine(slot)
        slot.root.constant = True

    def wants_gradient(self, Slot slot) -> bool:
        """Whether d loss / d ``slot`` is to be computed.

        Not for what the caller fills in and what is ``constant``, unless it was asked for already.
        """
        if not self.gradients:
            return False
        if not slot.root.filled and not slot.root.constant:
            return True
        while slot is not None:
            if slot._gradient is not None:
                return True
            slot = slot.base
        return False

    cdef void _mine(self, Slot slot) except *:
        if slot.plan is not self:
            raise StateError("this tensor belongs to another plan")

    def prepare(self):
        """Return a context for calls whose results depend on weights alone, such as packing them.

        Where the plan does not train, they run before the others, and only where the weights were written since they ran
        last; their results are kept. Where it trains they run in each step, as if they were recorded outside.
        """
        cdef _Prepare prepare = _Prepare.__new__(_Prepare)
        prepare.plan = self
        return prepare

    def backward(self):
        """Return a context: calls recorded in it run after the forward calls, later contexts before earlier ones."""
        return self._phase_context("backward")

    def update(self):
        """Return a context: calls recorded in it run after all backward calls."""
        return self._phase_context("update")

    cdef _Phase _phase_context(self, str name):
        cdef _Phase phase = _Phase.__new__(_Phase)
        phase.plan = self
        phase.phase = name
        return phase

    def scope(self, str name):
        """Return a context: calls recorded in it belong to the layer ``name``."""
        cdef _Scope scope = _Scope.__new__(_Scope)
        scope.plan = self
        scope.name = name
        return scope

    def next_purpose(self) -> int:
        """Return a number that no other random call of this plan has, the same in every plan of the same layers."""
        self._purposes += 1
        return self._purposes

    cdef void *record(self, str name, rn_kernel kernel, size_t args_bytes, Py_ssize_t tiles, Py_ssize_t scratch,
                      double flops, double bytes) except NULL:
        """Write down a call and return its zeroed arguments, for the doorway to fill and `link`."""
        if self.sealed:
            raise StateError("a sealed plan takes no more calls")
        cdef Record record = Record.__new__(Record)
        record.args = calloc(1, args_bytes + 1)
        if record.args == NULL:
            raise MemoryError()
        record.args_bytes = args_bytes
        record.links = []
        record.in_place = []
        record.name = name
        record.layer = self._layer
        record.phase = self._phase
        record.call.kernel = kernel
        record.call.args = record.args
        record.call.tiles = tiles
        record.call.scratch = scratch
        record.call.flops = flops
        record.call.bytes = bytes
        record.call.callback = -1
        self._current.append(record)
        return record.args

    cdef void link(self, void *field, Slot slot, int use) except *:
        """Let `field`, a pointer in the arguments recorded last, hold the slot's address once it is known."""
        self._use(self._current[len(self._current) - 1], field, slot, use)

    cdef void alternate(self) noexcept:
        """Let the call recorded last work its tiles from either end by turns (see Call)."""
        cdef Record record = self._current[len(self._current) - 1]
        record.call.alternates = True

    cdef void may_overwrite(self, Slot read, Slot written) except *:
        """Let what the call recorded last writes take the memory of what it reads, should that not be needed later."""
        cdef Record record = self._current[len(self._current) - 1]
        record.in_place.append((read.root, written.root))

    def callback(self, str name, function, reads=(), writes=()) -> None:
        """Record ``function()``, Python code that reads and writes the given tensors (see ``array``)."""
        self.record(name, NULL, 0, 0, 0, 0.0, 0.0)
        cdef Record record = self._current[len(self._current) - 1]
        record.call.callback = len(self._callbacks)
        self._callbacks.append(function)
        for slot in reads:
            self._use(record, NULL, slot, READ)
        for slot in writes:
            self._use(record, NULL, slot, WRITE)

    cdef void _use(self, Record record, void *field, Slot slot, int use) except *:
        self._mine(slot)
        self._separate(record, slot.root, use)
        cdef Link link = Link.__new__(Link)
        link.field = <void **> field
        link.root = slot.root
        link.use = use
        record.links.append(link)

    cdef void _separate(self, Record record, Root root, int use) except *:
        """Keep prepared tensors apart: no input of `prepare` changes from run to run, and no other call writes its results."""
        if record.phase != "prepare":
            if root.prepared and use != READ:
                raise StateError(f"{record.name} writes a tensor that was prepared from weights")
        elif use != WRITE and root.owner is None and not root.prepared:
            raise StateError(f"{record.name} prepares weights, but reads a tensor that changes from run to run")
        elif use != READ:
            root.prepared = True

    def report(self, Slot numbers, *, bint sums=False) -> None:
        """Add the float64 in ``numbers`` (two floats' worth of a kept tensor each) to the totals of ``train``.

        They are means over the batch and count as often as it has samples; with ``sums`` they are added as they are.
        """
        self._mine(numbers)
        if numbers.size == 0 or numbers.size % 2:
            raise ShapeError(f"a float64 lives in 2 floats of a tensor, got shape {numbers.shape}")
        # Not the slot, which knows the plan: a cycle would keep the arena until the collector finds it.
        self._reports.append((numbers.root, 1.0 if sums else <double> self.batch))

    cdef void _check_scalar(self, Slot scalar) except *:
        self._mine(scalar)
        if scalar.size != 2:
            raise ShapeError(f"a float64 lives in a tensor of 2 floats, not of shape {scalar.shape}")

    def seal(self) -> None:
        """Fix the order of the calls, place every tensor, reserve the memory; nothing can be recorded afterwards."""
        if self.sealed:
            return
        cdef Record record
        cdef Link link
        cdef Root root
        cdef Py_ssize_t i, offset
        cdef double nanoseconds = 0
        self._order = list(self._prepare)
        self.prepare_end = len(self._order)
        self._order.extend(self._forward)
        self.forward_end = len(self._order)
        for group in reversed(self._backward):
            self._order.extend(group)
        self.backward_end = len(self._order)
        self._order.extend(self._update)
        self.update_end = len(self._order)
        for i, record in enumerate(self._order):
            for link in record.links:
                link.root.touch(i)
            self.scratch_stride = max(self.scratch_stride, (record.call.scratch + 63) & ~63)
        for root in self._roots:
            root.kept = root.kept or (root.prepared and root.last >= self.prepare_end)
        for i, record in enumerate(self._order):
            for read, written in record.in_place:
                join_roots(read, written, i)
        self.arena_bytes = place_roots(self._roots, self.update_end)
        self.lane_bytes = max([0] + [place_of(root).offset + root.bytes for root in self._roots
                                     if root.owner is None and not prepared_for_good(root)])
        self.arena = <char *> allocate(self.arena_bytes)
        memset(self.arena, 0, self.arena_bytes)
        self.calls = <Call *> calloc(max(self.update_end, 1), sizeof(Call))
        if self.calls == NULL:
            raise MemoryError()
        for root in self._roots:
            if root.owner is None:
                offset = place_of(root).offset
                root.data = self.arena + offset
        for i, record in enumerate(self._order):
            for link in record.links:
                if link.field != NULL:
                    link.field[0] = link.root.data
            self.calls[i] = record.call
            self.calls[i].row = row_of(record.name, record.layer, record.phase)
            self.most_threads = max(self.most_threads, threads_for(&self.calls[i], MOST_THREADS))
            if i >= self.prepare_end:
                nanoseconds += estimated_nanoseconds(&self.calls[i])
            if self.prepare_end <= i < self.forward_end:
                self.forward_nanoseconds += estimated_nanoseconds(&self.calls[i])
        self.brief = nanoseconds < SHARE_FROM
        self.repeatable = not self.training and leaves_nothing_behind(self._forward)
        self._reserve_scratch(current_threads())
        self.sealed = True

    cdef void _reserve_scratch(self, int threads) except *:
        """Replace the scratch by that of more threads than it has room for."""
        cdef char *scratch = <char *> allocate(threads * self.scratch_stride)
        rn_aligned_free(self.scratch)
        self.scratch = scratch
        self.scratch_threads = threads

    def array(self, Slot slot) -> Tensor4D:
        """Return the slot's memory as a tensor, valid while this plan lives; of a sealed plan only."""
        self._placed(slot)
        return tensor_over(<float *> slot.root.data, slot.shape, self, False)

    def scalar(self, Slot slot) -> float:
        """Return the float64 that a kernel left in ``slot``."""
        self._placed(slot)
        self._check_scalar(slot)
        return (<double *> slot.root.data)[0]

    cdef void _placed(self, Slot slot) except *:
        self._mine(slot)
        if not self.sealed:
            raise StateError("a plan's tensors have no memory before seal()")

    def set_step(self, step, update, double learning_rate) -> None:
        """Set the counters that random numbers and the optimizer key on, and the learning rate."""
        self.step.step = step
        self.step.update = update
        self.step.learning_rate = learning_rate

    @property
    def counters(self) -> tuple[int, int]:
        """The step and the update that come next; ``train`` moves both, one for each step that it finished."""
        return self.step.step, self.step.update

    @property
    def learning_rate(self) -> float:
        """The learning rate of the step at hand, for updates written in Python."""
        return self.step.learning_rate

    def run(self, str phase="update") -> None:
        """Run the calls once, up to and including ``phase``: ``"forward"``, ``"backward"`` or ``"update"``."""
        cdef Py_ssize_t end
        if phase == "update":  # first, for most runs name no phase, and the default is this very string
            end = self.update_end
        elif phase == "forward":
            end = self.forward_end
        elif phase == "backward":
            end = self.backward_end
        else:
            raise OptionError(f"a plan runs up to 'forward', 'backward' or 'update', not {phase!r}")
        cdef Crew *crew = self._ready(current_threads())
        try:
            self._replay_outside(self.prepare_end, end, crew)
        finally:
            stand_down(crew)
            self._wrote_weights(self.training)

    def run_update(self) -> None:
        """Run the update's calls alone."""
        cdef Crew *crew = self._ready(current_threads())
        try:
            with nogil:
                self._replay(self.backward_end, self.update_end, crew)
        finally:
            stand_down(crew)
            self._wrote_weights(True)

    def transform(self, Slot x, rows, Slot y, results) -> None:
        """For each batch of ``rows``: fill ``x``, run the forward calls, copy ``y`` into ``results``.

        Both are contiguous float32, as many rows one as the other and a batch at least, else ``ShapeError``; the last batch
        reaches back where rows are left over. Threads take a batch each where there is one for all of them (see ``_team``), so
        that nobody waits between calls, or share each call. Where kernels alone read ``x``, they read the rows where these lie.
        """
        self._placed(x)
        self._placed(y)
        cdef int threads = current_threads(), team
        cdef Crew *crew = NULL
        cdef Py_ssize_t i
        cdef Py_buffer source, target
        cdef Rows given
        PyObject_GetBuffer(rows, &source, PyBUF_C_CONTIGUOUS)
        try:
            PyObject_GetBuffer(results, &target, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
            try:
                given = rows_of(<char *> source.buf, source.len, 4 * x.size, <char *> target.buf, 4 * y.size, self.batch)
                if source.itemsize != 4 or given.batches < 0 or target.len != given.count * given.y_bytes:
                    raise ShapeError(f"{source.len} bytes in, {target.len} out: no rows for batches of {x.shape} and {y.shape}")
                team = self._line_up(self._team(threads, given.batches, x.root), x.root, y.root)
                crew = self._ready(threads, team)
                if given.batches == 1 and self.brief:
                    self._work_batches(&given, 1, crew)
                else:
                    with nogil:
                        self._work_batches(&given, team if crew != NULL else 1, crew)
            finally:
                stand_down(crew)
                for i in range(self.lane_count):
                    look_at(&self.lanes[i], self.lanes[i].x)
                PyBuffer_Release(&target)
                self._wrote_weights(self.training)
        finally:
            PyBuffer_Release(&source)

    cdef int _work_batches(self, const Rows *rows, int team, Crew *crew) except -1 nogil:
        """All batches: several at once by a team, or one by one, each call of which all threads share."""
        cdef Py_ssize_t batch = 0, end
        cdef int64_t heard = 0
        while batch < rows.batches:
            if batch > 0:
                heard = listen(heard)
            if team > 1:
                end = batch + team * <Py_ssize_t> max(1.0, min(<double> MOST_IN_WAVE, LISTEN_EVERY / self.forward_nanoseconds))
                end = min(end, rows.batches)
                work_wave(self.lanes, crew, team, rows, batch, end, self.scratch, self.scratch_stride)
            else:
                end = batch + 1
                take_batch(self.lanes, rows, batch)
                self._replay(self.prepare_end, self.forward_end, crew)
                give_batch(self.lanes, rows, batch)
            batch = end
        return 0

    cdef int _team(self, int threads, Py_ssize_t batches, Root x) except -1:
        """How many threads take a batch each; 1: all threads share each call of one batch after the other.

        For what depends on nothing but the rows, where that keeps all threads busy and does not take longer than waking them.
        """
        if threads == 1 or not self.repeatable or self.lane_bytes > LANE_BYTES or x.owner is not None or x.prepared:
            return 1
        return lanes(threads, batches) if batches * self.forward_nanoseconds >= SHARE_FROM else 1

    cdef int _line_up(self, int team, Root x, Root y) except -1:
        """Have a lane for each of the team, whose calls read x and write y; return 1 where memory is for one alone."""
        if self.lane_count >= team and self._lane_x is x and self._lane_y is y:
            return team
        try:
            self._make_lanes(team, x, y)
        except MemoryError:
            if team == 1:
                raise
            team = 1
            self._make_lanes(team, x, y)
        return team

    cdef void _make_lanes(self, int team, Root x, Root y) except *:
        cdef Py_ssize_t i
        cdef bint in_place = x is not y and read_alone(self._forward, x)
        cdef set own = written_by(self._forward)
        own.add(x)
        self._drop_lanes()
        self.lanes = <Lane *> allocate(team * sizeof(Lane))
        memset(self.lanes, 0, team * sizeof(Lane))
        self.lane_count = team
        try:
            make_lane(self.lanes, self, x, y, None, in_place)
            for i in range(1, team):
                make_lane(&self.lanes[i], self, x, y, own, in_place)
        except BaseException:
            self._drop_lanes()
            raise
        self._lane_x, self._lane_y = x, y

    cdef void _drop_lanes(self) noexcept:
        cdef Py_ssize_t i
        for i in range(self.lane_count):
            free_lane(&self.lanes[i])
        rn_aligned_free(self.lanes)
        self.lanes = NULL
        self.lane_count = 0

    cdef Crew *_ready(self, int threads, int team=1) except? NULL:
        """Get ready to run; return the crew for the calls that so many threads may share, or for a team of more.

        The setting may change at any time: who runs the plan reads it once. The crew is to stand down after the run.
        """
        if not self.sealed:
            raise StateError("seal() the plan before it runs")
        if rn_watching:
            note_plan(self)
        if threads > self.scratch_threads:
            self._reserve_scratch(threads)
        cdef Crew *crew = muster(max(min(threads, self.most_threads), team))
        if self.prepare_end > 0 and (self.preparations == 0 or self.prepared_version != self.version.count):
            try:
                self._run_prepare(crew)
            except BaseException:
                stand_down(crew)
                raise
        return crew

    cdef void _run_prepare(self, Crew *crew) except *:
        # Read before the weights are: a write meanwhile must not go unnoticed.
        cdef uint64_t version = self.version.count
        with nogil:
            self._replay(0, self.prepare_end, crew)
        self.prepared_version = version
        self.preparations += 1

    cdef void _wrote_weights(self, bint wrote):
        if wrote:
            self.version.count += 1

    cdef int _replay_outside(self, Py_ssize_t begin, Py_ssize_t end, Crew *crew) except -1:
        """Run these calls, without the GIL unless the plan is brief."""
        if self.brief:
            return self._replay(begin, end, crew)
        with nogil:
            return self._replay(begin, end, crew)

    cdef int _replay(self, Py_ssize_t begin, Py_ssize_t end, Crew *crew) except -1 nogil:
        """Run these calls; in training without denormals, which momenta and gradients fade into, and not in callbacks.

        The processor's exception flags are as before in training; else they stay as the kernels leave them.
        """
        cdef Py_ssize_t i
        cdef unsigned int own = rn_float_control(), control = own | RN_NO_DENORMALS if self.training else own
        if control != own:  # setting it waits for all arithmetic before
            rn_set_float_control(control)
        for i in range(begin, end):
            if self.calls[i].kernel != NULL:
                run(&self.calls[i], crew, self.scratch, self.scratch_stride)
            else:
                rn_set_float_control(own)
                self._call_back(&self.calls[i])
                own = rn_float_control()  # which it may have changed
                control = own | RN_NO_DENORMALS if self.training else own
                rn_set_float_control(control)
        if control != own:
            rn_set_float_control(own)
        return 0

    cdef int _call_back(self, const Call *call) except -1 nogil:
        cdef bint watched = rn_watching
        cdef Visit visit
        if watched:
            visit = enter_call()
        with gil:
            try:
                self._callbacks[call.callback]()
            finally:
                if watched:
                    leave_call(visit, call.row, NULL, call.flops, call.bytes, NULL, 1)
        return 0

    def feed(self, Slot slot, rows) -> None:
        """Let ``train`` fill ``slot`` from ``rows``, contiguous float32 or int32; a batch is picked from its axis 0."""
        self._placed(slot)
        cdef Feed feed = Feed.__new__(Feed)
        feed.source = memoryview(rows).cast("B")
        if len(rows) == 0 or len(feed.source) // len(rows) * self.batch != 4 * slot.size:
            raise ShapeError(f"rows of shape {rows.shape} do not fill a tensor of shape {slot.shape}")
        feed.args.source = <const float *> &feed.source[0]
        feed.args.y = <float *> slot.root.data
        feed.args.rows = self.batch
        feed.args.row_size = slot.size // max(self.batch, 1)
        feed.call.kernel = KERNELS.gather_rows
        feed.call.args = &feed.args
        feed.call.tiles = gather_tiles(self.batch)
        feed.call.bytes = 8.0 * slot.size
        feed.call.row = row_of("gather_rows", "batch", "forward")
        feed.rows = len(rows)
        self._feeds = [other for other in self._feeds if (<Feed> other).args.y != feed.args.y] + [feed]

    def unfeed(self) -> None:
        """Let go of the arrays given to ``feed``."""
        self._feeds = []

    def train(self, const int64_t[::1] order, double[::1] totals, const double[::1] rates=None) -> None:
        """Run one step for every ``batch`` indices of ``order``, with the feeds' rows at those indices.

        Adds what is reported to ``totals``, which holds the numbers of all reports in order. Counts step and update on from
        ``set_step``. ``rates``: a learning rate for each step, in the place of ``set_step``'s.
        """
        cdef Py_ssize_t steps = order.shape[0] // self.batch if self.batch > 0 else 0
        cdef Py_ssize_t i, k, s, at
        cdef Feed feed
        cdef Py_ssize_t feed_count = len(self._feeds)
        cdef Py_ssize_t report_count = len(self._reports)
        cdef Py_ssize_t total_count = sum([(<Root> root).bytes // 8 for root, _ in self._reports])
        if order.shape[0] != steps * self.batch or totals.shape[0] != total_count:
            raise ShapeError(f"{order.shape[0]} indices and {totals.shape[0]} totals do not fit batches of {self.batch}")
        if rates is not None and rates.shape[0] != steps:
            raise ShapeError(f"{rates.shape[0]} learning rates do not fit {steps} steps")
        cdef int64_t lowest = 0
        cdef int64_t highest = -1
        for i in range(order.shape[0]):
            lowest = min(lowest, order[i])
            highest = max(highest, order[i])
        for feed in self._feeds:
            if lowest < 0 or highest >= feed.rows:
                raise ShapeError(f"indices from {lowest} to {highest} are outside the {feed.rows} rows fed")
        cdef FeedPointers feeds = FeedPointers.__new__(FeedPointers, self._feeds, self._reports)
        cdef int64_t heard = 0
        cdef Crew *crew = self._ready(current_threads())
        try:
            with nogil:
                for s in range(steps):
                    if s > 0 and not self.training:  # who trains comes back for Ctrl-C by itself
                        heard = listen(heard)
                    if rates is not None:
                        self.step.learning_rate = rates[s]
                    for i in range(feed_count):
                        feeds.args[i].order = &order[s * self.batch]
                        run(feeds.calls[i], crew, self.scratch, self.scratch_stride)
                    self._replay(self.prepare_end, self.update_end, crew)
                    at = 0
                    for i in range(report_count):
                        for k in range(feeds.counts[i]):
                            totals[at + k] += feeds.sums[i][k] * feeds.factors[i]
                        at += feeds.counts[i]
                    self.step.step += 1
                    self.step.update += 1
        finally:
            stand_down(crew)
            self._wrote_weights(self.training)

    def learn(self, Slot x, rows, Slot target, targets, Py_ssize_t classes):
        """Fill ``x`` and ``target`` with one batch, run one step and return what it reports, a list of numbers as ``train`` adds.

        ``rows``: contiguous float32; ``targets``: as many numbers as the slot has, float32, or with ``classes`` above 0 int64
        below that. None, and nothing was run, where a number is not finite or a class out of range. Counts step and update on
        from ``set_step``. The short way of ``train`` for a single step.
        """
        self._placed(x)
        self._placed(target)
        cdef Py_buffer source, wanted
        cdef bint good
        PyObject_GetBuffer(rows, &source, PyBUF_C_CONTIGUOUS)
        try:
            PyObject_GetBuffer(targets, &wanted, PyBUF_C_CONTIGUOUS)
            try:
                if source.len != 4 * x.size or wanted.len != (8 if classes else 4) * target.size:
                    raise ShapeError(f"{source.len} and {wanted.len} bytes are no batch of {x.shape} and {target.shape}")
                good = copy_finite(<const float *> source.buf, x.size, <float *> x.root.data)
                if classes:
                    good &= copy_classes(<const int64_t *> wanted.buf, target.size, classes, <int32_t *> target.root.data)
                else:
                    good &= copy_finite(<const float *> wanted.buf, target.size, <float *> target.root.data)
            finally:
                PyBuffer_Release(&wanted)
        finally:
            PyBuffer_Release(&source)
        if not good:
            return None
        cdef Crew *crew = self._ready(current_threads())
        try:
            self._replay_outside(self.prepare_end, self.update_end, crew)
            self.step.step += 1
            self.step.update += 1
        finally:
            stand_down(crew)
            self._wrote_weights(self.training)
        cdef list numbers = []
        cdef Root root
        cdef Py_ssize_t k
        for root, factor in self._reports:
            for k in range(root.bytes // 8):
                numbers.append((<double *> root.data)[k] * <double> factor)
        return numbers

    def memory(self) -> dict[str, tuple[int, int, int]]:
        """Return (live, peak, kept) bytes of the tensors of each layer, of a sealed plan.

        live: of those that are alive in the call at which the plan holds most; peak: the most that the layer's own are at any
        call; kept: of those that stay from run to run, which the other two leave out. ``""`` has what no layer made.
        """
        if not self.sealed:
            raise StateError("a plan's tensors have no memory before seal()")
        cdef Root root
        cdef Py_ssize_t i, calls = self.update_end + 2  # what nobody touches counts before the first
        cdef dict layers = {}, kept = {}
        for root in self._roots:
            if root.owner is not None or root.over is not None:
                continue
            if root.kept or root.prepared:
                kept[root.layer] = kept.get(root.layer, 0) + root.bytes
                continue
            changes = layers.setdefault(root.layer, [0] * (calls + 1))
            changes[max(root.first, -1) + 1] += root.bytes
            changes[min(max(root.last, -1), self.update_end) + 2] -= root.bytes
        alive = {layer: list(accumulate(changes)) for layer, changes in layers.items()}
        totals = [sum(bytes) for bytes in zip(*alive.values())]
        fullest = totals.index(max(totals)) if totals else 0
        return {layer: (alive[layer][fullest] if layer in alive else 0, max(alive.get(layer, [0])), kept.get(layer, 0))
                for layer in [*alive, *[layer for layer in kept if layer not in alive]]}

    @property
    def scratch_bytes(self) -> int:
        """The bytes that kernels work in, those of all threads together, and what threads have for themselves (``transform``)."""
        return self.scratch_threads * self.scratch_stride + max(self.lane_count - 1, 0) * self.lane_bytes

    @property
    def bytes(self) -> int:
        """All memory of a sealed plan: that of its tensors, and what kernels work in."""
        return self.arena_bytes + self.scratch_bytes

    def listing(self) -> list[tuple[str, str, str, float, float]]:
        """Return (phase, layer, kernel, FLOPs, bytes) of every call, in running order once sealed."""
        cdef Record record
        backward = [record for group in reversed(self._backward) for record in group]
        order = self._order if self.sealed else [*self._prepare, *self._forward, *backward, *self._update]
        return [(record.phase, record.layer, record.name, record.call.flops, record.call.bytes) for record in order]


cdef int64_t listen(int64_t heard) except -1 nogil:
    """Let Ctrl-C in between two batches; `heard` is when it last was, 0 never, and what is returned."""
    cdef int64_t now = rn_now()
    if now - heard < LISTEN_EVERY:
        return heard
    with gil:
        PyErr_CheckSignals()
    return now
