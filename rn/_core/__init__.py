"""All that is compiled: the tensor, the plan, the kernels and their doorways."""

from rn._core.core import *  # noqa: F403
