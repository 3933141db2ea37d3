"""Stands in for the command `helm`, as the role helm_chart and kubernetes.core.helm call it.

Like the real one it keeps releases as Secrets in their namespace, fails if that is not there, lists
only what is deployed or failed unless it is asked for all, and refuses to touch a release that a
killed run left behind. A Secret holds all revisions of its release. What a chart would bring is
played by the test, which sees the Secret.

The variable HELM_STAND_IN, `{"RELEASE": TROUBLE}`, lets a chart be refused before anything is done
("schema"), not become ready ("fails"), its installation ("killed") or removal ("kept") be cut off.
"""

import base64
import http.client
import json
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

Release = dict[str, Any]

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
NAMESPACE = os.environ.get("HELM_NAMESPACE", "default")
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"


def call(method: str, path: str, body: Any = None) -> Any:
    """Ask the API server that KUBECONFIG leads to; ends the program with its refusal."""
    config = yaml.load(Path(os.environ["KUBECONFIG"]).read_text(), LOADER)  # noqa: S506 - a safe one
    server = urlsplit(config["clusters"][0]["cluster"]["server"])
    connection = http.client.HTTPConnection(server.netloc, timeout=30)
    kind = {"Content-Type": "application/merge-patch+json"}
    connection.request(method, path, None if body is None else json.dumps(body), kind)
    with connection.getresponse() as answer:
        result = json.load(answer)
    if answer.status >= 400:
        sys.exit(f"Error: {result['message']}")
    return result


def chart(archive: str) -> dict[str, Any]:
    """Read the Chart.yaml of an archive."""
    with tarfile.open(archive) as tar:
        (name,) = (n for n in tar.getnames() if n.count("/") == 1 and n.endswith("/Chart.yaml"))
        file = tar.extractfile(name)
        assert file is not None
        about: dict[str, Any] = yaml.load(file, LOADER)  # noqa: S506 - a safe one
        return about


def kept(secrets: str) -> Iterator[tuple[str, str, list[Release]]]:
    """Yield namespace, name and revisions, the oldest first, of each release."""
    for item in call("GET", f"{secrets}?labelSelector=owner=helm")["items"]:
        about, text = item["metadata"], base64.b64decode(item["data"]["release"])
        yield about["namespace"], about["labels"]["name"], json.loads(text)


def releases() -> dict[str, list[Release]]:
    """Return the namespace's releases: name -> revisions."""
    return {name: revisions for _, name, revisions in kept(SECRETS)}


def keep(name: str, revisions: list[Release]) -> None:
    """Write a release."""
    secret = f"sh.helm.release.v1.{name}"
    about = {"name": secret, "labels": {"owner": "helm", "name": name}}
    body = {"metadata": about, "stringData": {"release": json.dumps(revisions)}}
    if name in releases():
        call("PATCH", f"{SECRETS}/{secret}", body)
    else:
        call("POST", SECRETS, body)


def deploy(name: str, revisions: list[Release], about: Release, trouble: str) -> None:
    """Add a revision, ready or not."""
    pending = "pending-upgrade" if revisions else "pending-install"
    status = {"fails": "failed", "killed": pending}.get(trouble, "deployed")
    if status == "deployed":
        for revision in revisions:
            revision["status"] = revision["status"].replace("deployed", "superseded")
    keep(name, [*revisions, {**about, "revision": len(revisions) + 1, "status": status}])
    if trouble:
        sys.exit({"fails": "Error: context deadline exceeded", "killed": "killed"}[trouble])


def upgrade(name: str, archive: str, values: dict[str, Any], trouble: str) -> None:
    """Install or upgrade a release."""
    if trouble == "schema":
        sys.exit("Error: values don't meet the specifications of the schema(s)")
    revisions = releases().get(name, [])
    if revisions and "pending" in revisions[-1]["status"]:
        sys.exit(
            "Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress"
        )
    if revisions and revisions[-1]["status"] == "uninstalling":
        sys.exit(f'Error: UPGRADE FAILED: "{name}" has no deployed releases')
    deploy(name, revisions, {"chart": chart(archive), "values": values}, trouble)


def uninstall(name: str, trouble: str) -> None:
    """Remove a release."""
    revisions = releases()[name]
    if trouble == "kept":
        keep(name, [*revisions[:-1], {**revisions[-1], "status": "uninstalling"}])
        sys.exit("killed")
    call("DELETE", f"{SECRETS}/sh.helm.release.v1.{name}")


def listed(everything: bool, everywhere: bool) -> list[dict[str, str]]:
    """Return the latest revision of each release as `helm list` does."""
    return [
        {
            "name": name,
            "namespace": namespace,
            "revision": str(last["revision"]),
            "status": last["status"],
            "chart": f"{last['chart']['name']}-{last['chart']['version']}",
            "app_version": last["chart"].get("appVersion", ""),
        }
        for namespace, name, (*_, last) in kept("/api/v1/secrets" if everywhere else SECRETS)
        if everything or last["status"] in ("deployed", "failed")
    ]


def main() -> None:
    """Do as told by the first word. JSON is YAML, too."""
    command, *words = [word for word in sys.argv[1:] if not word.startswith("-")]
    options = dict(w.lstrip("-").split("=", 1) for w in sys.argv[1:] if w[0] == "-" and "=" in w)
    trouble = json.loads(os.environ.get("HELM_STAND_IN", "{}"))
    if command == "version":
        print('version.BuildInfo{Version:"v3.22.0", GitCommit:"", GoVersion:""}')
    elif command == "plugin":
        print("NAME\tVERSION\tDESCRIPTION")
    elif command == "show":
        print(json.dumps(chart(words[-1])))
    elif command == "list":
        wanted = options.get("filter", "").strip("^$")
        found = listed("--all" in sys.argv, "--all-namespaces" in sys.argv)
        print(json.dumps([r for r in found if wanted in ("", r["name"])]))
    elif command == "history":
        print(json.dumps(releases()[words[-1]]))
    elif command == "get":
        print(json.dumps(releases()[words[-1]][-1]["values"]))
    elif command == "upgrade":
        values = yaml.load(Path(options["f"]).read_text(), LOADER) if "f" in options else {}  # noqa: S506 - a safe one
        upgrade(words[-2], words[-1], values or {}, trouble.get(words[-2], ""))
    elif command == "rollback":
        revisions = releases()[words[-2]]
        deploy(words[-2], revisions, revisions[int(words[-1]) - 1], "")
    elif command == "uninstall":
        uninstall(words[-1], trouble.get(words[-1], ""))
    else:
        sys.exit(f"Error: unknown command {sys.argv[1:]}")


if __name__ == "__main__":
    main()
