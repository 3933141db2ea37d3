"""Run a plan over a Ray cluster, with Ray's own scheduler: one task per case, one core each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rca_benchmark.errors import BenchError
from rca_benchmark.evaluation.runner import known_of, run_case
from rca_benchmark.evaluation.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rca_benchmark.dataset import CaseRef
    from rca_benchmark.evaluation.plan import Plan
    from rca_benchmark.evaluation.results import Row
    from rca_benchmark.evaluation.runner import Known


def rows_from_ray(
    plan: Plan, versions: Mapping[str, str], known: Known, address: str
) -> Iterator[Row]:
    """Rows as they come. ``local`` as address starts a Ray of its own on this machine.

    Within a task, methods run in the same kind of worker process as without Ray, under the same
    limits. The nodes must see the data sets under the same paths.

    Raises:
        BenchError: Ray is not installed, cannot be reached, or a task fails for good.
    """
    try:
        import ray
    except ImportError as error:
        raise BenchError("--ray needs Ray: install rca-llm[ray]") from error
    try:
        ray.init(address=address, include_dashboard=None if address != "local" else False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise BenchError(f"--ray {address}: {error}") from error
    try:
        task = ray.remote(num_cpus=1)(case_in_ray)
        shared_plan = ray.put(plan)
        pending = [
            task.remote(ref, shared_plan, dict(versions), known_of(ref, known)) for ref in plan.refs
        ]
        while pending:
            finished, pending = ray.wait(pending)
            for rows in ray.get(finished):
                yield from rows
    except ray.exceptions.RayError as error:
        raise BenchError(f"--ray {address}: {error}") from error
    finally:
        ray.shutdown()


def case_in_ray(ref: CaseRef, plan: Plan, versions: Mapping[str, str], known: Known) -> list[Row]:
    """All rows of one case; runs on a node of the cluster."""
    with Worker(plan.limits) as worker:
        return list(run_case(worker, ref, plan, versions, known))
