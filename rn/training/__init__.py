"""The training loop and what it leaves behind."""

from rn.training.history import History

__all__ = ["History"]
