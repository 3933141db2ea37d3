"""One measurement in a fresh process of this environment: a method, a library, all together.

    python own_worker.py WHAT NAME COLUMNSxROWS SECONDS

WHAT is one of method, library, together, steps. The result is the last line of stdout, as JSON.
"""

import contextlib
import io
import json
import sys

from libraries import LIBRARIES
from measured_case import make_case
from stopwatch import measure

NEURAL = ("causalrca", "cmlp_pagerank")
WARM_UP = (8, 76)


def main():
    """Measure and print."""
    what, name, size, seconds = sys.argv[1:]
    make = {
        "method": make_method_call,
        "library": make_library_call,
        "together": make_call_of_all,
        "steps": make_training_call,
    }[what]
    case, small = make_case(*map(int, size.split("x"))), make_case(*WARM_UP)
    result = measure(lambda: make(name, case), lambda: make(name, small), float(seconds))
    print(f"\n{json.dumps(result)}")


def make_method_call(name, case):
    """One method on a freshly prepared observation, so that nothing is shared."""
    from rca_benchmark.methods import get_method

    return call_of([get_method(name)], case)


def make_call_of_all(name, case):
    """All methods (``all``), or all but those that train networks (``quick``), one after another.

    What several of them need is computed once.
    """
    from rca_benchmark.methods import all_methods

    return call_of([m for m in all_methods() if name == "all" or m.name not in NEURAL], case)


def call_of(methods, case):
    """The methods, as ``evaluate`` calls them; a lone one that refuses raises."""
    import numpy as np

    from rca_benchmark.errors import MethodFailed
    from rca_benchmark.preprocess import Preparation, prepare, without_inject_time

    told = prepare(case, Preparation()).observation
    untold = without_inject_time(told)
    refusals = contextlib.suppress(MethodFailed) if len(methods) > 1 else contextlib.nullcontext()

    def run():
        for method in methods:
            with refusals:
                seen = told if method.uses_inject_time else untold
                method.function(seen, np.random.default_rng(0))

    return run


def make_library_call(name, case):
    """What the library computes instead; most often the graph alone, without a ranking."""
    import numpy as np

    call = LIBRARIES[name].call
    values = case.metrics.iloc[:, 1:].to_numpy()
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)

    def run():
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            call(np.ascontiguousarray(scaled))

    return run


def make_training_call(steps, case):
    """The training of CausalRCA, stopped after so many optimiser steps."""
    import numpy as np

    from rca_benchmark.causal import dag_gnn
    from rca_benchmark.causal.series import complete_series

    dag_gnn.EPOCHS, dag_gnn.ROUNDS = int(steps), 1
    values = complete_series(case.metrics).values
    return lambda: dag_gnn.learn_adjacency(values, np.random.default_rng(0))


if __name__ == "__main__":
    main()
