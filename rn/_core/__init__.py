"""All that is compiled: the tensor, the plan, the kernels and their doorways."""

try:
    from rn._core.core import *  # noqa: F403
except ImportError as error:
    if error.name == __name__ + ".core" and isinstance(error, ModuleNotFoundError):
        from pathlib import Path

        others = sorted(Path(__file__).parent.glob("core.*.so")) + sorted(Path(__file__).parent.glob("core.*.pyd"))
        found = f"was built for another Python ({others[0].name})" if others else "is not built"
        raise ImportError(f"the compiled core of rn {found}: run `pip install .` beside setup.py") from None
    raise ImportError(f"the compiled core of rn does not load ({error}): run `pip install .` beside setup.py") from None
