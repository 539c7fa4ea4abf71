"""What runs beside training: at its start and end, after each epoch, after each batch."""

from rn.callbacks.base import Callback
from rn.callbacks.function import BatchEnd, EpochEnd, as_callbacks
from rn.callbacks.progress_bar import ProgressBar

__all__ = ["BatchEnd", "Callback", "EpochEnd", "ProgressBar", "as_callbacks"]
