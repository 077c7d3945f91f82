"""Sparse rows: CSR in the caller's memory, checked once; the gather spreads the rows of a batch, never the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class SparseRows:
    """A matrix (n, d) of which only `values` are stored; everything else is 0. Slicing gives dense rows.

    Row i holds values[indptr[i]:indptr[i + 1]] in the columns indices[indptr[i]:indptr[i + 1]], each column once.

    Parameters
    ----------
    values : (nnz,) integers, float32 or float64
    indices, indptr : (nnz,), (n + 1,) int32 or int64, both of one dtype
    shape : (n, d)
    """

    values: Array
    indices: Array
    indptr: Array
    shape: tuple[int, int]

    @classmethod
    def from_scipy(cls, X: Any, what: str = "X") -> SparseRows:
        """Of any SciPy sparse matrix or array; CSR is used in place where its columns are sorted and stand once.

        Raises TypeError where the values aren't real numbers, ValueError where the structure is broken.
        """
        matrix = X.tocsr()
        if matrix.ndim != 2:
            raise ValueError(
                f"{what} must have two dimensions (rows, features), but has shape {matrix.shape}"
            )
        if matrix.dtype.kind not in "fiub":
            raise TypeError(f"{what} must be numeric (float, int, bool), but its dtype is {matrix.dtype}")
        # Kernels trust the structure: what points outside of the matrix would read foreign memory.
        try:
            matrix.check_format(full_check=True)
        except ValueError as error:
            raise ValueError(f"{what} is no well-formed CSR matrix: {error}") from error
        if not matrix.has_canonical_format:
            matrix = matrix.copy() if matrix is X else matrix
            matrix.sum_duplicates()
        values, indices = matrix.data, matrix.indices
        if values.dtype.kind == "b":
            values = values.view(np.uint8)
        elif values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
            values = values.astype(np.float32 if values.dtype.itemsize < 4 else np.float64)
        elif not values.dtype.isnative:
            values = values.astype(values.dtype.newbyteorder("="))
        nnz = int(matrix.indptr[-1])  # the arrays may be longer than what is in use
        n, d = map(int, matrix.shape)
        return cls(
            np.ascontiguousarray(values[:nnz]),
            np.ascontiguousarray(indices[:nnz]),
            np.ascontiguousarray(matrix.indptr, indices.dtype),
            (n, d),
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        return self.values.dtype

    @property
    def ndim(self) -> int:
        """2."""
        return 2

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | NDArray[Any]) -> Array:
        """The rows of a slice or an index array, dense (k, d)."""
        picked = np.arange(len(self))[rows]
        out = np.zeros((len(picked), self.shape[1]), self.dtype)
        places, counts = self._places(picked)
        out[np.repeat(np.arange(len(picked)), counts), self.indices[places]] = self.values[places]
        return out

    def take(self, rows: NDArray[np.int64]) -> SparseRows:
        """The rows of an index array, sparse."""
        places, counts = self._places(rows)
        indptr = np.concatenate(([0], np.cumsum(counts))).astype(self.indptr.dtype)
        return SparseRows(self.values[places], self.indices[places], indptr, (len(rows), self.shape[1]))

    def copy(self) -> SparseRows:
        """With memory of its own."""
        return SparseRows(self.values.copy(), self.indices.copy(), self.indptr.copy(), self.shape)

    def tobytes(self) -> bytes:
        """The stored arrays one after the other, to tell whether they have changed."""
        return b"".join(part.tobytes() for part in (self.values, self.indices, self.indptr))

    def _places(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the values of these rows stand, one row after the other, and how many each has."""
        starts = self.indptr[rows].astype(np.int64)
        counts = self.indptr[rows + 1].astype(np.int64) - starts
        ends = np.cumsum(counts)
        places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)
        return places, counts


def take(X: Array | SparseRows, rows: NDArray[np.int64]) -> Any:
    """The rows of an index array, of the kind that X is."""
    return X.take(rows) if isinstance(X, SparseRows) else X[rows]
