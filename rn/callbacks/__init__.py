"""What runs beside training: at its start and end, after each epoch, after each batch."""

from rn.callbacks.base import Callback
from rn.callbacks.csv_logger import CSVLogger
from rn.callbacks.early_stopping import EarlyStopping
from rn.callbacks.function import BatchEnd, EpochEnd, as_callbacks, refuse_unreported
from rn.callbacks.model_checkpoint import ModelCheckpoint
from rn.callbacks.progress_bar import ProgressBar
from rn.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from rn.callbacks.states import Restoring, states
from rn.callbacks.tensorboard import TensorBoard
from rn.callbacks.terminate_on_nan import TerminateOnNaN

__all__ = [
    "BatchEnd",
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "EpochEnd",
    "ModelCheckpoint",
    "ProgressBar",
    "ReduceLROnPlateau",
    "Restoring",
    "TensorBoard",
    "TerminateOnNaN",
    "as_callbacks",
    "refuse_unreported",
    "states",
]
