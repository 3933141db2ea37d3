"""Every object that the cluster's roles send, held against a real API server where there is one."""

import importlib
import os
from pathlib import Path
from typing import Any

import pytest
from cluster_rendering import ROLES, documents


@pytest.mark.parametrize("role", ROLES)
def test_a_real_api_takes_our_objects(rendered: Path, role: str) -> None:
    """Server-side, as a dry run, in the namespace `default`, which every cluster has."""
    config = os.environ.get("KUBECONFIG_TEST")
    if not config:
        pytest.skip("needs an API server: set KUBECONFIG_TEST to a kubeconfig")
    config_of: Any = importlib.import_module("kubernetes.config")
    dynamic: Any = importlib.import_module("kubernetes.dynamic")  # the library has no types

    client = dynamic.DynamicClient(config_of.new_client_from_config(config))
    lacking = set()
    for _, document in documents(rendered, role):
        about = {"api_version": document["apiVersion"], "kind": document["kind"]}
        try:
            kind = client.resources.get(**about)
        except dynamic.exceptions.ResourceNotFoundError:
            lacking.add("{kind} of {api_version}".format(**about))
            continue
        place = {}
        if "namespace" in document["metadata"]:
            place = {"namespace": "default"}
            document["metadata"]["namespace"] = "default"
        options = {"dry_run": "All", "field_manager": "rca-llm-test", "force_conflicts": True}
        client.server_side_apply(kind, document, **place, **options)
    if lacking:
        pytest.skip(f"the cluster has no {', '.join(sorted(lacking))}; it took all the others")
