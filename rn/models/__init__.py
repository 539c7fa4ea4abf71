"""Models: ``Sequencial``, a stack of any layers, and ``RedeNeural``, a light multilayer perceptron."""

from rn.models.files import load
from rn.models.model import Model
from rn.models.rede_neural import RedeNeural
from rn.models.sequencial import Sequencial

__all__ = ["Model", "RedeNeural", "Sequencial", "load"]
