"""Many estimators at once: each model on a thread of its own, those that read the same rows in the same order in turns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from aefast import checks, threads
from aefast.callbacks import Callback, as_callbacks
from aefast.crew import Crew, Job, Task
from aefast.data.rows import as_weights, refuse_masked
from aefast.data.sparse import SparseRows
from aefast.estimators import parameters, training
from aefast.estimators.base import BaseAutoencoder
from aefast.estimators.training import Data

# Models that take turns on shared rows. Each more saves less of the gather, and leaves less to share out over the threads.
TOGETHER = 8
# Features up to which it pays. Time with shared rows over time without, 8 models of one thread, 20,000 float64 rows, standard
# scaling, batch 256 (CPU time, interleaved, medians; a busy 2-core Zen 3): d-k-d with d = 10: 0.74, with d = 30: 0.82 (200,000
# rows: 0.73); d-64-k-64-d with d = 64: 0.92, with d = 128: 0.97, with d = 256: 1.01, and of float32 1.08; d = 784: 1.24.
NARROW = 128
# Compute dtypes whose gathered rows are the same when they are gathered again.
SHARED_DTYPES = ("float32", "float64")


def fit_many(
    estimators: Iterable[BaseAutoencoder],
    X: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    X_val: ArrayLike | None = None,
    callbacks: Callable[[Any], Any] | Sequence[Any] | None = None,
    n_threads: int | None = None,
    verbose: int = 0,
) -> list[Any]:
    """Fits each of the estimators on X (n, d), in place, many at the same time; the list of them.

    On the cpu backend each learns the same bits as by its own `fit(X)`, one after the other in the order given (so
    estimators may share a RandomState). The costliest go first. A model gets one thread; one that is more than two shares of
    the work, weights x rows x epochs, gets as many as it is shares, a share being the work of all over `n_threads`.

    Parameters
    ----------
    estimators : iterable of aefast estimators
        Each once; fitted ones learn on or begin anew as `warm_start` says.
    X : (n, d)
        As for `fit`.
    sample_weight : (n,) or (number of estimators, n), optional
        For all, or a row for each: 0 and 1, or counts, make a bootstrap of it.
    X_val : (m, d), optional
        As for `fit`, for all.
    callbacks : function of an estimator, or sequence with an entry for each estimator, optional
        The function's result, called once for each estimator before any is fitted, or the entry: what `fit` takes as
        `callbacks`. They are called from the threads that train.
    n_threads : int, optional
        Threads together; None: the number in force. An estimator's own `n_threads` only lowers what it gets.
    verbose : int
        1 shows a bar of the estimators that are done.

    Raises
    ------
    TypeError, ValueError
        For arguments that can't be; nothing is fitted then.
    ExceptionGroup
        Of what single fits raised, each with a note that names the estimator; all others are fitted.
    KeyboardInterrupt
        By Ctrl-C: all stop between two steps and hold what they have learned so far, as after `fit`.
    """
    models = list(estimators)
    _check(models)
    checks.integer(1, None, high=threads.MAX_THREADS)("n_threads", n_threads)
    parameters.verbosity("verbose", verbose)
    if not models:
        return models
    watchers = _watchers(callbacks, models)
    data = _data(models, X, sample_weight, X_val)
    failures: dict[int, BaseException] = {}
    tasks = _tasks(models, X, data, watchers, failures)
    together = threads.num_threads(n_threads)
    with ExitStack() as ends:
        heard: Callable[[], object] = lambda: None  # noqa: E731
        if verbose:
            from tqdm.auto import tqdm

            bar = ends.enter_context(tqdm(total=len(models), unit=" models"))
            bar.update(len(failures))
            heard = bar.update
        Crew(_jobs(tasks, together), together, failures, heard).run()
    if failures:
        numbers = sorted(failures)
        for i in numbers:
            failures[i].add_note(f"raised by estimators[{i}], {checks.shown(models[i])}")
        named = ", ".join(f"[{i}]" for i in numbers)
        raise BaseExceptionGroup(
            f"{len(numbers)} of {len(models)} estimators couldn't be fitted: {named}; all others are",
            [failures[i] for i in numbers],
        )
    return models


def _check(models: list[Any]) -> None:
    """TypeError for what is no estimator of aefast, ValueError for one that stands twice."""
    first: dict[int, int] = {}
    for i, model in enumerate(models):
        if not isinstance(model, BaseAutoencoder):
            raise checks.wrong_type(f"estimators[{i}] must be one of aefast's estimators", model)
        if type(model).fit is not BaseAutoencoder.fit:
            raise TypeError(
                f"estimators[{i}] is a {type(model).__name__}, whose class has a fit of its own that fit_many would pass by; "
                "call that"
            )
        if id(model) in first:
            raise ValueError(
                f"estimators[{first[id(model)]}] and estimators[{i}] are the same object, which can be fitted once only; "
                "use sklearn.base.clone"
            )
        first[id(model)] = i


def _watchers(callbacks: Any, models: list[Any]) -> list[list[Callback]]:
    """Each model's callbacks; ValueError where two models share one, which would mix up what it remembers of them."""
    made = [as_callbacks(entry) for entry in _entries(callbacks, models)]
    owner: dict[int, int] = {}
    for i, watchers in enumerate(made):
        for watcher in watchers:
            first = owner.setdefault(id(watcher), i)
            if first != i:
                raise ValueError(
                    f"estimators[{first}] and estimators[{i}] share the callback {checks.shown(watcher)}, which would mix "
                    "them up; give each its own: callbacks=lambda estimator: [...] makes them"
                )
    return made


def _entries(callbacks: Any, models: list[Any]) -> list[Any]:
    if callbacks is None:
        return [[] for _ in models]
    if callable(callbacks) and not isinstance(callbacks, (Callback, type)):
        return [callbacks(model) for model in models]
    if isinstance(callbacks, (Callback, type, str)) or not isinstance(callbacks, Iterable):
        raise checks.wrong_type(
            "callbacks must be a function that makes the callbacks of an estimator, or a sequence with an entry for each",
            callbacks,
        )
    entries = list(callbacks)
    if len(entries) != len(models):
        raise ValueError(
            f"callbacks must have an entry for each of the {len(models)} estimators, but has {len(entries)}; give a "
            "function of an estimator to make them"
        )
    return entries


def _data(models: list[Any], X: Any, sample_weight: Any, X_val: Any) -> list[Data]:
    """What each model reads, checked once: one object where the weights are the same too."""
    own_weights = _weights_of_each(sample_weight, len(models))
    by_kind: dict[object, Data] = {}
    for model in models:  # some kinds take images for rows, and no sparse rows
        kind = type(model)._read
        if kind not in by_kind:
            by_kind[kind] = training.read(model, X, sample_weight if own_weights is None else None, X_val)
    found = [by_kind[type(model)._read] for model in models]
    if own_weights is None:
        return found
    made = []
    for i, (data, weights) in enumerate(zip(found, own_weights, strict=True)):
        try:
            own = as_weights(weights, len(data.X))
        except (TypeError, ValueError) as error:
            error.add_note(f"raised by sample_weight[{i}]")
            raise
        made.append(Data(data.X, own, data.X_val))
    return made


def _weights_of_each(sample_weight: Any, n_models: int) -> Any:
    """The weights as a row for each model, or None where they are for all."""
    if hasattr(sample_weight, "tocsr"):
        raise TypeError(
            f"sample_weight must be a dense array, but is a sparse {type(sample_weight).__name__}; use its toarray()"
        )
    refuse_masked("sample_weight", sample_weight)
    wanted = f"sample_weight must have shape (n,) or ({n_models}, n), a row for each estimator"
    if isinstance(sample_weight, (list, tuple)):
        lengths = sorted({np.size(row) for row in sample_weight})
        if len(lengths) > 1:
            raise ValueError(f"{wanted}, but its rows have from {lengths[0]} to {lengths[-1]} entries")
    if sample_weight is None or np.ndim(sample_weight) < 2:
        return None
    rows = np.asarray(sample_weight)
    if rows.ndim > 2 or len(rows) != n_models:
        raise ValueError(f"{wanted}, but has shape {rows.shape}")
    return rows


def _tasks(
    models: list[Any],
    X: Any,
    data: list[Data],
    watchers: list[list[Callback]],
    failures: dict[int, BaseException],
) -> list[Task]:
    """The fits, with seeds drawn in the models' order; those whose parameters can't be are failures."""
    tasks = []
    for i, (model, read) in enumerate(zip(models, data, strict=True)):
        try:
            model._check_parameters()
            seed = parameters.seed_of(model.random_state)
            cost = model._cost(X, read.X.shape[1]) * len(read.X) * int(model.epochs)
        except (TypeError, ValueError) as error:
            failures[i] = error
            continue
        reads = _reads(model, read, seed)
        tasks.append(Task(i, model, X, read, watchers[i], seed, cost, reads))
    return tasks


def _reads(model: Any, data: Data, seed: int) -> object:
    X: Any = data.X
    if isinstance(X, SparseRows) or X.shape[1] > NARROW:
        return None
    if model._learns_on() or model.dtype not in SHARED_DTYPES:
        return None
    auto = isinstance(model.batch_size, str)
    batch = model._auto_batch(len(X), True) if auto else int(model.batch_size)
    held_out = float(model.validation_fraction) if model.early_stopping and data.X_val is None else None
    return (
        *(id(data), seed, bool(model.shuffle), auto, batch, held_out),
        *(model._scaling_name(X), model.dtype, model.backend),
    )


def _jobs(tasks: list[Task], n_threads: int) -> list[Job]:
    """Wide jobs of one model that is worth several threads; of the others, those that read alike in one job."""
    work = sum(task.cost for task in tasks)
    jobs, alike = [], dict[object, list[Task]]()
    for task in sorted(tasks, key=lambda task: -task.cost):
        width = int(n_threads * task.cost / work)
        if width > 1 or task.reads is None:
            jobs.append(Job([task], max(width, 1)))
        else:
            alike.setdefault(task.reads, []).append(task)
    # Not so many together that a thread stays without a job.
    size = min(TOGETHER, math.ceil(sum(map(len, alike.values())) / n_threads))
    for group in alike.values():
        jobs += [Job(group[i : i + size], 1) for i in range(0, len(group), size)]
    return jobs
