"""A model bound to a backend: parameters in one flat buffer, programs by purpose."""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import activations, backends, checks, random, threads
from aefast.data.rows import as_feature_weight
from aefast.plan import Plan, Purpose, Settings
from aefast.planner import build
from aefast.topology import Parameter, Topology

Array = NDArray[Any]
# Of the flat buffers and the results. "bfloat16" rounds the operands of products; the weights that learn are float32.
DTYPES = {"float32": np.float32, "float64": np.float64, "bfloat16": np.float32}
# Rows a chunk of inference: at most large enough to amortise the call, small enough to stay in cache.
INFERENCE_SIZES = (16, 128, 1024)
# Of what all layers of a chunk put out together, 16 MB in float32: maps are wide, and 1024 rows of them would fill gigabytes.
INFERENCE_ELEMENTS = 2**22
# The rows of a batch in their own order, ready for the usual numbers of them; never written.
IN_ORDER = np.arange(INFERENCE_SIZES[-1])


# Now, and not at the first fit, because `threadpool_limits` reaches only what is loaded by then.
threads.load_native()

# What belongs to this process and object alone; a copy makes its own.
UNCOPIED = ("_backend", "_programs", "_inference", "_inferring", "claimed", "lasting", "_lone")


class Engine:
    """What `Trainer` is without inference and training; its parameters are described there."""

    lasting: backends.Lasting | None = None
    """Set for as long as a fit lasts, whose rows nobody changes meanwhile."""

    def __init__(
        self,
        topology: Topology,
        settings: Settings,
        *,
        batch_size: int,
        beta: float,
        feature_weight: Any,
        scaling: Any,
        backend: str,
        dtype: str,
        n_threads: int | None,
        seed: int,
    ) -> None:
        dtype = checks.dtype_name(dtype)
        checks.choice(DTYPES)("dtype", dtype)
        checks.seed("seed", seed)
        self.topology, self.settings = topology, settings
        self.beta, self.scaling, self.seed = beta, scaling, seed
        self.dtype, self.n_threads, self.backend = dtype, n_threads, backend
        self.feature_weight = as_feature_weight(feature_weight, topology.n_features)
        self.batch_size = batch_size
        self._bind()
        real, n = DTYPES[dtype], topology.n_flat
        self._state = backends.State(
            np.zeros(n, real),
            np.zeros(n, real),
            tuple(np.zeros(n, real) for _ in range(settings.optimizer.n_slots)),
            np.zeros(n, real) if settings.ema is not None else None,
        )
        self._initialise()

    # Parameters --------------------------------------------------------------------------------------------------

    @property
    def backend_name(self) -> str:
        """The backend that does the whole plan."""
        return self._backend.name

    @property
    def parameters(self) -> dict[str, Array]:
        """Copies by name: "encoder.0.weight" (N, M), "encoder.0.bias" (N,), ...

        A convolution's weight is (out_channels, kernel_height, kernel_width, channels / groups), its bias that of each
        channel that it puts out; see `aefast.geometry.Geometry`.
        """
        return {name: view.copy() for name, view in self.views(self._state.params).items()}

    @property
    def ema_parameters(self) -> dict[str, Array]:
        """Copies of the averaged parameters, with which inference works; the parameters themselves without `ema`."""
        return {name: view.copy() for name, view in self.views(self._inference_state().params).items()}

    @property
    def flat_buffers(self) -> dict[str, Array]:
        """The learned state in flat buffers (topology.n_flat,): params, one per optimizer slot, the averages."""
        slots = {f"slot{i}": slot for i, slot in enumerate(self._state.slots)}
        averaged = {} if self._state.ema is None else {"ema": self._state.ema}
        return {"params": self._state.params, **slots, **averaged}

    @property
    def n_steps(self) -> int:
        """Training steps done over the model's life, those included whose update was left out."""
        return int(self._state.steps[0])

    @n_steps.setter
    def n_steps(self, n: int) -> None:
        self._state.steps[0] = n

    def views(self, flat: Array) -> dict[str, Array]:
        """Views of a flat buffer by parameter name, in logical shapes."""
        return {name: _view(flat, parameter) for name, parameter in self.topology.parameters.items()}

    def load_parameters(self, mapping: Mapping[str, Any]) -> None:
        """Sets every stored parameter (tied weights by their encoder's name); the averaged ones start anew from them.

        Raises KeyError for missing or unknown names, ValueError for a wrong shape; nothing is changed then.
        """
        views = self.views(self._state.params)
        table = self.topology.parameters
        expected = [name for name in views if not table[name].alias]
        if missing := [name for name in expected if name not in mapping]:
            raise KeyError(f"parameters lack {', '.join(missing)}")
        if unknown := [name for name in mapping if name not in views]:
            raise KeyError(f"unknown parameters {', '.join(unknown)}; known: {', '.join(views)}")
        arrays = {name: np.asarray(mapping[name]) for name in expected}
        for name, array in arrays.items():
            if array.shape != views[name].shape:
                raise ValueError(f"{name} must have shape {views[name].shape}, but has {array.shape}")
            if array.dtype.kind in "cOSUMm":
                raise TypeError(f"{name} must hold real numbers, but its dtype is {array.dtype}")
        for name, array in arrays.items():
            views[name][...] = array
        if self._state.ema is not None:
            self._state.ema[...] = self._state.params

    # Copies ------------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        # Backend and programs hold native memory; a copy binds its own when it comes to life.
        return {name: value for name, value in vars(self).items() if name not in UNCOPIED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        # joblib maps large arrays read-only from its file; the parameters are to be learned on.
        owned = self._state
        self._state = backends.State(
            _writeable(owned.params),
            _writeable(owned.grads),
            tuple(map(_writeable, owned.slots)),
            None if owned.ema is None else _writeable(owned.ema),
            owned.steps.copy(),
        )
        self._bind()

    # Inside ---------------------------------------------------------------------------------------------------------

    def _bind(self) -> None:
        plan = build(self.topology, self.settings, self.batch_size, "train", self.dtype)
        self._backend = backends.choose(self.backend, plan, self.dtype)
        self._programs: dict[tuple[Purpose, int], tuple[Plan, backends.Program]] = {}
        self._inference, self._inferring = threading.Lock(), 0  # the second: the thread that holds the first

    def set_num_threads(self, n_threads: int | None) -> None:
        """From the next run on; None leaves the count to the environment."""
        if n_threads != self.n_threads:
            self.n_threads = n_threads
            self._programs.clear()

    def _initialise(self) -> None:
        views = self.views(self._state.params)
        for number, layer in enumerate(self.topology.layers):
            if layer.weight_shape is not None and layer.tied_to is None:
                gain = activations.get(layer.activation).gain
                bound = gain * math.sqrt(6.0 / sum(layer.fans))
                weight = random.initial_weight(layer.weight_shape, bound, self.seed, number)
                views[f"{layer.name}.weight"][...] = weight
        if self._state.ema is not None:
            self._state.ema[...] = self._state.params

    def _feed(
        self, rows: Array, index: NDArray[np.int64], weights: Any, epoch: int, scaled: bool = True
    ) -> backends.Feed:
        scaling = self.scaling if scaled else None
        shift, scale, factor = (
            (None, None, 1.0) if scaling is None else (scaling.shift, scaling.scale, scaling.factor)
        )
        return backends.Feed(
            rows, index, None, weights, shift, scale, factor, self.seed, epoch & 0xFFFFFFFF, self.lasting
        )

    def _program(self, purpose: Purpose, batch: int) -> tuple[Plan, backends.Program]:
        """One for batches of that size, or of more: a program takes fewer rows too."""
        if purpose == "train":  # one, as large as any batch so far: it holds packed weights
            batch = max([batch, *(size for kind, size in list(self._programs) if kind == purpose)])
        else:  # a few sizes serve every number of rows
            batch = INFERENCE_SIZES[bisect_left(INFERENCE_SIZES, batch)]
        key = (purpose, batch)
        found = self._programs.get(key)
        if found is None:
            if purpose == "train":
                for smaller in [key for key in list(self._programs) if key[0] == purpose]:
                    del self._programs[smaller]
            plan = build(self.topology, self.settings, batch, purpose, self.dtype)
            state = self._state if purpose == "train" else self._inference_state()
            program = self._backend.bind(plan, state, self.n_threads)
            if self.feature_weight is not None and "feature_weight" in plan.buffers:
                program.buffer("feature_weight")[...] = self.topology.channels_last(self.feature_weight)
            found = self._programs[key] = plan, program
        return found

    @cached_property
    def _chunk_rows(self) -> int:
        """The most rows that inference does at once."""
        width = sum(layer.n_out for layer in self.topology.layers)
        fitting = (n for n in reversed(INFERENCE_SIZES) if n * width <= INFERENCE_ELEMENTS)
        return next(fitting, INFERENCE_SIZES[0])

    def _inference_state(self) -> backends.State:
        return self._state if self._state.ema is None else backends.State(self._state.ema, self._state.grads)


def in_order(n: int) -> NDArray[np.int64]:
    """(n,) 0, 1, 2, ...; not to be written."""
    return IN_ORDER[:n] if n <= len(IN_ORDER) else np.arange(n)


def _writeable(array: Array) -> Array:
    return array if array.flags.writeable and type(array) is np.ndarray else np.array(array)


def _view(flat: Array, p: Parameter) -> Array:
    block = flat[p.offset : p.offset + p.rows * p.cols]
    return block.reshape(p.cols, p.rows).T if p.alias else block.reshape(p.shape)
