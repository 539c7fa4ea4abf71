"""The .rn file: what goes in comes out, every damage is refused, and a kill leaves the old file or the new one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from rn import serialization
from rn.errors import DtypeError, FileError, OptionError, RnError
from rn.serialization import read_file, write_file

DESCRIPTION = {
    "class": "Sequencial",
    "layers": [{"class": "Dense", "units": 3, "rate": 0.1, "name": 'ção "quoted" [[[{\\', "bias": None, "on": True}],
    "seed": 2**64 - 1,
}


def some_tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    return {
        "10.weight": rng.standard_normal((3, 5)).astype(np.float32),
        "2.weight": rng.standard_normal((2, 1, 3, 3)).astype(np.float32),
        "steps": np.array([3, -(2**62)], np.int64),
        "épsilon": np.float32([1e-45]),
        "scalar": np.array(np.nan, np.float32),
        "empty": np.zeros((0, 4), np.float32),
    }


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.rn"
    write_file(path, some_tensors(), DESCRIPTION)
    return path


@pytest.fixture
def small(tmp_path: Path) -> bytes:
    path = tmp_path / "small.rn"
    tensors = {"0.weight": np.float32([[1, -2], [0.5, 3]]), "0.bias": np.float32([0, 1]), "t": np.int64([9])}
    write_file(path, tensors, {"class": "Sequencial", "layers": []})
    return path.read_bytes()


def refusal(path: Path, content: bytes) -> str:
    """Write ``content`` to ``path``; return with what words ``read_file`` refuses it."""
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def forged(header: str, data: bytes = b"") -> bytes:
    """Return a file as somebody would make it who knows the format: the digest fits."""
    text = header.encode()
    text += b" " * (-len(text) % 8)
    content = len(text).to_bytes(8, "little") + text + data
    return content.replace(b"0" * 64, hashlib.sha256(content).hexdigest().encode(), 1)


def header_of(entries: str = "", *, version: str = "1", length: int | str = 0, model: str = "{}") -> str:
    about = f'{{"format":{version},"sha256":"{"0" * 64}","bytes":{length},"model":{model}}}'
    return f'{{"__metadata__":{{"rn":{json.dumps(about)}}}{entries}}}'


class TestRoundTrip:
    def test_gives_back_every_bit_shape_and_type(self, good: Path) -> None:
        tensors, description = read_file(good)
        assert description == DESCRIPTION
        assert tensors.keys() == some_tensors().keys()
        for name, expected in some_tensors().items():
            assert tensors[name].dtype == expected.dtype
            assert tensors[name].shape == expected.shape
            assert tensors[name].tobytes() == expected.tobytes()
            assert tensors[name].flags.writeable
            assert tensors[name].flags.c_contiguous

    def test_any_safetensors_reader_opens_it(self, good: Path) -> None:
        loaded = safetensors.numpy.load_file(good)
        assert loaded.keys() == some_tensors().keys()
        for name, expected in some_tensors().items():
            assert loaded[name].shape == expected.shape
            assert loaded[name].tobytes() == expected.tobytes()
        with safetensors.safe_open(good, framework="np") as file:
            assert json.loads(file.metadata()["rn"])["model"] == DESCRIPTION
            assert set(file.keys()) == some_tensors().keys()

    def test_same_model_same_bytes(self, good: Path, tmp_path: Path) -> None:
        chance = random.Random(2)
        for _ in range(20):
            shuffled = dict(chance.sample(list(some_tensors().items()), len(some_tensors())))
            write_file(tmp_path / "again.rn", shuffled, DESCRIPTION)
            assert (tmp_path / "again.rn").read_bytes() == good.read_bytes()

    @pytest.mark.parametrize("seed", ["0", "1", "2"])
    def test_same_bytes_in_another_process(self, good: Path, tmp_path: Path, seed: str) -> None:
        program = f"""
            from rn.serialization import read_file, write_file
            tensors, description = read_file({str(good)!r})
            names = sorted(tensors, key=hash)
            write_file({str(tmp_path / "again.rn")!r}, {{name: tensors[name] for name in names}}, description)
        """
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, env=environment)
        assert (tmp_path / "again.rn").read_bytes() == good.read_bytes()

    def test_the_digest_is_found_beside_names_that_look_like_it(self, tmp_path: Path) -> None:
        zeros = "0" * 64
        given = {zeros: np.float32([1]), f'"sha256":"{zeros}"': np.frombuffer(zeros.encode(), np.int64)}
        write_file(tmp_path / "a.rn", given, {"a": zeros})
        tensors, description = read_file(tmp_path / "a.rn")
        assert description == {"a": zeros}
        assert {name: value.tolist() for name, value in tensors.items()} == {
            name: value.tolist() for name, value in given.items()
        }

    def test_memory_layout_does_not_matter(self, tmp_path: Path) -> None:
        plain = np.arange(24, dtype=np.float32).reshape(4, 6)
        big_endian = plain.astype(">f4")
        read_only = plain.copy()
        read_only.setflags(write=False)
        for number, array in enumerate([plain, np.asfortranarray(plain), plain.repeat(2, 1)[:, ::2], read_only]):
            write_file(tmp_path / f"{number}.rn", {"w": array, "b": big_endian}, {})
            tensors, _ = read_file(tmp_path / f"{number}.rn")
            np.testing.assert_array_equal(tensors["w"], plain)
            np.testing.assert_array_equal(tensors["b"], plain)
            assert tensors["b"].dtype.isnative

    def test_nothing_in_it(self, tmp_path: Path) -> None:
        write_file(tmp_path / "empty.rn", {}, {})
        assert read_file(tmp_path / "empty.rn") == ({}, {})
        assert safetensors.numpy.load_file(tmp_path / "empty.rn") == {}

    def test_arrays_are_aligned(self, good: Path) -> None:
        content = good.read_bytes()
        length = int.from_bytes(content[:8], "little")
        assert length % 8 == 0
        for name, entry in json.loads(content[8 : 8 + length]).items():
            if name != "__metadata__":
                assert entry["data_offsets"][0] % {"F32": 4, "I64": 8}[entry["dtype"]] == 0

    def test_tuples_come_back_as_lists_and_floats_exactly(self, tmp_path: Path) -> None:
        write_file(tmp_path / "a.rn", {}, {"size": (3, 3), "rate": 0.1 + 0.2, "tiny": 5e-324, "big": 1e308, "": -0.0})
        _, description = read_file(tmp_path / "a.rn")
        assert description == {"size": [3, 3], "rate": 0.1 + 0.2, "tiny": 5e-324, "big": 1e308, "": -0.0}
        assert str(description[""]) == "-0.0"

    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )

    @given(description=st.dictionaries(st.text(), json_values, max_size=4), names=st.sets(st.text(), max_size=4))
    @settings(max_examples=60, deadline=None)
    def test_any_description_and_names(self, tmp_path_factory, description, names) -> None:
        path = tmp_path_factory.mktemp("any") / "a.rn"
        names -= {"__metadata__"}
        write_file(path, {name: np.float32([len(name)]) for name in names}, description)
        tensors, found = read_file(path)
        assert found == description
        assert {name: float(value[0]) for name, value in tensors.items()} == {name: len(name) for name in names}
        assert safetensors.numpy.load_file(path).keys() == names

    def test_needs_at_most_twice_the_memory_that_the_file_is_long(self, tmp_path: Path) -> None:
        import tracemalloc

        path, size = tmp_path / "big.rn", 8 << 20
        write_file(path, {"a": np.ones(size // 8, np.float32), "b": np.ones(size // 8, np.float32)}, {})
        tracemalloc.start()
        try:
            read_file(path)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
            tensors, _ = read_file(path)
            held = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            write_file(path, tensors, {})
            writing = tracemalloc.get_traced_memory()[1] - held
        finally:
            tracemalloc.stop()
        assert peak < 2.1 * size
        assert writing < 2.1 * size


class TestDamage:
    def test_every_flipped_bit(self, small: bytes, tmp_path: Path) -> None:
        assert len(small) < 1000
        for place in range(len(small)):
            for bit in range(8):
                damaged = bytearray(small)
                damaged[place] ^= 1 << bit
                refusal(tmp_path / "flipped.rn", bytes(damaged))

    def test_every_other_byte_value_where_it_hurts_most(self, small: bytes, tmp_path: Path) -> None:
        header_end = 8 + int.from_bytes(small[:8], "little")
        for place in [*range(8), header_end - 1, header_end]:
            for value in set(range(256)) - {small[place]}:
                refusal(tmp_path / "changed.rn", small[:place] + bytes([value]) + small[place + 1 :])

    def test_cut_at_every_length(self, small: bytes, tmp_path: Path) -> None:
        for length in range(len(small)):
            refusal(tmp_path / "cut.rn", small[:length])
        assert "its end is missing" in refusal(tmp_path / "cut.rn", small[:-1])
        assert "is empty" in refusal(tmp_path / "cut.rn", b"")

    def test_appended_bytes(self, small: bytes, tmp_path: Path) -> None:
        for tail in (b"\0", b" ", b"\n", small, b"PK\5\6"):
            assert "appended" in refusal(tmp_path / "long.rn", small + tail)

    def test_edited_description(self, small: bytes, tmp_path: Path) -> None:
        assert small.count(b"Sequencial") == 1
        assert "edited" in refusal(tmp_path / "edited.rn", small.replace(b"Sequencial", b"Sequencia1"))

    def test_swapped_arrays_of_one_shape(self, tmp_path: Path) -> None:
        write_file(tmp_path / "a.rn", {"a": np.float32([1]), "b": np.float32([2])}, {})
        content = (tmp_path / "a.rn").read_bytes()
        refusal(tmp_path / "a.rn", content[:-8] + content[-4:] + content[-8:-4])

    @given(st.binary(max_size=300))
    @settings(max_examples=200, deadline=None)
    def test_random_bytes(self, tmp_path_factory, content: bytes) -> None:
        refusal(tmp_path_factory.mktemp("random") / "random.rn", content)

    def test_random_bytes_in_a_good_frame(self, small: bytes, tmp_path: Path) -> None:
        chance = random.Random(1)
        for _ in range(300):
            damaged = bytearray(small)
            for _ in range(chance.randint(1, 20)):
                place = chance.randrange(8, len(damaged))
                damaged[place : place + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
            if bytes(damaged) != small:
                refusal(tmp_path / "random.rn", bytes(damaged))

    def test_random_headers_with_a_fitting_digest(self, tmp_path: Path) -> None:
        chance = random.Random(4)
        arrays = ',"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
        arrays += ',"":{"dtype":"I64","shape":[],"data_offsets":[4,12]}'
        good = header_of(arrays, length=12, model='{"a":[1,2.5e3,"x",null]}')
        for _ in range(500):
            header = list(good)
            for _ in range(chance.randint(1, 3)):
                header[chance.randrange(1, len(header))] = chance.choice('{}[]:,"\\ 0123456789-+.eEuFInaté\x00\ufffd')
            (tmp_path / "a.rn").write_bytes(forged("".join(header), bytes(12)))
            with contextlib.suppress(FileError):  # some changes are none, or only other names and numbers
                read_file(tmp_path / "a.rn")


class TestForeignFiles:
    def test_other_kinds(self, tmp_path: Path) -> None:
        kinds = [
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(50),
            b"PK\3\4" + bytes(50),
            b"{}",
            b"hello, world\n",
            bytes(99),
        ]
        for content in kinds:
            assert "is not a .rn file" in refusal(tmp_path / "foreign.rn", content)

    def test_safetensors_of_another_program(self, tmp_path: Path) -> None:
        for metadata in (None, {"format": "pt"}):
            content = safetensors.numpy.save({"w": np.zeros(3, np.float32)}, metadata)
            assert "not one that rn wrote" in refusal(tmp_path / "other.rn", content)

    def test_saved_again_by_another_program(self, good: Path) -> None:
        with safetensors.safe_open(good, framework="np") as file:
            metadata = file.metadata()
        tensors = safetensors.numpy.load_file(good)
        refusal(good, safetensors.numpy.save(tensors, {**metadata, "by": "hand"}))

    def test_made_by_a_newer_rn(self, tmp_path: Path) -> None:
        message = refusal(tmp_path / "new.rn", forged(header_of(version="2")))
        assert "newer rn" in message
        assert "version is 2" in message

    @pytest.mark.parametrize("version", ['"1"', "0", "-1", "1.0", "true", '""', "null", "[]", '"\u0661"', "9" * 4000])
    def test_impossible_versions(self, tmp_path: Path, version: str) -> None:
        assert "format version" in refusal(tmp_path / "new.rn", forged(header_of(version=version)))

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"absent\.rn"):
            read_file(tmp_path / "absent.rn")

    def test_null_characters_in_names(self) -> None:
        for use in (read_file, lambda path: write_file(path, {}, {})):
            with pytest.raises(FileError, match="names no file: it holds a null character"):
                use("a\0b.rn")

    def test_folder(self, tmp_path: Path) -> None:
        with pytest.raises(FileError, match="is a folder"):
            read_file(tmp_path)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
    def test_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.rn")
        with pytest.raises(FileError, match="device or pipe"):
            read_file(tmp_path / "pipe.rn")

    def test_no_permission(self, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied", str(good))

        monkeypatch.setattr("builtins.open", refuse)  # root may read everything, so chmod would prove nothing
        with pytest.raises(FileError, match="cannot be read: Permission denied"):
            read_file(good)


class TestForgedFiles:
    """Files of somebody who can compute the digest: still no crash, no hang, no memory beyond the file's size."""

    def test_the_forger_knows_the_format(self, tmp_path: Path) -> None:
        entry = ',"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
        (tmp_path / "a.rn").write_bytes(forged(header_of(entry, length=4), bytes(4)))
        tensors, description = read_file(tmp_path / "a.rn")
        assert tensors["w"].tolist() == [0.0]
        assert description == {}

    @pytest.mark.parametrize("length", [0, 1, 99, 2**31, 2**60, 2**63, 2**64 - 1])
    def test_header_claims_another_length(self, small: bytes, tmp_path: Path, length: int) -> None:
        refusal(tmp_path / "a.rn", length.to_bytes(8, "little") + small[8:])

    @pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
    def test_nested_deep_in_the_header(self, tmp_path: Path, opening: str) -> None:
        deep = opening * 100_000
        assert "nested deeper" in refusal(tmp_path / "a.rn", forged(f'{{"a":{deep}'))
        assert "nested deeper" in refusal(tmp_path / "a.rn", forged(header_of(f',"w":{deep}')))
        closed = "[" * 100_000 + "]" * 100_000
        assert "nested deeper" in refusal(tmp_path / "a.rn", forged(header_of(f',"w":{closed}')))

    def test_nested_deep_in_the_description(self, tmp_path: Path) -> None:
        for text in ('{"a":' * 100_000 + "1" + "}" * 100_000, '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"):
            content = forged(header_of(model=text))
            assert "nested deeper" in refusal(tmp_path / "a.rn", content)

    def test_deep_nesting_with_the_interpreters_guard_raised(self, tmp_path: Path) -> None:
        (tmp_path / "a.rn").write_bytes(forged(header_of(model='{"a":' * 1_000_000)))
        program = f"""
            import sys
            sys.setrecursionlimit(10**8)
            from rn import serialization, errors
            try:
                serialization.read_file({str(tmp_path / "a.rn")!r})
            except errors.FileError:
                print("refused")
        """
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
        assert done.stdout == "refused\n", done.stderr

    @pytest.mark.parametrize("text", ['"' + '\\"' * 500_000, '"' * 500_001, "\\" * 500_000, '{"a":"' + "\\" * 500_001])
    def test_hostile_strings_take_no_time(self, tmp_path: Path, text: str) -> None:
        start = time.process_time()
        refusal(tmp_path / "a.rn", forged("{" + text))
        refusal(tmp_path / "a.rn", forged(header_of(model=text)))
        assert time.process_time() - start < 5

    @pytest.mark.parametrize(
        "shape",
        [
            "[4611686018427387904,4]",
            "[4294967296,4294967296,4294967296,4294967296]",
            "[0,9223372036854775807,9223372036854775807]",
            "[-1]",
            "[1.0]",
            "[true]",
            '["1"]',
            "[[1]]",
            "1",
            "null",
            "{}",
            f"[{'9' * 4000}]",
            f"[{'9' * 5000}]",
            f"[{','.join('1' * 65)}]",
            f"[{','.join('9' * 100_000)}]",
        ],
    )
    def test_absurd_shapes(self, tmp_path: Path, shape: str) -> None:
        for length in (4, 0):  # 0: a shape may be absurd and yet have no elements
            entry = f',"w":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{length}]}}'
            content = forged(header_of(entry, length=length), bytes(length))
            reason = refusal(tmp_path / "a.rn", content)
            assert "header is damaged" in reason or "array 'w' has an impossible shape" in reason

    @pytest.mark.parametrize("length", ["4", "-1", "1e300", "1.0", '"0"', "null", "[]", "9" * 4000, "9" * 5000])
    def test_wrong_length(self, tmp_path: Path, length: str) -> None:
        assert "damaged" in refusal(tmp_path / "a.rn", forged(header_of(length=length)))

    def test_absurdly_large_files_are_not_read(self, good: Path, tmp_path: Path) -> None:
        os.truncate(good, 2**36)  # no block of it is on the disk
        with pytest.raises(FileError, match="appended"):
            read_file(good)
        (tmp_path / "other.rn").write_bytes(safetensors.numpy.save({"w": np.zeros(3, np.float32)}))
        os.truncate(tmp_path / "other.rn", 2**36)
        with pytest.raises(FileError, match="not one that rn wrote"):
            read_file(tmp_path / "other.rn")

    @pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS as Linux has it")
    @pytest.mark.parametrize("share", [0.5, 1.5])  # of the file's length that is left: not enough to read, nor to check
    def test_more_data_than_memory(self, tmp_path: Path, share: float) -> None:
        size = 1 << 26
        write_file(tmp_path / "a.rn", {"w": np.zeros(size // 4, np.float32)}, {})
        program = f"""
            import resource
            import safetensors.numpy
            from rn.serialization import read_file
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, [used + int({share} * {size})] * 2)
            try:
                read_file({str(tmp_path / "a.rn")!r})
            except ValueError as error:
                print(type(error).__name__, error)
        """
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
        assert done.stdout.startswith(f"FileError {tmp_path / 'a.rn'}: there is no memory for it"), done.stderr

    @pytest.mark.parametrize("dtype", ["F64", "BF16", "I8", "BOOL"])
    def test_other_dtypes(self, tmp_path: Path, dtype: str) -> None:
        size = {"F64": 8, "BF16": 2}.get(dtype, 1)
        entry = f',"w":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,{size}]}}'
        message = refusal(tmp_path / "a.rn", forged(header_of(entry, length=size), bytes(size)))
        assert f"array 'w' has the dtype {dtype}; a .rn file has F32 and I64" in message

    @pytest.mark.parametrize("dtype", ['"f32"', '"X"', "null", "1", "[]", '["F32"]', "{}"])
    def test_impossible_dtypes(self, tmp_path: Path, dtype: str) -> None:
        entry = f',"w":{{"dtype":{dtype},"shape":[1],"data_offsets":[0,4]}}'
        assert "header is damaged" in refusal(tmp_path / "a.rn", forged(header_of(entry, length=4), bytes(4)))

    @pytest.mark.parametrize(
        "entries",
        [
            ',"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}',  # a hole before the array
            ',"w":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}',
            ',"w":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}',
            ',"w":{"dtype":"F32","shape":[1]}',
            ',"\\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}',
            ',"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}',
            ',"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"shape":[1]}',
            ',"w":[]',
            ',"w":1',
            ',"":null',
        ],
    )
    def test_headers_that_nobody_may_write(self, tmp_path: Path, entries: str) -> None:
        content = forged(header_of(entries, length=4), bytes(4))
        assert "header is damaged" in refusal(tmp_path / "a.rn", content)

    @pytest.mark.parametrize(
        "entries",
        [
            ',"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1},"v":{V}',
            ',"w":{"shape":[1],"data_offsets":[0,4],"dtype":"F32"},"v":{V}',
            ',"v":{V}, "w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}',
            ',"v":{V},"\\u0077":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}',
        ],
    )
    def test_other_versions_of_safetensors_may_order_the_header_otherwise(self, tmp_path: Path, entries: str) -> None:
        entries = entries.replace("{V}", '{"dtype":"F32","shape":[],"data_offsets":[4,8]}')
        (tmp_path / "a.rn").write_bytes(forged(header_of(entries, length=8), np.float32([1, 2]).tobytes()))
        tensors, _ = read_file(tmp_path / "a.rn")
        assert {name: (value.shape, value.sum()) for name, value in tensors.items()} == {"w": ((1,), 1), "v": ((), 2)}

    @pytest.mark.parametrize(
        "metadata",
        ["{}", "[]", "null", '"rn"', '{"rn":1}', '{"rn":{}}', '{"rn":null}', '{"rn_format":"1","model":"{}"}'],
    )
    def test_metadata_that_rn_never_writes(self, tmp_path: Path, metadata: str) -> None:
        assert "not one that rn wrote" in refusal(tmp_path / "a.rn", forged(f'{{"__metadata__":{metadata}}}'))

    def test_missing_and_double_keys(self, tmp_path: Path) -> None:
        good = {"format": "1", "sha256": f'"{"0" * 64}"', "bytes": "0", "model": "{}"}

        def header(pairs: list[tuple[str, str]], more: str = "") -> str:
            text = "{" + ",".join(f'"{key}":{value}' for key, value in pairs) + "}"
            return f'{{"__metadata__":{{"rn":{json.dumps(text)}{more}}}}}'

        (tmp_path / "a.rn").write_bytes(forged(header(list(good.items()))))
        assert read_file(tmp_path / "a.rn") == ({}, {})
        for key in good:
            without = [pair for pair in good.items() if pair[0] != key]
            refusal(tmp_path / "a.rn", forged(header(without)))
            refusal(tmp_path / "a.rn", forged(header([*without, (key, "null")])))
            refusal(tmp_path / "a.rn", forged(header([*good.items(), (key, good[key])])))
        for digest in ("1", '""', '"0"', f'"{"0" * 63}x"', '"\\ud800"', '"' + "\\u0030" * 64 + '"'):
            refusal(tmp_path / "a.rn", forged(header(list((good | {"sha256": digest}).items()))))
        refusal(tmp_path / "a.rn", forged(header(list(good.items()), ',"more":"1"')))
        refusal(tmp_path / "a.rn", forged(header(list(good.items()), ',"rn":"{}"')))
        refusal(tmp_path / "a.rn", forged(header_of(',"__metadata__":{"rn":"{}"}')))

    @pytest.mark.parametrize(
        "model",
        ["", "[]", "1", '"a"', "{", '{"a":1}x', '{"a":NaN}', '{"a":Infinity}', '{"a":-Infinity}', '{"a":1e999}',
         '{"a":1,"a":2}', '{"b":{"a":1,"a":2}}', f'{{"a":{"1" * 5000}}}', "{'a':1}", '{"a":"\n"}', "\ufeff{}"],
    )  # fmt: skip
    def test_descriptions_that_are_not_json_objects(self, tmp_path: Path, model: str) -> None:
        for header in (header_of(model=model), f'{{"__metadata__":{{"rn":{json.dumps(model)}}}}}'):
            assert "description of the model is damaged" in refusal(tmp_path / "a.rn", forged(header))


class TestRefusedToWrite:
    @pytest.mark.parametrize(
        "array",
        [np.zeros(2), np.zeros(2, np.float16), np.zeros(2, np.int32), np.zeros(2, bool), np.zeros(2, np.complex64),
         np.array([object()]), np.array(["a"]), [1.0, 2.0], np.float32(1), None],
    )  # fmt: skip
    def test_arrays(self, good: Path, array: object) -> None:
        before = good.read_bytes()
        with pytest.raises(DtypeError, match="array 'w' must be a NumPy array of float32 or int64, got"):
            write_file(good, {"w": array}, {})  # type: ignore[dict-item]
        assert good.read_bytes() == before

    @pytest.mark.parametrize("name", ["__metadata__", 3, None, "\ud800"])
    def test_names(self, tmp_path: Path, name: object) -> None:
        with pytest.raises(OptionError):
            write_file(tmp_path / "a.rn", {name: np.zeros(1, np.float32)}, {})  # type: ignore[dict-item]

    @pytest.mark.parametrize(
        ("description", "message"),
        [
            ({"a": [{"rate": float("nan")}]}, r"description\['a'\]\[0\]\['rate'\] is nan"),
            ({"a": float("inf")}, r"description\['a'\] is inf"),
            ({"a": np.float32(1)}, r"description\['a'\] is a float32"),
            ({"a": {1: 2}}, r"description\['a'\] has the key 1"),
            ({"a": {2, 3}}, "is a set"),
            ({"a": b"x"}, "is a bytes"),
            ([], "must be a dict, got list"),
        ],
    )
    def test_descriptions(self, tmp_path: Path, description: dict[str, object], message: str) -> None:
        with pytest.raises(RnError, match=message):
            write_file(tmp_path / "a.rn", {}, description)
        assert list(tmp_path.iterdir()) == []

    def test_nested_too_deep(self, tmp_path: Path) -> None:
        deep: dict[str, object] = {}
        for _ in range(serialization.MAX_DEPTH - 1):
            deep = {"a": deep}
        write_file(tmp_path / "a.rn", {}, deep)
        assert read_file(tmp_path / "a.rn")[1] == deep
        with pytest.raises(OptionError, match="nested deeper"):
            write_file(tmp_path / "a.rn", {}, {"a": deep})
        circle: dict[str, object] = {}
        circle["a"] = circle
        with pytest.raises(OptionError, match="nested deeper"):
            write_file(tmp_path / "a.rn", {}, circle)

    def test_header_too_long_for_safetensors(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="too long for safetensors"):
            write_file(tmp_path / "a.rn", {}, {"a": "x" * 100_000_000})
        assert list(tmp_path.iterdir()) == []


class TestDisk:
    def test_no_drafts_are_left(self, good: Path) -> None:
        assert [path.name for path in good.parent.iterdir()] == ["good.rn"]

    @pytest.mark.skipif(os.name != "posix", reason="file locks")
    def test_what_a_killed_process_left_goes_with_the_next_save(self, good: Path) -> None:
        import fcntl

        folder = good.parent
        left, busy, other = (folder / name for name in (f".rn-{'a' * 16}.tmp", f".rn-{'b' * 16}.tmp", ".rn-mine.tmp"))
        for path in (left, busy, other):
            path.write_bytes(b"half a file")
        with busy.open("r+b") as being_written:
            fcntl.flock(being_written, fcntl.LOCK_EX)
            write_file(good, {}, {"a": 2})
            assert sorted(folder.iterdir()) == sorted([good, busy, other])
        write_file(good, {}, {"a": 3})
        assert sorted(folder.iterdir()) == sorted([good, other])
        assert read_file(good)[1] == {"a": 3}

    @pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
    def test_permissions(self, tmp_path: Path) -> None:
        path = tmp_path / "a.rn"
        old = os.umask(0o027)
        try:
            write_file(path, {}, {})
            assert stat.S_IMODE(path.stat().st_mode) == 0o640
            path.chmod(0o604)
            write_file(path, {}, {"a": 1})
            assert stat.S_IMODE(path.stat().st_mode) == 0o604
        finally:
            os.umask(old)

    def test_symbolic_link_stays_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "models").mkdir()
        link = tmp_path / "latest.rn"
        link.symlink_to(Path("models") / "a.rn")
        for number in range(2):  # first the link points to nothing yet
            write_file(link, {}, {"a": number})
            assert link.is_symlink()
            assert read_file(tmp_path / "models" / "a.rn")[1] == {"a": number}
        assert [path.name for path in (tmp_path / "models").iterdir()] == ["a.rn"]
        loop = tmp_path / "loop.rn"
        loop.symlink_to(loop)
        with pytest.raises(OSError, match=r"loop\.rn"):
            write_file(loop, {}, {})
        assert loop.is_symlink()

    def test_folders_and_devices_are_not_replaced(self, tmp_path: Path) -> None:
        for path in (tmp_path, f"{tmp_path}/new/", ""):
            with pytest.raises(FileError, match="folder"):
                write_file(path, {}, {})
        with pytest.raises(FileError, match="device or pipe"):
            write_file(os.devnull, {}, {})
        assert not Path(os.devnull).is_file()

    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"absent.*a\.rn"):
            write_file(tmp_path / "absent" / "a.rn", {}, {})

    def test_write_protected_file(self, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = good.read_bytes()
        monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everything
        with pytest.raises(PermissionError, match="write-protected"):
            write_file(good, {}, {})
        assert good.read_bytes() == before

    def test_folder_without_write_permission(self, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(path: str, *_: object) -> int:
            raise PermissionError(13, "Permission denied", path)

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(PermissionError, match=r"no new file can be made in its folder.*good\.rn"):
            write_file(good, {}, {})

    def test_an_error_on_the_way_leaves_the_old_file(self, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = good.read_bytes()
        for name in ("fsync", "replace", "chmod"):
            for error in (OSError(5, "Input/output error"), KeyboardInterrupt()):

                def fail(*_: object, error: BaseException = error) -> None:
                    raise error

                with monkeypatch.context() as patch:
                    patch.setattr(os, name, fail)
                    with pytest.raises(type(error)):
                        write_file(good, {}, {})
                assert good.read_bytes() == before
                assert [path.name for path in good.parent.iterdir()] == ["good.rn"]

    @pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE as Linux has it")
    def test_full_disk_leaves_the_old_file(self, good: Path) -> None:
        before = good.read_bytes()
        program = f"""
            import resource, signal
            import numpy as np
            from rn.serialization import write_file
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            try:
                write_file({str(good)!r}, {{"w": np.zeros(1_000_000, np.float32)}}, {{}})
            except OSError as error:
                print(error)
        """
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
        assert "File too large" in done.stdout, done.stderr
        assert "good.rn" in done.stdout
        assert good.read_bytes() == before
        assert [path.name for path in good.parent.iterdir()] == ["good.rn"]

    @pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
    def test_a_kill_leaves_the_old_file_or_the_new(self, tmp_path: Path) -> None:
        path = tmp_path / "a.rn"
        program = f"""
            import itertools
            import numpy as np
            from rn.serialization import write_file
            for number in itertools.count():
                tensors = {{"w": np.full(50_000 * (1 + number % 2), number, np.float32)}}
                write_file({str(path)!r}, tensors, {{"number": number}})
                if number == 0:
                    print("ready", flush=True)
        """
        chance = random.Random(3)
        for _ in range(8):
            writer = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE)
            try:
                assert writer.stdout is not None
                assert writer.stdout.readline() == b"ready\n"
                for _ in range(20):  # readers never see anything but a whole file either
                    tensors, description = read_file(path)
                    assert (tensors["w"] == description["number"]).all()
                time.sleep(chance.uniform(0, 0.03))
            finally:
                writer.kill()
                writer.wait()
                writer.stdout.close()
            tensors, description = read_file(path)
            number = description["number"]
            assert tensors["w"].shape == (50_000 * (1 + number % 2),)
            assert (tensors["w"] == number).all()
        write_file(path, {}, {})
        assert list(tmp_path.iterdir()) == [path]


def test_importing_it_does_not_import_safetensors() -> None:
    program = "import sys, rn.serialization; print('safetensors' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
