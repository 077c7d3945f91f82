"""What may watch a fit: the base class, early stopping, checkpoints, logs as CSV and JSON lines, the progress bar.

`fit(X, callbacks=[...])` takes instances of `Callback`, and plain functions f(model, history), which hear of every epoch.
"""

from __future__ import annotations

from aefast.callbacks.contract import Callback, History, Steps, as_callback, as_callbacks, trainer_of
from aefast.callbacks.logs import CSVLogger, JSONLLogger, ProgressBar
from aefast.callbacks.stopping import Checkpoint, EarlyStopping

__all__ = [
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "JSONLLogger",
    "ProgressBar",
    "Steps",
    "as_callback",
    "as_callbacks",
    "trainer_of",
]
