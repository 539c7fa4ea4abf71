"""All that is compiled: the tensor, the plan, the kernels and their doorways."""

import os

# How long a thread that waits for the others spins before it sleeps. GNU's runtime reads this once, as it is loaded,
# and takes 300,000 turns unless told: milliseconds in which, on a busy machine, it keeps the very thread off the
# processor that it waits for (a training step then takes 20 times as long). 1,000 turns outlast the gaps in a step.
_SPIN, _turns = "GOMP_SPINCOUNT", "1000"
_ours = _SPIN not in os.environ and "OMP_WAIT_POLICY" not in os.environ
if _ours:
    os.environ[_SPIN] = _turns
try:
    from rn._core.core import *  # noqa: F403
except ImportError as error:
    if error.name == __name__ + ".core" and isinstance(error, ModuleNotFoundError):
        from pathlib import Path

        others = sorted(Path(__file__).parent.glob("core.*.so")) + sorted(Path(__file__).parent.glob("core.*.pyd"))
        found = f"was built for another Python ({others[0].name})" if others else "is not built"
        raise ImportError(f"the compiled core of rn {found}: run `pip install .` beside setup.py") from None
    raise ImportError(f"the compiled core of rn does not load ({error}): run `pip install .` beside setup.py") from None
finally:
    if _ours:
        del os.environ[_SPIN]
