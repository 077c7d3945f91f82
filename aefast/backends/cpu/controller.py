"""The native thread pool as threadpoolctl sees it; `aefast.threads.adopt` registers it when the native module is loaded."""

from __future__ import annotations

from threadpoolctl import LibController

from aefast import __version__


class Controller(LibController):  # type: ignore[misc]
    """`threadpool_limits(1)`, or with user_api="aefast", limits the pool; its `n_threads=` arguments too.

    A limit that is no lower than the number in force without it limits nothing.
    """

    user_api = internal_api = "aefast"
    filename_prefixes = ("_cpu",)
    # Others call a library so as well: these two tell ours.
    check_symbols = ("aefast_get_num_threads", "aefast_set_num_threads")

    def get_num_threads(self) -> int | None:
        """The number in force; 0 where AEFAST_NUM_THREADS is no number; None of another library."""
        get = getattr(self.dynlib, "aefast_get_num_threads", None)
        return None if get is None else int(get())

    def set_num_threads(self, num_threads: int) -> None:
        """Limits the process."""
        self.dynlib.aefast_set_num_threads(num_threads)

    def get_version(self) -> str:
        """The package's."""
        return __version__
