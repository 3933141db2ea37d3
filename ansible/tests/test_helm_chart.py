"""The role helm_chart by itself, with a stand-in for helm."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from played_cluster import Cluster

LOKI = {"helm_chart_name": "loki", "helm_chart_namespace": "default"}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.close()


def install(cluster: Cluster, trouble: str = "", **variables: object) -> tuple[bool, str]:
    """Run the role; returns whether it succeeded, and what it printed."""
    cluster.trouble = {"loki": trouble}
    status, printed = cluster.role("name=helm_chart", **LOKI, **variables)
    return status == 0, printed


@pytest.mark.slow
def test_what_a_failed_or_killed_run_leaves_is_mended_by_the_next(cluster: Cluster) -> None:
    done, printed = install(cluster, "schema", helm_chart_values={"replicas": "many"})
    assert not done
    assert "chart loki" in printed
    assert "don't meet the specifications of the schema" in printed
    assert cluster.releases() == {}

    for trouble, left in (("killed", "pending-install"), ("fails", "failed")):
        assert not install(cluster, trouble)[0]
        assert [r["status"] for r in cluster.revisions("loki")] == [left]
    done, printed = install(cluster)
    assert done, printed
    assert [r["status"] for r in cluster.revisions("loki")] == ["deployed"]

    values = {"replicas": 2}
    assert not install(cluster, "fails", helm_chart_values=values)[0]
    assert [r["status"] for r in cluster.revisions("loki")] == ["deployed", "failed"]
    done, printed = install(cluster, helm_chart_values=values)
    assert done, printed
    assert "release loki is failed: revision 1 is brought back first" in printed
    assert cluster.revisions("loki")[-1]["status"] == "deployed"
    assert cluster.values("loki") == values

    assert not install(cluster, "kept", helm_chart_state="absent")[0]
    assert cluster.revisions("loki")[-1]["status"] == "uninstalling"
    done, printed = install(cluster, helm_chart_state="absent")
    assert done, printed
    assert cluster.releases() == {}


@pytest.mark.parametrize("trouble", ["", "fails"])
def test_secrets_in_values_are_not_printed(cluster: Cluster, trouble: str) -> None:
    cluster.api.put({"kind": "Namespace", "metadata": {"name": "deepflow"}})
    cluster.trouble = {"deepflow": trouble}
    status, printed = cluster.role("name=deepflow", "-vv", vault_deepflow_password="s3cr3t")
    assert (status != 0) == bool(trouble), printed
    assert cluster.values("deepflow")["global"]["password"]["mysql"] == "s3cr3t"
    assert "s3cr3t" not in printed
    assert ("the reason is not shown; see what its pods say" in printed) == bool(trouble)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("loki", "name=helm_chart"),
        ("helm", "name=helm_chart"),
        ("gateway_api", "name=istio tasks_from=gateway_api"),
    ],
)
def test_what_has_another_checksum_is_not_used(cluster: Cluster, name: str, role: str) -> None:
    other = dict.fromkeys(("all", "amd64", "arm64"), "0" * 64)
    cluster.variables["checksums"][name] |= other
    status, printed = cluster.role(role, **LOKI)
    assert status != 0
    assert "did not match" in printed
    assert cluster.releases() == {}
    assert cluster.api.of_kind("CustomResourceDefinition") == []
