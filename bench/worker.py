"""A contender's own process: `python -m bench.worker CONTENDER NET BACKEND DATA`, spoken to in lines of JSON.

It blocks on stdin between its turns, so that it takes no core from the others. Answers go to the original
stdout; whatever a library prints goes to stderr.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import nets
from bench.contenders import CONTENDERS

Answer = dict[str, Any]


def main() -> None:
    name, net, backend = sys.argv[1], nets.find(sys.argv[2]), sys.argv[3]
    entry = CONTENDERS[name]

    def start() -> tuple[dict[str, str], Callable[[Answer], Answer]]:
        module = importlib.import_module(f"bench.contenders.{entry.module}")
        contender = module.Contender(net, np.load(sys.argv[4]), entry.option, backend)

        def obey(command: Answer) -> Answer:
            began = time.perf_counter()
            if command["do"] == "check":
                losses, params = contender.check()
                seconds = time.perf_counter() - began
                np.savez(command["path"], *[array for layer in params for array in layer])
                steps = getattr(contender, "check_steps", net.n_check_steps)
                return {"status": "checked", "losses": losses, "seconds": seconds, "steps": steps}
            contender.run(command["epochs"])
            return {"status": "ran", "seconds": time.perf_counter() - began}

        return contender.versions(), obey

    serve(entry.requires, start)


def serve(requires: str, start: Callable[[], tuple[dict[str, str], Callable[[Answer], Answer]]]) -> None:
    """Answers commands until stdin ends. `start` gives versions and what obeys a command."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(message: Answer) -> None:
        answers.write(json.dumps(message) + "\n")

    if importlib.util.find_spec(requires) is None:
        answer({"status": "not installed", "detail": f"no module {requires}"})
        return
    try:
        versions, obey = start()
        answer({"status": "ready", "versions": {"numpy": np.__version__, **versions}})
        for line in sys.stdin:
            answer(obey(json.loads(line)))
    except Exception as error:  # the driver prints it in the contender's row; the traceback is on stderr
        answer({"status": "error", "detail": f"{type(error).__name__}: {error}".splitlines()[0]})
        raise


if __name__ == "__main__":
    main()
