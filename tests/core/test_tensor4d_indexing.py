"""Tensor4D: parts read and written, other shapes, transposes and padding, against NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rn import _core
from rn.errors import DtypeError, OptionError, RnError, ShapeError

Tensor4D = _core.Tensor4D


def counted(*shape):
    return np.arange(1, np.prod(shape, dtype=int) + 1, dtype=np.float32).reshape(shape)


lengths = st.integers(0, 6)
shapes = st.tuples(lengths, lengths, lengths, lengths)


def items(length):
    bounds = st.none() | st.integers(-9, 9)
    slices = st.builds(slice, bounds, bounds, st.none() | st.integers(-4, 4).filter(bool))
    return slices | st.integers(-length, length - 1) if length else slices


@st.composite
def parts(draw):
    """A shape, an index, and NumPy's index of slices alone."""
    shape = draw(shapes)
    index = [draw(items(length)) for length in shape]
    slices = [
        slice(item % length, item % length + 1) if isinstance(item, int) else item
        for item, length in zip(index, shape, strict=True)
    ]
    begin, end = sorted(draw(st.tuples(st.integers(0, 4), st.integers(0, 4))))
    if draw(st.booleans()):
        index[begin:end] = [Ellipsis]
        slices[begin:end] = [slice(None)] * (end - begin)
    elif draw(st.booleans()):
        index, slices = index[:begin], slices[:begin]
    return shape, tuple(index) if len(index) != 1 or draw(st.booleans()) else index[0], tuple(slices)


@given(parts())
@settings(max_examples=400, deadline=None)
def test_reading_is_numpys(case):
    shape, index, slices = case
    values = counted(*shape)
    got = Tensor4D(values)[index]
    expected = values[slices]
    if isinstance(got, float):
        assert got == expected.item()
    else:
        assert got.shape == expected.shape
        np.testing.assert_array_equal(np.asarray(got), expected)


@given(parts(), st.data())
@settings(max_examples=400, deadline=None)
def test_writing_is_numpys(case, data):
    shape, index, slices = case
    values = counted(*shape)
    tensor = Tensor4D(values)
    part = values[slices].shape
    axes = data.draw(st.integers(0, 4))
    value = -counted(*(data.draw(st.sampled_from([1, length])) for length in part[4 - axes :]))
    values[slices] = value
    forms = [value, Tensor4D.wrap(value), value.astype(float)]
    tensor[index] = data.draw(st.sampled_from([*forms, value.tolist()] if value.size else forms))
    np.testing.assert_array_equal(np.asarray(tensor), values)


@given(parts(), parts())
@settings(max_examples=300, deadline=None)
def test_writing_a_part_onto_itself_copies_first(case, other):
    shape, index, slices = case
    values = counted(*shape)
    tensor = Tensor4D(values)
    part = values[slices].shape
    for view in (tensor, tensor.reshape(-1) if tensor.size else tensor):
        array = np.asarray(view)
        if all(a in (1, b) for a, b in zip(array.shape, part, strict=True)):
            values[slices] = array.copy()
            tensor[index] = view
            np.testing.assert_array_equal(np.asarray(tensor), values)


def test_writing_overlapping_views():
    tensor = Tensor4D(counted(2, 3, 4, 5))
    expected = np.array(tensor)[:, :, ::-1, ::-1].copy()
    tensor[:, :, ::-1, ::-1] = tensor
    np.testing.assert_array_equal(np.asarray(tensor), expected)
    tensor = Tensor4D(counted(4, 4))
    tensor[...] = np.asarray(tensor)[..., ::-1]
    np.testing.assert_array_equal(np.asarray(tensor)[0, 0], counted(4, 4)[:, ::-1])
    tensor = Tensor4D(counted(4, 4))
    shifted = Tensor4D.wrap(np.asarray(tensor).ravel()[:12].reshape(3, 4))
    tensor[:, :, 1:] = shifted
    np.testing.assert_array_equal(np.asarray(tensor)[0, 0], np.vstack([counted(4, 4)[:1], counted(4, 4)[:3]]))


def test_large_parts():
    values = np.random.default_rng(0).normal(size=(5, 7, 101, 301)).astype(np.float32)
    tensor = Tensor4D(values)
    for index in [
        np.s_[1:4],
        np.s_[:, :, :, ::2],
        np.s_[:, :, :, ::-1],
        np.s_[:, ::-1],
        np.s_[:, :, 3:99, 5:300],
        np.s_[..., 7:8],
        np.s_[::2, 1::3, ::-5],
        np.s_[..., -3:-2, :],
    ]:
        np.testing.assert_array_equal(np.asarray(tensor[index]), values[index])
        tensor[index] = 2 * values[index]
        values[index] *= 2
        np.testing.assert_array_equal(np.asarray(tensor), values)


def test_results_do_not_depend_on_threads():
    values = np.random.default_rng(0).normal(size=(4, 16, 65, 67)).astype(np.float32)
    before = _core.get_num_threads()
    try:
        for threads in (1, 2, 3, 8):
            _core.set_num_threads(threads)
            tensor = Tensor4D(values)
            np.testing.assert_array_equal(np.asarray(tensor[:, ::-1, 1:, ::3]), values[:, ::-1, 1:, ::3])
            np.testing.assert_array_equal(np.asarray(tensor.transpose((3, 1, 0, 2))), values.transpose(3, 1, 0, 2))
            np.testing.assert_array_equal(
                np.asarray(tensor.pad(2, 1.5)), padded(values, ((0, 0), (0, 0), (2, 2), (2, 2)), 1.5)
            )
    finally:
        _core.set_num_threads(before)


def test_integers_keep_their_axis():
    tensor = Tensor4D(counted(2, 3, 4, 5))
    assert tensor[1].shape == (1, 3, 4, 5)
    assert tensor[..., -1].shape == (2, 3, 4, 1)
    assert tensor[1, 2].shape == (1, 1, 4, 5)
    assert tensor[np.int64(1), ..., 0].shape == (1, 3, 4, 1)
    assert isinstance(tensor[1, 2, 3, 4], float)
    assert tensor[1, 2, 3, 4] == 120
    assert tensor[-2, -3, -4, -5] == 1
    assert [part.shape for part in tensor] == [(1, 3, 4, 5)] * 2
    tensor[0, 1, 2, 3] = 0
    assert tensor[0, 1, 2, 3] == 0


def test_parts_are_copies():
    tensor = Tensor4D(counted(2, 3))
    part = tensor[...]
    part[...] = 0
    assert np.asarray(tensor).all()


@pytest.mark.parametrize(
    "index",
    [2, -3, (0, 3), (0, 0, 0, 5), (0, 0, 0, 0, 0), (..., ...), (2, ...), 2**70, -(2**70), (0, 0, 0, -6), (0, 0, -5, 0)],
)
def test_indices_out_of_range(index):
    tensor = Tensor4D(counted(2, 3, 4, 5))
    with pytest.raises(IndexError):
        tensor[index]
    with pytest.raises(IndexError):
        tensor[index] = 1
    with pytest.raises(IndexError):
        Tensor4D.zeros((0, 1, 1, 1))[0]


@pytest.mark.parametrize(
    "index", [1.0, "a", None, [0, 1], np.array([0, 1]), True, np.True_, (0, None), slice(1.0), object(), {}]
)
def test_other_indices_are_refused(index):
    tensor = Tensor4D(counted(2, 3, 4, 5))
    with pytest.raises(DtypeError):
        tensor[index]
    with pytest.raises(DtypeError):
        tensor[index] = 1


def test_a_step_of_zero_is_refused():
    with pytest.raises(ValueError, match="zero"):
        Tensor4D(counted(2, 3))[::0]


def test_values_that_do_not_fit_change_nothing():
    tensor = Tensor4D(counted(2, 3))
    for value in [[1, 2], counted(3, 3), [[1, 2], [3]], None, "a", 1j, [1j]]:
        with pytest.raises(RnError):
            tensor[...] = value
    with pytest.raises(NotImplementedError):
        del tensor[0]
    np.testing.assert_array_equal(np.asarray(tensor)[0, 0], counted(2, 3))


# Other shapes


def test_reshape_shares_memory():
    tensor = Tensor4D(counted(2, 3, 4, 5))
    for shape, expected in [
        ((6, 20), (1, 1, 6, 20)),
        ((5, 4, 3, 2), (5, 4, 3, 2)),
        ((-1,), (1, 1, 1, 120)),
        ((-1, 1, 6), (1, 20, 1, 6)),
    ]:
        assert tensor.reshape(shape).shape == expected
        assert tensor.reshape(*shape).shape == expected
        assert np.shares_memory(np.asarray(tensor.reshape(list(shape))), np.asarray(tensor))
    assert tensor.flatten().shape == (1, 1, 1, 120)
    tensor.flatten()[..., 0] = -1
    assert tensor[0, 0, 0, 0] == -1
    assert Tensor4D.zeros((0, 3)).reshape(5, 0).shape == (1, 1, 5, 0)


@pytest.mark.parametrize(
    "shape", [(7,), (-1, -1), (-1, 7), (-2, 60), (), (1, 1, 1, 1, 120), (0, -1), (119,), (2**40, 2**40)]
)
def test_shapes_of_another_size_are_refused(shape):
    with pytest.raises((ShapeError, MemoryError)):
        Tensor4D(counted(2, 3, 4, 5)).reshape(shape)


@pytest.mark.parametrize("shape", ["a", None, 2.0, (2.0,), object()])
def test_shapes_of_another_type_are_refused(shape):
    with pytest.raises(DtypeError):
        Tensor4D(counted(2, 3, 4, 5)).reshape(shape)


@pytest.mark.parametrize("axes", list(itertools.permutations(range(4))))
@pytest.mark.parametrize(
    "shape", [(2, 3, 4, 5), (1, 9, 1, 17), (3, 70, 2, 33), (1, 1, 130, 1), (0, 3, 2, 1), (1, 1, 1, 1)]
)
def test_transpose(shape, axes):
    values = counted(*shape)
    got = Tensor4D(values).transpose(axes)
    np.testing.assert_array_equal(np.asarray(got), values.transpose(axes))
    np.testing.assert_array_equal(
        np.asarray(Tensor4D(values).transpose([axis - 4 for axis in axes])), values.transpose(axes)
    )


def test_transpose_swaps_the_matrices_by_default():
    values = counted(2, 3, 257, 131)
    np.testing.assert_array_equal(np.asarray(Tensor4D(values).transpose()), values.swapaxes(2, 3))


@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 1, 2, 2), (0, 1, 2, 4), 3, None, "abcd", (0.0, 1, 2, 3)])
def test_transpose_refuses(axes):
    with pytest.raises((OptionError, DtypeError)):
        Tensor4D(counted(2, 3)).transpose(axes)


def padded(values, widths, value=0.0):
    return np.pad(values, widths, constant_values=value)


def test_pad():
    values = counted(2, 3, 4, 5)
    tensor = Tensor4D(values)
    np.testing.assert_array_equal(np.asarray(tensor.pad(2)), padded(values, ((0, 0), (0, 0), (2, 2), (2, 2))))
    np.testing.assert_array_equal(
        np.asarray(tensor.pad(((1, 0), (2, 3)), -1)), padded(values, ((0, 0), (0, 0), (1, 0), (2, 3)), -1)
    )
    widths = ((1, 2), (0, 1), (3, 0), (0, 2))
    np.testing.assert_array_equal(np.asarray(tensor.pad(widths, 0.5)), padded(values, widths, 0.5))
    np.testing.assert_array_equal(np.asarray(Tensor4D.zeros((0, 2)).pad(1, 3)), np.full((1, 1, 2, 4), 3))


@pytest.mark.parametrize(
    "widths", [-1, ((1, -1), (0, 0)), 1.5, "a", None, (1, 2), ((1, 1),), ((1, 1, 1), (1, 1, 1)), ((1, 1),) * 3]
)
def test_pad_refuses(widths):
    with pytest.raises(ShapeError):
        Tensor4D(counted(2, 3)).pad(widths)


def test_pad_refuses_absurd_widths():
    with pytest.raises(MemoryError):
        Tensor4D(counted(2, 3)).pad(2**62)
    with pytest.raises(MemoryError):
        Tensor4D(counted(2, 3)).pad(((2**63, 2**70), (0, 0)))


def test_arrays_as_indices_are_named_not_printed():
    t = Tensor4D(np.arange(6000).reshape(1, 1, 60, 100))
    for mask in (np.asarray(t) > 3, t > 3):
        with pytest.raises(
            DtypeError, match=r"an array of bool, shape \(1, 1, 60, 100\).*numpy.asarray\(t\)\[mask\]"
        ) as error:
            t[mask]
        assert len(str(error.value)) < 200


def test_numbers_lists_and_the_transpose_as_numpy_names_them():
    t = Tensor4D([[1, 2, 3], [4, 5, 6]])
    assert t[0, 0, 1:2, 2:].item() == 6.0
    with pytest.raises(OptionError, match="6 elements"):
        t.item()
    assert t.tolist() == [[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]]
    np.testing.assert_array_equal(t.T, [[[[1, 4], [2, 5], [3, 6]]]])
