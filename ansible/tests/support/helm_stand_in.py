"""Stands in for the command `helm`, as kubernetes.core.helm calls it: releases are Secrets.

Like the real one it keeps a release in its namespace and fails if that is not there. What a chart
would bring is played by the test, which sees the Secret.
"""

import base64
import io
import json
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import requests
import yaml


def call(method: str, path: str, body: Any = None) -> Any:
    """Ask the API server that KUBECONFIG leads to."""
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    url = config["clusters"][0]["cluster"]["server"] + path
    headers = {"Content-Type": "application/merge-patch+json"}
    answer = requests.request(method, url, json=body, headers=headers, timeout=30)
    answer.raise_for_status()
    return answer.json()


def chart(archive: str) -> dict[str, Any]:
    """Read the Chart.yaml of an archive."""
    with tarfile.open(archive) as tar:
        (name,) = (n for n in tar.getnames() if n.count("/") == 1 and n.endswith("/Chart.yaml"))
        file = tar.extractfile(name)
        assert isinstance(file, io.BufferedReader)
        about: dict[str, Any] = yaml.safe_load(file)
        return about


def releases(namespace: str) -> dict[str, dict[str, Any]]:
    """Return the namespace's releases by name."""
    found = call("GET", f"/api/v1/namespaces/{namespace}/secrets?labelSelector=owner=helm")
    return {
        item["metadata"]["labels"]["name"]: json.loads(base64.b64decode(item["data"]["release"]))
        for item in found["items"]
    }


def upgrade(namespace: str, name: str, archive: str, values: dict[str, Any]) -> None:
    """Install or upgrade a release."""
    secret = f"sh.helm.release.v1.{name}"
    path = f"/api/v1/namespaces/{namespace}/secrets"
    about = {"name": secret, "labels": {"owner": "helm", "name": name}}
    release = json.dumps({"chart": chart(archive), "values": values})
    body = {"metadata": about, "stringData": {"release": release}}
    try:
        call("POST", path, body)
    except requests.HTTPError as error:
        if error.response.status_code != 409:
            sys.exit(f"Error: {error.response.json()['message']}")
        call("PATCH", f"{path}/{secret}", body)


def main() -> None:
    """Do as told by the first word."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    options = dict(w.lstrip("-").split("=", 1) for w in sys.argv[1:] if w[0] == "-" and "=" in w)
    namespace = os.environ.get("HELM_NAMESPACE", "default")
    command = words[0]
    if command == "version":
        print('version.BuildInfo{Version:"v3.22.0", GitCommit:"", GoVersion:""}')
    elif command == "plugin":
        print("NAME\tVERSION\tDESCRIPTION")
    elif command == "show":
        print(yaml.safe_dump(chart(words[2])))
    elif command == "list":
        listed = [
            {
                "name": name,
                "namespace": namespace,
                "revision": "1",
                "status": "deployed",
                "chart": f"{about['chart']['name']}-{about['chart']['version']}",
                "app_version": about["chart"].get("appVersion", ""),
            }
            for name, about in releases(namespace).items()
        ]
        print(yaml.safe_dump(listed))
    elif command == "get":
        print(yaml.safe_dump(releases(namespace)[words[2]]["values"]))
    elif command == "upgrade":
        values: dict[str, Any] = {}
        if "f" in options:
            values = yaml.safe_load(Path(options["f"]).read_text()) or {}
        upgrade(namespace, words[-2], words[-1], values)
    elif command == "uninstall":
        call("DELETE", f"/api/v1/namespaces/{namespace}/secrets/sh.helm.release.v1.{words[-1]}")
    else:
        sys.exit(f"Error: unknown command {sys.argv[1:]}")


if __name__ == "__main__":
    main()
