"""A fitting contender's own process: `python -m bench.fit_worker SUBJECT CONTENDER`, spoken to in lines of JSON."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import asdict

from bench.fits import Data, subject
from bench.worker import Answer, serve


def main() -> None:
    about, name = subject(sys.argv[1]), sys.argv[2]
    entry = about.contenders[name]

    def start() -> tuple[dict[str, str], Callable[[Answer], Answer]]:
        fit = getattr(importlib.import_module(f"bench.fits.{entry.module}"), entry.function)
        made: dict[tuple[str, int], Data] = {}

        def obey(command: Answer) -> Answer:
            key = command["data"], command["seed"]
            if key not in made:
                made.clear()
                made[key] = about.data[key[0]](key[1])
            began = time.perf_counter()
            result = fit(made[key], command["seed"], command["epochs"])
            return {"status": "ran", "wall": time.perf_counter() - began, **asdict(result)}

        return {}, obey

    serve(entry.requires, start)


if __name__ == "__main__":
    main()
