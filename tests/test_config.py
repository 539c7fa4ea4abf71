"""show_config and the command line: what they print."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys

import numpy as np
import pytest

import rn
from rn import _config, _core, cli
from rn.errors import OptionError


def test_show_config_prints_every_fact(capsys):
    with rn.threads(3):
        rn.show_config()
    printed = dict(
        line.split(maxsplit=1) for line in capsys.readouterr().out.replace("instruction set", "isa").splitlines()
    )
    assert printed["rn"] == rn.__version__
    assert printed["Python"].startswith(platform.python_version())
    assert printed["NumPy"] == np.__version__
    assert printed["compiler"].split()[0] in {"gcc", "clang", "MSVC"}
    assert printed["isa"].split()[0] == _core.instruction_set()
    assert "3 (set by rn.set_num_threads)" in printed["threads"]
    if _core.openmp_version():
        assert float(printed["OpenMP"]) >= 2.0
    else:
        assert printed["OpenMP"] == "no: serial build"


def test_a_serial_build_says_so(monkeypatch):
    monkeypatch.setattr(_core, "openmp_version", lambda: 0)
    config = _config.config()
    assert config["OpenMP"] == "no: serial build"
    assert config["threads"].startswith("1 (serial build")


@pytest.mark.parametrize(("isa", "how"), [("generic", "RN_ISA is set"), ("", "the best this machine runs")])
def test_the_instruction_set_and_why(isa, how):
    done = python("-c", "import rn; rn.show_config()", RN_ISA=isa)
    line = next(line for line in done.stdout.splitlines() if line.startswith("instruction set"))
    assert how in line
    assert isa in line


def test_an_unknown_instruction_set_is_refused_in_one_sentence():
    done = python("-c", "import rn", RN_ISA="avx1024")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"{OptionError.__module__}.OptionError: RN_ISA=avx1024: ")


@pytest.mark.parametrize(("wanted", "found"), [("0", "off"), ("1", "on"), ("", "on")])
def test_winograd_by_its_variable(wanted, found):
    done = python("-c", "import rn; rn.show_config()", RN_WINOGRAD=wanted)
    assert f"Winograd        {found}\n" in done.stdout


@pytest.mark.parametrize("wanted", ["maybe", "off", "2", " 1"])
def test_an_unknown_setting_of_winograd_is_refused_in_one_sentence(wanted):
    done = python("-c", "import rn", RN_WINOGRAD=wanted)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"{OptionError.__module__}.OptionError: RN_WINOGRAD={wanted}: must be 0, off, or 1, on")


# ---- the command line


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_without_a_command_the_help_is_printed(capsys):
    assert cli.main([]) == 0
    assert "config" in capsys.readouterr().out


def test_config_is_a_command(capsys):
    assert cli.main(["config"]) == 0
    assert "instruction set" in capsys.readouterr().out


def test_the_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"rn {rn.__version__}\n"


def test_an_unknown_command_ends_with_status_2(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["trane"])
    assert "trane" in capsys.readouterr().err


def test_python_m_rn():
    done = python("-m", "rn", "--version")
    assert (done.returncode, done.stdout) == (0, f"rn {rn.__version__}\n")


@pytest.mark.parametrize("arguments", [["config"], [], ["--help"], ["--version"]])
def test_a_reader_that_has_seen_enough_is_no_error(arguments):
    program = f"import sys; sys.stdin.read(); from rn.cli import main; sys.exit(main({arguments}))"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        assert process.communicate()[1] == b""
    assert process.returncode == 1


def test_where_nothing_can_be_written_one_sentence_says_so():
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no full device")
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "rn", "config"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert re.fullmatch(r"python -m rn: \[Errno \d+\] No space left on device\n", done.stderr)


def test_without_an_output_the_command_line_does_its_work():
    program = "import sys; sys.stdout = None; from rn.cli import main; sys.exit(main(['config']))"
    done = python("-c", program)
    assert (done.returncode, done.stderr) == (0, "")
