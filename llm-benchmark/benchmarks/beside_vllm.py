"""What the generator counts beside what vLLM itself counts, of one and the same load.

Requests and tokens must agree exactly. The times must agree but for what lies between the two: the
network, the proxy and Ray Serve, which vLLM does not see.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

HELP = f"""{__doc__}
example, with the local stack running (ansible-playbook execute-experiment.yaml --tags deploy ...):

  .venv/bin/python llm-benchmark/benchmarks/beside_vllm.py --url http://10.77.0.10:8000 \\
      --prometheus http://127.0.0.1:19090 --model MODEL --rate 2 --seconds 120
"""
COUNTERS = {
    "requests": "request_success_total",
    "prompt tokens": "prompt_tokens_total",
    "output tokens": "generation_tokens_total",
    "TTFT, s in all": "time_to_first_token_seconds_sum",
    "TTFT, number": "time_to_first_token_seconds_count",
    "end to end, s in all": "e2e_request_latency_seconds_sum",
}
# Ray hands on metrics every few seconds, and Prometheus scrapes them every second.
SETTLE_S = 3
MOST_SETTLES = 20


def main() -> int:
    """Run the load between two readings of the counters; 1: the counts differ."""
    chosen = _options()
    before = settled(chosen.prometheus, chosen.prefix)
    with tempfile.TemporaryDirectory() as folder:
        ours = run(chosen, Path(folder))
    after = settled(chosen.prometheus, chosen.prefix, more_than=before)
    theirs = {name: after[name] - before[name] for name in COUNTERS}
    return show(ours, theirs)


def run(chosen: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Send the load and return its summary."""
    command: list[str | Path] = [Path(sys.executable).with_name("llm-benchmark"), "run"]
    command += ["--url", chosen.url, "--provider", "vllm", "--model", chosen.model]
    command += ["--rate", str(chosen.rate), "--duration", f"{chosen.seconds}s"]
    command += ["--arrivals", "poisson", "--prompt-tokens", "uniform:min=8,max=64"]
    command += ["--output-tokens", "uniform:min=4,max=24", "--seed", "1", "--out", out]
    command += ["--transport", chosen.transport]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    summary: dict[str, Any] = json.loads((out / "load-summary.json").read_text(encoding="utf-8"))
    return summary


def settled(
    prometheus: str, prefix: str, more_than: dict[str, float] | None = None
) -> dict[str, float]:
    """Return the counters once they stand still, and are not those of before."""
    last: dict[str, float] = {}
    for _ in range(MOST_SETTLES):
        now = {name: _sum(prometheus, f"{prefix}_{metric}") for name, metric in COUNTERS.items()}
        if now == last and now != more_than:
            return now
        last = now
        time.sleep(SETTLE_S)
    raise SystemExit("beside_vllm.py: the server's counters do not come to rest; is it in use?")


def show(ours: dict[str, Any], theirs: dict[str, float]) -> int:
    """Print both sides; return 1 where counts differ."""
    rows = {
        "requests": (ours["requests"], theirs["requests"]),
        "prompt tokens": (ours["prompt_tokens"], theirs["prompt tokens"]),
        "output tokens": (ours["output_tokens"], theirs["output tokens"]),
        "mean TTFT, ms": (ours["ttft_ms"]["mean"], _mean_ms(theirs, "TTFT, s in all")),
        "mean end to end, ms": (ours["e2e_ms"]["mean"], _mean_ms(theirs, "end to end, s in all")),
    }
    print("| | llm-benchmark | vLLM | difference |\n|---|---|---|---|")
    for name, (one, other) in rows.items():
        print(f"| {name} | {one:.10g} | {other:.10g} | {one - other:.4g} |")
    print(f"\nerrors {ours['errors']}, {'valid' if ours['valid'] else ours['reason']}")
    counts = list(rows.values())[:3]
    return int(any(one != other for one, other in counts))


def _mean_ms(counters: dict[str, float], name: str) -> float:
    return counters[name] / counters["TTFT, number"] * 1000


def _sum(prometheus: str, metric: str) -> float:
    query = urlencode({"query": f"sum({metric})"})
    with urlopen(f"{prometheus}/api/v1/query?{query}") as answer:  # noqa: S310 the user's address
        result = json.load(answer)["data"]["result"]
    return float(result[0]["value"][1]) if result else 0.0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True, help="where the load goes")
    parser.add_argument("--prometheus", required=True, help="Prometheus that scrapes vLLM")
    parser.add_argument("--model", required=True, help="the model's name")
    parser.add_argument("--prefix", default="ray_vllm", help="of the metrics (default ray_vllm)")
    parser.add_argument("--rate", type=float, default=2.0, help="requests/s (default 2)")
    parser.add_argument("--seconds", type=int, default=120, help="length (default 120)")
    parser.add_argument("--transport", default="aiohttp", help="aiohttp (default) or raw")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
