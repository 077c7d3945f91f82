"""The native thread pool as threadpoolctl sees it; `aefast.threads.adopt` registers it when the native module is loaded."""

from __future__ import annotations

from threadpoolctl import LibController

from aefast import __version__


class Number(int):
    """The number in force, and the limit that was set when it was read (0: none).

    threadpoolctl reads the number when it sets a limit, and sets what it has read when it takes the limit back.
    """

    limit: int

    def __new__(cls, number: int, limit: int) -> Number:
        """Both as they are now."""
        made = super().__new__(cls, number)
        made.limit = limit
        return made


class Controller(LibController):  # type: ignore[misc]
    """`threadpool_limits(1)`, or with user_api="aefast", limits the pool; its `n_threads=` arguments too."""

    user_api = internal_api = "aefast"
    filename_prefixes = ("_cpu",)
    # Others call a library so as well: these tell ours.
    check_symbols = ("aefast_get_num_threads", "aefast_get_limit", "aefast_set_limit")

    def get_num_threads(self) -> int | None:
        """The number in force; 0 where AEFAST_NUM_THREADS is no number; None of another library."""
        get = getattr(self.dynlib, "aefast_get_num_threads", None)
        return None if get is None else Number(get(), self.dynlib.aefast_get_limit())

    def set_num_threads(self, num_threads: int) -> None:
        """Limits the process, or goes back to the limit that was when `num_threads` was read."""
        self.dynlib.aefast_set_limit(num_threads.limit if isinstance(num_threads, Number) else num_threads)

    def get_version(self) -> str:
        """The package's."""
        return __version__
