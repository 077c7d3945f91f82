"""A contender's own process: `python -m bench.worker CONTENDER NET BACKEND`, spoken to in lines of JSON.

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
from typing import Any

import numpy as np

from bench import nets
from bench.contenders import CONTENDERS


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(**message: Any) -> None:
        answers.write(json.dumps(message) + "\n")

    name, net, backend = sys.argv[1], nets.find(sys.argv[2]), sys.argv[3]
    entry = CONTENDERS[name]
    if importlib.util.find_spec(entry.requires) is None:
        answer(status="not installed", detail=f"no module {entry.requires}")
        return
    try:
        contender = importlib.import_module(entry.module).Contender(net, entry.option, backend)
        answer(status="ready", versions={"numpy": np.__version__, **contender.versions()})
        for line in sys.stdin:
            command = json.loads(line)
            if command["do"] == "check":
                losses, params = contender.check()
                np.savez(command["path"], *[array for layer in params for array in layer])
                answer(status="checked", losses=losses)
            elif command["do"] == "run":
                start = time.perf_counter()
                contender.run(command["epochs"])
                answer(status="ran", seconds=time.perf_counter() - start)
            else:
                break
    except Exception as error:  # the driver prints it in the contender's row; the traceback is on stderr
        answer(status="error", detail=f"{type(error).__name__}: {error}".splitlines()[0])
        raise


if __name__ == "__main__":
    main()
