"""Runs that are killed or interrupted at any moment, and go on from their last checkpoint to the same bits."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from aefast import Corruption, Sparsity, Topology, Trainer
from aefast.callbacks import Callback
from aefast.io import checkpoint, container, headers
from aefast.testing.crashes import Rng, processes

# A run long enough to be stopped while it computes more often than while it saves.
EPOCHS = 6
ROWS = 40_003
STEPS_A_SAVE = 900  # no divisor of an epoch's


class Pause(Callback):
    """Ends a fit every so many steps, mostly in the middle of an epoch."""

    every = STEPS_A_SAVE

    def on_step(self, model: Any, steps: Any) -> object:
        """Always wants to stop."""
        return True


def run_of(backend: str) -> Trainer:
    """What such a run trains: everything that has a state."""
    return Trainer(
        Topology.mlp([24, 16, 5, 16, 24], latent_activation="sigmoid", tied_weights=True),
        corruption=Corruption("masking", 0.2),
        sparsity=Sparsity("kl", 0.1),
        optimizer="adamw",
        weight_decay=0.01,
        schedule="cosine",
        warmup_steps=20,
        clip_norm=1.0,
        ema=0.9999,  # remembers its start to the end of the run
        batch_size=16,
        backend=backend,
        n_threads=1,
        seed=7,
    )


def train_on(path: Path, backend: str, began: Any = None, save_within: bool = True) -> None:
    """Trains to the end, from the checkpoint if there is one, saving now and then, also at Ctrl-C."""
    X = np.random.default_rng(5).random((ROWS, 24), np.float32)
    trainer = Trainer.load_checkpoint(path) if path.exists() else run_of(backend)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if began is not None:
        began.set()
    try:
        while trainer.epoch < EPOCHS:
            callbacks = [Pause()] if save_within else []
            trainer.fit(X, epochs=EPOCHS - trainer.epoch, callbacks=callbacks)
            trainer.save_checkpoint(path)
    except KeyboardInterrupt:
        trainer.save_checkpoint(path)


def digest(path: Path) -> str:
    """Of everything learned, the slots and averages included, and of the counters, as the file holds them."""
    header, tensors = container.read(path, checkpoint.FORMAT, headers.VERSIONS)
    progress = header["progress"]
    found = hashlib.sha256(repr(progress).encode())
    for name in sorted(tensors):
        found.update(name.encode() + tensors[name].tobytes())
    return found.hexdigest()


def uninterrupted(path: Path, backend: str) -> tuple[str, float]:
    """The digest of a run without a stop, and the seconds that one with its saves takes."""
    train_on(path, backend, save_within=False)
    whole = digest(path)
    path.unlink()
    began = time.perf_counter()
    train_on(path, backend)
    return whole, time.perf_counter() - began


def stopped_and_resumed(
    path: Path, whole: str, backend: str, seconds: float, kind: signal.Signals, rng: Rng
) -> tuple[str, Counter[str]]:
    """A run that is stopped up to three times within `seconds`, by that signal, then goes on to its end.

    What is wrong with the end, whose digest must be `whole`; and how often it was stopped, and went on within an epoch.
    """
    path.unlink(missing_ok=True)
    stops: Counter[str] = Counter()
    for _ in range(3):
        began = processes().Event()
        run = processes().Process(target=train_on, args=(path, backend, began), daemon=True)
        run.start()
        began.wait(60)
        time.sleep(float(rng.uniform(0, seconds)))
        if run.is_alive():
            os.kill(run.pid, kind)
            stops["stops"] += 1
        run.join(60)
        if path.exists() and Trainer.load_checkpoint(path).position > 0:
            stops["resumed within an epoch"] += 1
    last = processes().Process(target=train_on, args=(path, backend), daemon=True)
    last.start()
    last.join(120)
    return ("" if digest(path) == whole else "the resumed run ends with other bits"), stops
