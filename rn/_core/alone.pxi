# Who trains a model: one thread at a time, and none while the model is being written down.

from time import sleep


cdef class Occupancy:
    """The thread that trains a model, or changes what training leans on, and how many threads are writing it down."""

    cdef unsigned long trainer  # 0: none
    cdef Py_ssize_t writers
    cdef unsigned long forks  # that there had been when this was last looked at

    cdef void forget_the_dead(self) noexcept:
        """In the child of a fork there is none of its parent's threads but the one that forked."""
        if self.forks != fork_count:
            self.forks, self.writers = fork_count, 0
            if self.trainer != PyThread_get_thread_ident():
                self.trainer = 0


cdef class Alone:
    """A ``with`` block that no other of a model runs beside; ``method`` is what messages call it.

    Entered in a callback of a fit or while another thread trains, it raises ``StateError``; it waits until nobody
    writes the model down. Here and not in Python, where Ctrl-C may come between any two steps: one that comes after the
    model is taken and before the block begins, or after the block and before the model is let go, would leave the model
    locked for good.
    """

    cdef Occupancy model
    cdef str method

    def __cinit__(self, Occupancy model not None, str method not None):
        self.model = model
        self.method = method

    def __enter__(self):
        self.model.forget_the_dead()
        while self.model.trainer != 0 or self.model.writers > 0:
            if self.model.trainer != 0:
                raise StateError(f"{self.method} while this model is being fitted; one fit at a time")
            sleep(0.001)
        self.model.trainer = PyThread_get_thread_ident()

    def __exit__(self, kind, error, trace):
        self.model.trainer = 0


cdef class Unchanged:
    """A ``with`` block in which no other thread trains a model: ``StateError`` where one does, and the next ones wait.

    The thread that trains may enter it, in a callback.
    """

    cdef Occupancy model
    cdef str method

    def __cinit__(self, Occupancy model not None, str method not None):
        self.model = model
        self.method = method

    def __enter__(self):
        self.model.forget_the_dead()
        if self.model.trainer != 0 and self.model.trainer != PyThread_get_thread_ident():
            raise StateError(
                f"{self.method} while another thread trains this model, whose counters and weights would not be of one "
                "step: wait for it, or do so in a callback")
        self.model.writers += 1

    def __exit__(self, kind, error, trace):
        if self.model.writers > 0:  # not where the child of a fork forgot them
            self.model.writers -= 1
