"""Tables on a standard output that is not UTF-8."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

import rn
from rn._text import for_stdout


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_tables_are_printed_in_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = rn.Sequencial([rn.layers.Dense(3, name="слой " + "x" * 40)], input_shape=2)
    with rn.profile() as profile:
        model.predict(np.zeros((1, 2), np.float32))
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    model.summary()
    print(profile)
    print(profile.memory())
    sys.stdout.flush()
    text = raw.getvalue().decode(encoding)
    lines = [line for line in text.splitlines() if set(line) == {"─" if encoding == "utf-8" else "-"}]
    assert len(lines) == 5
    assert ("слой" if encoding == "utf-8" else "????") in text


def test_text_that_can_be_encoded_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert for_stdout("12 µs ─…") == "12 µs ─…"
    monkeypatch.setattr(sys, "stdout", None)
    assert for_stdout("─") == "─"
