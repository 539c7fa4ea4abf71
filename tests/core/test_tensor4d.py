"""Tensor4D: how it is made, shared, copied and shown."""

from __future__ import annotations

import array
import copy
import ctypes
import gc
import pickle
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

from rn import _core
from rn.errors import DtypeError, OptionError, ShapeError, StateError

Tensor4D = _core.Tensor4D


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def address(tensor):
    return np.asarray(tensor).__array_interface__["data"][0]


# Known values


def test_a_tuple_of_integers_is_a_shape():
    tensor = Tensor4D((2, 3))
    assert tensor.shape == (1, 1, 2, 3)
    assert (tensor.size, tensor.ndim, tensor.nbytes, len(tensor)) == (6, 4, 24, 1)
    assert not np.asarray(tensor).any()


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        (5, (1, 1, 1, 1)),
        (True, (1, 1, 1, 1)),
        (2.5, (1, 1, 1, 1)),
        ([2, 3], (1, 1, 1, 2)),
        ((2.0, 3), (1, 1, 1, 2)),
        ([[1, 2], [3, 4], [5, 6]], (1, 1, 3, 2)),
        (((1, 2), (3, 4)), (1, 1, 2, 2)),
        ([], (1, 1, 1, 0)),
        (range(4), (1, 1, 1, 4)),
        ([[[[1]], [[2]]]], (1, 2, 1, 1)),
        (np.arange(6).reshape(1, 2, 3), (1, 1, 2, 3)),
        (np.float64(2), (1, 1, 1, 1)),
        (np.array([True, False]), (1, 1, 1, 2)),
        (np.arange(6, dtype=">f4").reshape(2, 3), (1, 1, 2, 3)),
        (np.arange(6, dtype=np.float16)[::-2], (1, 1, 1, 3)),
        (np.arange(8, dtype=np.float32).reshape(2, 4).T, (1, 1, 4, 2)),
        (array.array("f", [1, 2, 3]), (1, 1, 1, 3)),
        (array.array("i", [1, 2, 3]), (1, 1, 1, 3)),
        (bytearray(b"abc"), (1, 1, 1, 3)),
        ((ctypes.c_float * 3)(1, 2, 3), (1, 1, 1, 3)),
        (memoryview(array.array("d", [1, 2])), (1, 1, 1, 2)),
    ],
)
def test_data_is_converted(data, shape):
    tensor = Tensor4D(data)
    assert tensor.shape == shape
    np.testing.assert_array_equal(np.asarray(tensor), np.asarray(data).astype(np.float32).reshape(shape))


def test_tensors_in_sequences():
    tensor = Tensor4D([[1, 2], [3, 4]])
    assert Tensor4D([tensor[0, 0, 0, 0], 2]).shape == (1, 1, 1, 2)
    with pytest.raises(ShapeError, match="four axes"):
        Tensor4D([tensor, tensor])


def test_values_too_large_become_infinite():
    np.testing.assert_array_equal(np.asarray(Tensor4D([1e300, -1e300, 16777217])).ravel(), [np.inf, -np.inf, 16777216])
    assert float(Tensor4D(10**400)) == np.inf
    assert float(Tensor4D(-(10**400))) == -np.inf


def test_classmethods():
    assert not np.asarray(Tensor4D.zeros((3, 2))).any()
    assert Tensor4D.zeros(3).shape == (1, 1, 1, 3)
    assert Tensor4D.zeros([np.int64(2), 3]).shape == (1, 1, 2, 3)
    assert (np.asarray(Tensor4D.ones((2, 3, 4, 5))) == 1).all()
    assert (np.asarray(Tensor4D.full((100, 1000), -2.5)) == np.float32(-2.5)).all()
    np.testing.assert_array_equal(np.asarray(Tensor4D.eye(3))[0, 0], np.eye(3))
    np.testing.assert_array_equal(np.asarray(Tensor4D.eye(2, 4))[0, 0], np.eye(2, 4))
    np.testing.assert_array_equal(np.asarray(Tensor4D.eye(4, 2))[0, 0], np.eye(4, 2))


@pytest.mark.parametrize(
    "bounds", [(5,), (2, 9), (0, 1, 0.1), (5, 0, -1), (5, 0), (0, -3, -0.5), (1, 2.05, 0.1), (-3.5,)]
)
def test_arange(bounds):
    np.testing.assert_array_equal(
        np.asarray(Tensor4D.arange(*bounds)).ravel(), np.arange(*bounds, dtype=float).astype(np.float32)
    )


def test_memory_is_aligned_to_a_cache_line():
    for size in [1, 3, 17, 1000, 100_003, 5_000_000]:
        assert address(Tensor4D.zeros(size)) % 64 == 0
        assert address(Tensor4D(np.zeros(size))) % 64 == 0


@pytest.mark.parametrize("elements", [1 << 18, 1 << 20, (1 << 20) + 7, 5 << 20])
def test_large_memory_is_given_again_but_never_twice(elements):
    first = Tensor4D.full((elements,), 1.0)
    place = address(first)
    assert place % (1 << 21 if elements >= 1 << 20 else 64) == 0
    del first
    alive = [Tensor4D.full((elements,), value) for value in range(5)]
    assert len({address(tensor) for tensor in alive}) == 5
    if elements <= 1 << 22:
        assert place in {address(tensor) for tensor in alive}
    for value, tensor in enumerate(alive):
        assert np.array_equal(np.asarray(tensor), np.full((1, 1, 1, elements), value))
    del alive, tensor
    assert not np.asarray(Tensor4D.zeros((elements,))).any()


def test_repr_is_short_and_shows_the_shape():
    assert repr(Tensor4D([[1, 2.5]])) == "Tensor4D of shape (1, 1, 1, 2)\n[[[[1. , 2.5]]]]"
    long = repr(Tensor4D.zeros((100, 100)))
    assert "(1, 1, 100, 100)" in long
    assert "..." in long
    assert len(long) < 1000
    assert "(0, 1, 2, 3)" in repr(Tensor4D.zeros((0, 1, 2, 3)))


# Sharing and copying


def test_construction_copies():
    values = numbers(2, 3)
    tensor = Tensor4D(values)
    other = Tensor4D(tensor)
    values[:] = 0
    assert np.asarray(tensor).all()
    assert np.asarray(other).all()
    assert address(tensor) != address(other)


def test_wrap_shares():
    values = numbers(2, 3)
    tensor = Tensor4D.wrap(values)
    assert tensor.shape == (1, 1, 2, 3)
    assert address(tensor) == values.ctypes.data
    values[1, 2] = 42
    assert tensor[0, 0, 1, 2] == 42
    tensor[0, 0, 0, 0] = 7
    assert values[0, 0] == 7
    again = Tensor4D.wrap(tensor)
    assert address(again) == address(tensor)


def test_wrap_needs_float32_alignment_only():
    memory = np.zeros(4 * 10 + 4, np.uint8)
    tensor = Tensor4D.wrap(memory[4:].view(np.float32))
    assert tensor.size == 10
    if memory.ctypes.data % 4 == 0:
        with pytest.raises(ShapeError, match="aligned"):
            Tensor4D.wrap(memory[1:41].view(np.float32))


@pytest.mark.parametrize(
    "source",
    [array.array("f", [1, 2]), (ctypes.c_float * 2)(1, 2), np.array([[1, 2]], "f"), np.float32(3)],
    ids=lambda source: type(source).__name__,
)
def test_wrap_takes_any_buffer_of_float32(source):
    assert Tensor4D.wrap(source).size == np.size(source)


def test_wrapped_memory_cannot_be_resized_away():
    source = array.array("f", [1, 2, 3])
    tensor = Tensor4D.wrap(source)
    with pytest.raises(BufferError):
        source.append(4)
    del tensor
    source.append(4)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (np.zeros(3), DtypeError),
        (np.zeros(3, np.int32), DtypeError),
        (np.zeros(3, ">f4"), DtypeError),
        (b"abcd", DtypeError),
        ([1.0, 2.0], DtypeError),
        (2.0, DtypeError),
        (None, DtypeError),
        (np.zeros((3, 4), "f").T, ShapeError),
        (np.zeros(8, "f")[::2], ShapeError),
        (np.zeros((1,) * 5, "f"), ShapeError),
    ],
)
def test_wrap_refuses_what_needs_a_copy(source, error):
    with pytest.raises(error):
        Tensor4D.wrap(source)


def test_read_only_in_read_only_out():
    values = numbers(2, 3)
    values.flags.writeable = False
    tensor = Tensor4D.wrap(values)
    assert tensor.readonly
    assert tensor.reshape(6).readonly
    assert Tensor4D.wrap(tensor).readonly
    assert not np.asarray(tensor).flags.writeable
    assert memoryview(tensor).readonly
    with pytest.raises(StateError, match="read-only"):
        tensor[0] = 1
    assert not tensor.copy().readonly
    assert not tensor[...].readonly
    assert not Tensor4D(tensor).readonly
    assert not Tensor4D.zeros(3).readonly


def test_buffer_protocol():
    tensor = Tensor4D(numbers(2, 3, 4, 5))
    view = memoryview(tensor)
    assert (view.format, view.shape, view.strides, view.readonly) == ("f", (2, 3, 4, 5), (240, 80, 20, 4), False)
    assert bytes(view) == np.asarray(tensor).tobytes()
    assert memoryview(Tensor4D.zeros((0, 3, 0, 5))).nbytes == 0
    with pytest.raises(BufferError):
        request(tensor, 0x40 | 0x18 | 0x8)  # PyBUF_F_CONTIGUOUS
    request(Tensor4D.zeros(7), 0x40 | 0x18 | 0x8)
    request(tensor, 0)


def request(tensor, flags):
    buffer = (ctypes.c_char * 256)()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(tensor), buffer, ctypes.c_int(flags))
    ctypes.pythonapi.PyBuffer_Release(buffer)


def test_array_protocol():
    tensor = Tensor4D(numbers(2, 3))
    assert np.shares_memory(np.asarray(tensor), np.asarray(tensor))
    assert not np.shares_memory(np.array(tensor), np.asarray(tensor))
    assert np.asarray(tensor, dtype=np.float64).dtype == np.float64
    assert np.shares_memory(tensor.__array__(), np.asarray(tensor))
    assert tensor.__array__(np.int32).dtype == np.int32
    assert not np.shares_memory(tensor.__array__(copy=True), np.asarray(tensor))
    assert np.shares_memory(tensor.__array__(np.float32, copy=False), np.asarray(tensor))
    with pytest.raises(ValueError, match="copy"):
        tensor.__array__(np.float64, copy=False)


def test_views_outlive_their_tensor():
    tensor = Tensor4D(numbers(50, 60))
    expected = np.array(tensor)
    views = [np.asarray(tensor), memoryview(tensor), tensor.reshape(3000), tensor.flatten(), np.from_dlpack(tensor)]
    del tensor
    gc.collect()
    Tensor4D.ones((50, 60))
    for view in views:
        np.testing.assert_array_equal(np.asarray(view).ravel(), expected.ravel())


def test_the_owner_lives_as_long_as_the_tensor():
    class Array(np.ndarray):
        pass

    values = np.zeros((2, 2), np.float32).view(Array)
    reference = weakref.ref(values)
    tensor = Tensor4D.wrap(values)
    part = tensor.reshape(4)
    del values, tensor
    gc.collect()
    assert reference() is not None
    del part
    gc.collect()
    assert reference() is None


def test_cycles_through_the_owner_are_collected():
    class Array(np.ndarray):
        pass

    def cycle():
        values = np.ones(4, np.float32).view(Array)
        values.tensor = Tensor4D.wrap(values)
        return weakref.ref(values), weakref.ref(values.tensor)

    references = [cycle() for _ in range(10)]
    gc.collect()
    assert all(reference() is None for pair in references for reference in pair)


def test_subclasses_work():
    class Named(Tensor4D):
        def __init__(self, x, name):
            self.name = name

    tensor = Named([1, 2], "pair")
    assert (tensor.shape, tensor.name) == ((1, 1, 1, 2), "pair")
    np.testing.assert_array_equal(np.asarray(tensor).ravel(), [1, 2])


def test_initialising_twice_changes_nothing():
    tensor = Tensor4D([1, 2, 3])
    view = np.asarray(tensor)
    tensor.__init__([4, 5, 6, 7])
    np.testing.assert_array_equal(view.ravel(), [1, 2, 3])
    assert Tensor4D.__new__(Tensor4D).size == 0
    assert repr(Tensor4D.__new__(Tensor4D))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (0, 3), (1,)])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(shape, protocol):
    tensor = Tensor4D(numbers(*shape))
    loaded = pickle.loads(pickle.dumps(tensor, protocol))
    assert loaded.shape == tensor.shape
    np.testing.assert_array_equal(np.asarray(loaded), np.asarray(tensor))
    assert address(loaded) % 64 == 0


def test_pickle_out_of_band():
    tensor = Tensor4D(numbers(2, 3))
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(tensor, 5, buffer_callback=buffers.append)
    assert len(buffers) == 1
    loaded = pickle.loads(data, buffers=buffers)
    np.testing.assert_array_equal(np.asarray(loaded), np.asarray(tensor))
    assert address(loaded) != address(tensor)


def test_a_forged_pickle_is_refused():
    for shape, data in [((2, 3), b"1234"), ((2**40, 2**40), b""), ((-1,), b""), ("ab", b"")]:
        with pytest.raises((ShapeError, MemoryError, DtypeError)):
            _core.tensor_from_bytes(shape, data)


def test_copies_are_deep():
    tensor = Tensor4D(numbers(2, 3))
    for other in [tensor.copy(), copy.copy(tensor), copy.deepcopy(tensor)]:
        assert address(other) != address(tensor)
        np.testing.assert_array_equal(np.asarray(other), np.asarray(tensor))


# DLPack


def test_numpy_reads_dlpack():
    tensor = Tensor4D(numbers(2, 3, 4, 5))
    values = np.from_dlpack(tensor)
    assert values.shape == tensor.shape
    assert values.dtype == np.float32
    assert values.ctypes.data == address(tensor)
    assert tensor.__dlpack_device__() == (1, 0)
    assert np.from_dlpack(Tensor4D.zeros((0, 3))).shape == (1, 1, 0, 3)
    copied = np.from_dlpack(tensor, copy=True)
    assert not np.shares_memory(copied, values)
    np.testing.assert_array_equal(copied, values)


@pytest.mark.peers
def test_torch_reads_and_writes_dlpack():
    torch = pytest.importorskip("torch")
    tensor = Tensor4D(numbers(2, 3, 4, 5))
    other = torch.from_dlpack(tensor)
    assert tuple(other.shape) == tensor.shape
    other[1, 2, 3, 4] = 42
    assert tensor[1, 2, 3, 4] == 42
    del tensor
    gc.collect()
    assert float(other[1, 2, 3, 4]) == 42
    shared = Tensor4D.from_dlpack(other)
    assert shared[1, 2, 3, 4] == 42
    assert Tensor4D.wrap(torch.ones(3, 2)).shape == (1, 1, 3, 2)
    for refused in [torch.ones(3, dtype=torch.float64), torch.ones(3, 4).T, torch.ones(3, dtype=torch.bfloat16)]:
        with pytest.raises((DtypeError, ShapeError)):
            Tensor4D.wrap(refused)


def test_dlpack_says_read_only_or_refuses():
    values = numbers(3)
    values.flags.writeable = False
    tensor = Tensor4D.wrap(values)
    assert not np.from_dlpack(tensor).flags.writeable
    with pytest.raises(BufferError, match="read-only"):
        tensor.__dlpack__()
    tensor.__dlpack__(copy=True)


def test_dlpack_refuses_other_devices():
    tensor = Tensor4D.zeros(3)
    with pytest.raises(BufferError):
        tensor.__dlpack__(dl_device=(2, 0))
    with pytest.raises(OptionError):
        tensor.__dlpack__(stream=1)
    assert "dltensor_versioned" in repr(tensor.__dlpack__(max_version=(1, 1), dl_device=(1, 0)))
    assert '"dltensor"' in repr(tensor.__dlpack__(max_version=(0, 8)))


@pytest.mark.parametrize("version", [None, (1, 0)])
def test_capsules_let_go_of_the_tensor(version):
    tensor = Tensor4D.zeros(3)
    before = sys.getrefcount(tensor)
    capsule = tensor.__dlpack__(max_version=version)
    assert sys.getrefcount(tensor) == before + 1
    del capsule
    assert sys.getrefcount(tensor) == before
    values = np.from_dlpack(tensor)
    assert sys.getrefcount(tensor) == before + 1
    del values
    assert sys.getrefcount(tensor) == before
    reference = weakref.ref(tensor)
    del tensor
    assert reference() is None


def test_a_consumer_may_let_go_in_another_thread():
    tensor = Tensor4D.zeros(1000)
    values = [np.from_dlpack(tensor)]
    reference = weakref.ref(tensor)
    del tensor
    thread = threading.Thread(target=values.clear)
    thread.start()
    thread.join()
    assert reference() is None


# Edges and refusals


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ([[1, 2], [3]], ShapeError),
        ([1, [2]], ShapeError),
        ((), ShapeError),
        ((1, 2, 3, 4, 5), ShapeError),
        ((-1,), ShapeError),
        (np.zeros((1, 1, 1, 1, 1)), ShapeError),
        ([[[[[1]]]]], ShapeError),
        (None, DtypeError),
        ("abc", DtypeError),
        (b"abc", DtypeError),
        (1j, DtypeError),
        ([1, "a"], DtypeError),
        ([1, None], DtypeError),
        ([1j], DtypeError),
        ({1: 2}, DtypeError),
        ({1, 2}, DtypeError),
        (object(), DtypeError),
        (np.array([1, 2], object), DtypeError),
        (np.array(["a"]), DtypeError),
        (np.zeros(3, complex), DtypeError),
        (np.zeros(3, "M8[s]"), DtypeError),
        (np.zeros(3, [("a", "f4")]), DtypeError),
        (np.zeros(3, "V0"), DtypeError),
        ([2**70], DtypeError),
        (len, DtypeError),
    ],
)
def test_what_is_no_tensor_is_refused(data, error):
    with pytest.raises(error):
        Tensor4D(data)


def test_sequences_that_hold_themselves_are_refused():
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises((ShapeError, DtypeError)):
        Tensor4D(loop)


def test_hostile_arrays_are_refused():
    class Array:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("no")

    with pytest.raises(DtypeError, match="no"):
        Tensor4D(Array())


@pytest.mark.parametrize("shape", [(2**40,), (2**62, 2), (2**70,), (0, 2**63 - 1), (2**31, 2**31, 2**31, 2**31)])
@pytest.mark.parametrize("make", [Tensor4D, Tensor4D.zeros, Tensor4D.ones])
def test_more_elements_than_memory(make, shape):
    with pytest.raises(MemoryError):
        make(shape)


def test_classmethods_refuse():
    for shape in [None, "ab", 2.0, (2.0,), (True,), [[1]], object()]:
        with pytest.raises(DtypeError):
            Tensor4D.zeros(shape)
    for bounds in [(0, 1, 0), (0, np.inf), (np.nan,)]:
        with pytest.raises(OptionError):
            Tensor4D.arange(*bounds)
    with pytest.raises(DtypeError):
        Tensor4D.arange("a")
    with pytest.raises(MemoryError):
        Tensor4D.arange(1e18)
    with pytest.raises(DtypeError):
        Tensor4D.full(3, "a")
    with pytest.raises(DtypeError):
        Tensor4D.full(3, 1j)


def test_construction_takes_one_argument():
    with pytest.raises(TypeError):
        Tensor4D()
    with pytest.raises(TypeError):
        Tensor4D(1, 2)


def test_truth_and_value_need_one_element():
    assert Tensor4D(2.5)
    assert not Tensor4D(0.0)
    assert float(Tensor4D([[2.5]])) == 2.5
    assert int(Tensor4D([[-2.5]])) == -2
    for shape in [2, 0]:
        for ask in [bool, float]:
            with pytest.raises(OptionError, match="elements"):
                ask(Tensor4D.zeros(shape))


def test_a_capsule_may_outlive_the_interpreter():
    code = "import sys; from rn import _core; sys.kept = _core.Tensor4D([1]).__dlpack__()"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_shape_is_read_without_running_python():
    class Interrupted:
        @property
        def __class__(self):  # as Ctrl-C would in the middle of numbers.Integral's __instancecheck__
            raise KeyboardInterrupt

    length = Interrupted()
    with pytest.raises(DtypeError, match="the lengths of a shape are integers"):
        Tensor4D.zeros((2, length))
    for shape in ((np.bool_(True), 2), (np.array([2]), 2), (2.0, 2)):
        with pytest.raises(DtypeError, match="the lengths of a shape are integers"):
            Tensor4D.zeros(shape)


@pytest.mark.parametrize(
    "take", [Tensor4D, Tensor4D.wrap, lambda x: Tensor4D.ones(2) + x, lambda x: Tensor4D.ones(2) < x]
)
def test_masked_arrays_are_refused(take):
    with pytest.raises(DtypeError, match=r"masked array.*filled"):
        take(np.ma.masked_array(np.ones(2, np.float32), [True, False]))
    with pytest.raises(DtypeError, match=r"masked array.*fill"):
        take([np.ma.masked_array(np.ones(2, np.float32), [True, False])])


def test_what_cannot_be_compared_is_named():
    with pytest.raises(DtypeError, match="got str"):
        Tensor4D.ones(2).allclose("x")
