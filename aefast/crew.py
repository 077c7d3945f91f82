"""Threads that fit estimators: each takes one job after the other; the models of a job take turns on the same rows."""

from __future__ import annotations

import contextvars
import dataclasses
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aefast import interrupts, threads
from aefast.callbacks import Callback
from aefast.data.shared import SharedRows
from aefast.estimators import training
from aefast.estimators.base import BaseAutoencoder
from aefast.estimators.training import Data


@dataclass(frozen=True)
class Task:
    """One estimator's fit."""

    number: int
    model: BaseAutoencoder
    X: Any
    data: Data
    watchers: list[Callback]
    seed: int
    cost: float
    reads: object
    """Equal where tasks read the same rows in the same order; None where nothing can be shared."""


@dataclass(frozen=True)
class Job:
    """Tasks that take turns on the same rows, and the threads they get."""

    tasks: list[Task]
    width: int

    @property
    def cost(self) -> float:
        """Of all together."""
        return sum(task.cost for task in self.tasks)


class Crew:
    """Threads that take one job after the other, the costliest first, never more together than there are threads."""

    def __init__(
        self,
        jobs: list[Job],
        n_threads: int,
        failures: dict[int, BaseException],
        heard: Callable[[], object],
    ) -> None:
        self.jobs = deque(sorted(jobs, key=lambda job: -job.cost))
        self.free, self.size = n_threads, min(n_threads, len(jobs))
        self.failures, self.heard = failures, heard
        self.changed = threading.Condition()
        self.working = 0
        self.stop = threading.Event()
        self.interrupt: BaseException | None = None

    def run(self) -> None:
        """Until all is done. What interrupts the main thread, or a job, ends all and is raised then."""
        if self.size <= 1:
            self.working = 1
            self._work()
        else:
            self._run_threads()
        if self.interrupt is not None:
            for i, error in sorted(self.failures.items()):
                self.interrupt.add_note(f"estimators[{i}] had failed with {error!r}")
            raise self.interrupt

    def _run_threads(self) -> None:
        try:
            with interrupts.DeferredSignals():  # all or none are counted
                for _ in range(self.size):
                    self._start_thread()
        except BaseException as error:  # noqa: BLE001 (raised when all have stopped)
            self._stop_for(error)
        while self.working:
            try:
                with self.changed:
                    # Not for ever: a signal that another thread of this process sends doesn't wake it.
                    self.changed.wait_for(lambda: not self.working, timeout=0.1)
            except BaseException as error:  # noqa: BLE001
                self._stop_for(error)

    def _start_thread(self) -> None:
        # Warning filters and NumPy's error state are the caller's.
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(self._work,), name="aefast-fit")
        with self.changed:
            self.working += 1
        try:
            thread.start()
        except RuntimeError:  # no more to be had: those there are do it
            with self.changed:
                self.working -= 1
            if not self.working:
                raise

    def _work(self) -> None:
        try:
            with interrupts.stopped_by(self.stop):
                while (job := self._take()) is not None:
                    try:
                        with threads.limited(job.width):
                            self._train(job)
                    except BaseException as error:  # noqa: BLE001 (of Ctrl-C's kind: a fit's own errors are noted)
                        self._stop_for(error)
                    with self.changed:
                        self.free += job.width
                        self.changed.notify_all()
        finally:
            with self.changed:
                self.working -= 1
                self.changed.notify_all()

    def _take(self) -> Job | None:
        """The costliest job for which there are threads; None where no job is left."""
        with self.changed:
            while self.jobs and not self.stop.is_set():
                for job in self.jobs:
                    if job.width <= self.free:
                        self.jobs.remove(job)
                        self.free -= job.width
                        return job
                self.changed.wait()
            return None

    def _stop_for(self, error: BaseException) -> None:
        with self.changed:
            # Who was stopped by the flag raises a KeyboardInterrupt as well; the first is the cause.
            self.interrupt = self.interrupt or error
            self.stop.set()
            self.changed.notify_all()

    def _train(self, job: Job) -> None:
        """A piece of an epoch of each model in turn, until all have finished."""
        data: Data | None = None
        running = {}
        for task in job.tasks:
            try:
                data = data or _readied(task, shared=len(job.tasks) > 1)
            except Exception as error:  # noqa: BLE001 (whatever a fit raises is that estimator's)
                self._done(task, error)
                continue
            running[task.number] = task, task.model._fitting(task.X, data, task.watchers, task.seed)
        try:
            while running:
                for task, fitting in list(running.values()):
                    try:
                        next(fitting)
                    except StopIteration:
                        del running[task.number]
                        self._done(task)
                    except Exception as error:  # noqa: BLE001
                        del running[task.number]
                        self._done(task, error)
        finally:
            for task, fitting in running.values():
                try:
                    fitting.close()
                except Exception as error:  # noqa: BLE001 (of a callback, at the end)
                    self._done(task, error)

    def _done(self, task: Task, error: BaseException | None = None) -> None:
        with self.changed:
            if error is not None:
                self.failures[task.number] = error
            self.heard()


def _readied(task: Task, *, shared: bool) -> Data:
    """What the fit reads, with rows held out where it wants some, and the rest to be shared."""
    data = training.with_held_out(task.model, task.data, task.seed)
    return dataclasses.replace(data, shared=SharedRows(data.X, data.weight)) if shared else data
