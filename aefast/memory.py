"""Where a plan's buffers lie: matrices of batch rows, vectors and scalars, one behind the other."""

from __future__ import annotations

import math
from dataclasses import replace

from aefast.plan import Ref

LINE = 16  # elements: buffers and rows start on 64-byte lines in float32
ALIASING = 256  # a leading dimension that is a multiple of this (1 KiB) maps many rows to few cache sets


class Memory:
    """Hands out the arena and the statistics buffer."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.buffers: dict[str, Ref] = {}
        self.arena_size = 0
        self.stats_size = 0

    def rows(self, name: str, cols: int) -> Ref:
        """A matrix with one row per batch row (B, cols)."""
        stride = math.ceil(cols / LINE) * LINE
        stride += LINE if stride % ALIASING == 0 else 0
        return self._arena(name, Ref("arena", 0, self.batch, cols, stride, batch=0), self.batch * stride)

    def per_row(self, name: str) -> Ref:
        """A vector with one element per batch row (B,)."""
        return self._arena(name, Ref("arena", 0, 1, self.batch, self.batch, batch=1, vector=True), self.batch)

    def vector(self, name: str, cols: int) -> Ref:
        """A vector (cols,)."""
        return self._arena(name, Ref("arena", 0, 1, cols, cols, vector=True), cols)

    def stats(self, name: str, n: int) -> Ref:
        """n float64 scalars."""
        ref = Ref("stats", self.stats_size, 1, n, n, vector=True)
        self.stats_size += n
        self.buffers[name] = ref
        return ref

    def _arena(self, name: str, ref: Ref, size: int) -> Ref:
        ref = replace(ref, offset=self.arena_size)
        self.arena_size += math.ceil(size / LINE) * LINE
        self.buffers[name] = ref
        return ref
