"""Which columns of a source are wanted, and how columns are named in messages."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aefast.errors import nearest

MISSING = "fill in or remove such rows first (sklearn.impute), or leave the column out with --drop"


@dataclass(frozen=True)
class Selection:
    """Which columns are wanted, by name.

    Attributes
    ----------
    columns : tuple of str or None
        These, in this order, where the source names its columns; the others are left out.
    drop : tuple of str
        All but these; "3" is also the third column.
    header : bool or None
        Whether a CSV file's first line holds names; None: look at it.
    """

    columns: tuple[str, ...] | None = None
    drop: tuple[str, ...] = ()
    header: bool | None = None

    def of(self, names: Sequence[str] | None, width: int, source: object) -> list[int]:
        """Numbers of the wanted ones among `width` columns; ValueError for a name that there isn't."""
        if self.drop:
            gone = {self._dropped(name, names, width, source) for name in self.drop}
            left = [i for i in range(width) if i not in gone]
            if not left:
                raise ValueError(f"{source}: no column is left when {', '.join(self.drop)} are dropped")
        else:
            left = list(range(width))
        if self.columns is None or names is None:
            return left
        place = {names[i]: i for i in left}
        missing = [name for name in self.columns if name not in place]
        if missing:
            raise ValueError(
                f"{source} lacks {listed(missing, 'column')} that the model was fitted on"
                f"{nearest(missing[0], place)}; it has {listed(list(place), 'column')}"
            )
        return [place[name] for name in self.columns]

    def note(self, names: Sequence[str] | None, source: str) -> tuple[str, ...]:
        """Which columns of the source are left out because the model doesn't know them; nothing where there are none."""
        if self.columns is None or names is None:
            return ()
        extra = [name for name in names if name not in self.columns and name not in self.drop]
        return (f"{source}: leaving out {listed(extra, 'column')}, not known to the model",) if extra else ()

    def _dropped(self, name: str, names: Sequence[str] | None, width: int, source: object) -> int:
        if names is not None and name in names:
            return list(names).index(name)
        if name.isdigit() and 1 <= int(name) <= width:
            return int(name) - 1
        known = f"it has {listed(list(names), 'column')}" if names else f"its {width} columns count from 1"
        raise ValueError(f"{source} has no column {name!r} to drop{nearest(name, names or ())}; {known}")


def listed(names: Sequence[str], what: str) -> str:
    """`column 'a'`, `columns 'a', 'b' and 7 more`."""
    shown = [repr(name) for name in names[:5]]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{what}{'s' if len(names) != 1 else ''} {', '.join(shown)}{more}"


def drop_hint(names: Iterable[str]) -> str:
    """`leave out with --drop a,b`, as a shell takes it."""
    return "leave out with --drop " + shlex.quote(",".join(names))
