"""Where the time and the memory go: by layer, by kernel, and beside what the machine can do.

``with rn.profile() as p:`` around any work, then ``print(p)``.
"""

from __future__ import annotations

from rn.profiling.memory import LayerMemory, Memory
from rn.profiling.profile import Profile, profile, profile_program
from rn.profiling.roofline import Roofline, roofline
from rn.profiling.rows import Row

__all__ = ["LayerMemory", "Memory", "Profile", "Roofline", "Row", "profile", "profile_program", "roofline"]
