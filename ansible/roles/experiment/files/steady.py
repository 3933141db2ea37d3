"""Wait until the stack is in its steady state, or say why it is not.

Steady means: every scrape target is up; every replica has answered lately; no request failed or
waits; and requests take no longer than what they usually take, read from the last hour's history.

Usage: steady.py --prometheus URL --replicas N --patience SECONDS [--scrapes-every SECONDS]

Exits with 0 when all of that holds; with 3 and one line per condition that did not hold in time, or
the one that says why Prometheus did not answer: it may be away for a while.
"""

import argparse
import math
import sys
import time

from rca_benchmark.errors import ExportError
from rca_benchmark.export.endpoint import Endpoint, resolve
from rca_benchmark.export.promql import instant_query

LATELY = "15s"
# One look at a time, as the next comes a second later.
LIMITS = {"attempts": 1, "timeout_s": 10}
# Of the time that requests take; a recovered fault lies well below, noise above is rare.
TOLERANCE = 1.5
MEAN_LATENCY = (
    f"sum(rate(ray_serve_deployment_processing_latency_ms_sum[{LATELY}]))"
    f" / (sum(rate(ray_serve_deployment_processing_latency_ms_count[{LATELY}])) > 0)"
)
# The lower quartile over the last hour: faults fill less than half of it.
USUAL_LATENCY = f"quantile_over_time(0.25, ({MEAN_LATENCY})[1h:5s])"


def queries(scrapes_every_s: int) -> dict[str, str]:
    """Return what is asked, by name; looks back so far that one scrape at least is in it."""
    return {
        "targets down": "count(up == 0) or vector(0)",
        "replicas that answer": (
            f"count(sum by (service) (increase(ray_vllm_generation_tokens_total[{LATELY}])) > 0)"
        ),
        "requests failed": (
            f"sum(increase(ray_serve_deployment_error_counter_total[{LATELY}])) or vector(0)"
        ),
        "requests waiting": (
            f"sum(last_over_time(ray_vllm_num_requests_waiting[{2 * scrapes_every_s}s]))"
        ),
        "latency": MEAN_LATENCY,
        "usual latency": USUAL_LATENCY,
    }


def look(server: Endpoint, scrapes_every_s: int) -> dict[str, float]:
    """Return the current value of every query; NaN where it has no answer."""
    values = {}
    for name, query in queries(scrapes_every_s).items():
        found = instant_query(server, query)
        values[name] = found[0][1] if found else math.nan
    return values


def unmet(values: dict[str, float], replicas: int) -> list[str]:
    """Return one line per condition that does not hold; NaN meets none."""
    limit = TOLERANCE * values["usual latency"]
    expected = {
        "targets down": values["targets down"] == 0,
        "replicas that answer": values["replicas that answer"] == replicas,
        "requests failed": values["requests failed"] == 0,
        "requests waiting": values["requests waiting"] == 0,
        "latency": values["latency"] <= limit,
    }
    lines = [f"{name}: {values[name]:g}" for name, holds in expected.items() if not holds]
    usual = f" ms, usual are {values['usual latency']:g} ms"
    return [line + usual if line.startswith("latency") else line for line in lines]


def problems(server: Endpoint, scrapes_every_s: int, replicas: int) -> list[str]:
    """Look once; returns why the stack is not steady, or that nobody can tell."""
    try:
        return unmet(look(server, scrapes_every_s), replicas)
    except ExportError as error:
        return [str(error)]


def main() -> None:
    """Look once a second."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prometheus", required=True)
    parser.add_argument("--replicas", type=int, required=True)
    parser.add_argument("--patience", type=float, required=True)
    parser.add_argument("--scrapes-every", type=int, default=1)
    args = parser.parse_args()
    deadline = time.monotonic() + args.patience
    try:
        server = resolve("prometheus", args.prometheus, LIMITS)
    except ExportError as error:
        sys.exit(str(error))
    while lines := problems(server, args.scrapes_every, args.replicas):
        if time.monotonic() > deadline:
            print("\n".join(lines))
            sys.exit(3)
        time.sleep(1)


if __name__ == "__main__":
    main()
