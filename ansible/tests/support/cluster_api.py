"""A small Kubernetes API server for tests: objects over HTTP, kept in memory.

What it does as the real one does (kubernetes.io/docs/reference/using-api/api-concepts): discovery,
get, list with label selectors, create, update, the merge kinds of patch, server-side apply, delete
with finalizers, status as a sub-resource, `dryRun=All`, 404 for what is not there (a namespace that
an object is created in, a kind without its custom resource definition), 409 for what is.
What it does not: admission, defaults, schemas, merging of lists by their keys, field ownership,
watching. Controllers are played by the test: `react` is called after each change.
"""

import base64
import copy
import http.server
import json
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
import yaml

Object = dict[str, Any]

BUILT_IN = {
    "v1": [
        ("Namespace", "namespaces", False),
        ("Node", "nodes", False),
        ("Pod", "pods", True),
        ("Service", "services", True),
        ("ConfigMap", "configmaps", True),
        ("Secret", "secrets", True),
        ("ServiceAccount", "serviceaccounts", True),
        ("PersistentVolumeClaim", "persistentvolumeclaims", True),
        ("Event", "events", True),
    ],
    "apps/v1": [("Deployment", "deployments", True), ("DaemonSet", "daemonsets", True)],
    "batch/v1": [("Job", "jobs", True)],
    "rbac.authorization.k8s.io/v1": [
        ("Role", "roles", True),
        ("RoleBinding", "rolebindings", True),
    ],
    "networking.k8s.io/v1": [("NetworkPolicy", "networkpolicies", True)],
    "storage.k8s.io/v1": [("StorageClass", "storageclasses", False)],
    "apiextensions.k8s.io/v1": [
        ("CustomResourceDefinition", "customresourcedefinitions", False),
    ],
}
VERBS = ["create", "delete", "get", "list", "patch", "update"]
PROXY = re.compile(
    r"^/api/v1/namespaces/([^/]+)/(?:services|pods)/([^/:]+):[^/]+/proxy/(.*)$", re.DOTALL
)
PATH = re.compile(
    r"^/(?:api|apis/(?P<group>[^/]+))/(?P<version>v[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[^/]+))?)?$"
)


class ApiError(Exception):
    """An answer other than success: status, reason and message."""


def merge(old: Any, patch: Any) -> Any:
    """Merge a patch as RFC 7396 does: null removes, lists are replaced."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def crd(group: str, version: str, kind: str, plural: str = "") -> Object:
    """Return the definition of a custom resource, without its schema."""
    plural = plural or kind.lower() + ("" if kind.endswith("s") else "s")
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster" if "Clusterwide" in kind else "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [{"name": version}],
        },
    }


def free_port() -> int:
    """Return a port of the loopback address that nobody holds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def selected(item: Object, selector: str) -> bool:
    """Whether an object has the labels of `a=b,c,!d`."""
    labels = item["metadata"].get("labels", {})
    for part in filter(None, selector.split(",")):
        key, equals, value = part.replace("==", "=").partition("=")
        if equals and labels.get(key) != value:
            return False
        if not equals and (key.lstrip("!") in labels) == key.startswith("!"):
            return False
    return True


class ClusterApi:
    """The server and what it holds.

    Attributes:
        react: called with (method, object) after each change that was kept; may change more.
        log: (method, kind, name, whether it was a dry run) of every write.
        down: while true, every connection is dropped.
        version: of Kubernetes.
        proxied: where what is asked of a service or pod through the server goes: (namespace, name)
            -> URL.
        said: what pods have written to their logs: (namespace, name) -> text.
    """

    def __init__(self, react: Callable[["ClusterApi", str, Object], None]) -> None:
        self.react = react
        self.log: list[tuple[str, str, str, bool]] = []
        self.down = False
        self.version = "v1.36.2+k3s1"
        self.proxied: dict[tuple[str, str], str] = {}
        self.said: dict[tuple[str, str], str] = {}
        self.kinds: dict[tuple[str, str], tuple[str, bool]] = {}  # (apiVersion, plural)
        self.objects: dict[tuple[str, str, str], Object] = {}  # (kind, namespace, name)
        self.lock = threading.RLock()
        self.counter = 0
        for version, kinds in BUILT_IN.items():
            for kind, plural, namespaced in kinds:
                self.kinds[version, plural] = (kind, namespaced)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        for name in ("default", "kube-system"):
            self.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig that leads here."""
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": url}}],
            "users": [{"name": "test", "user": {"token": "test"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None:
        """Return an object as it is now."""
        with self.lock:
            return copy.deepcopy(self.objects.get((kind, namespace, name)))

    def of_kind(self, kind: str) -> list[Object]:
        """Return all objects of a kind."""
        with self.lock:
            return [copy.deepcopy(o) for key, o in self.objects.items() if key[0] == kind]

    def put(self, item: Object) -> None:
        """Put an object there, or merge it into the one that is, status included."""
        with self.lock:
            about = item["metadata"]
            key = (item["kind"], about.get("namespace", ""), about["name"])
            self._keep(key, merge(self.objects.get(key), item))

    def delete(self, kind: str, name: str, namespace: str = "") -> None:
        """Take an object away, finalizers or not."""
        with self.lock:
            self.objects.pop((kind, namespace, name), None)

    def _keep(self, key: tuple[str, str, str], item: Object) -> Object:
        old = self.objects.get(key)
        about = item["metadata"]
        about.setdefault("uid", str(uuid.uuid4()))
        about.setdefault("creationTimestamp", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        if old is None or {**item, "metadata": {**about, "resourceVersion": ""}} != {
            **old,
            "metadata": {**old["metadata"], "resourceVersion": ""},
        }:
            self.counter += 1
            about["resourceVersion"] = str(self.counter)
        self.objects[key] = item
        if key[0] == "CustomResourceDefinition":
            names, scope = item["spec"]["names"], item["spec"]["scope"]
            for version in item["spec"]["versions"]:
                api = f"{item['spec']['group']}/{version['name']}"
                self.kinds[api, names["plural"]] = (names["kind"], scope == "Namespaced")
        return item

    # What comes over HTTP.

    def answer(self, method: str, url: str, body: Object | None, content: str) -> tuple[int, Any]:
        """Answer one request: (status, JSON)."""
        parts = urlsplit(url)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        with self.lock:
            if method == "GET" and (found := self._discovery(parts.path)) is not None:
                return 200, found
            match = PATH.match(parts.path)
            if match is None:
                raise ApiError(404, "NotFound", f"no such path: {parts.path}")
            where = match.groupdict(default="")
            api = "/".join(filter(None, [where["group"], where["version"]]))
            if (api, where["plural"]) not in self.kinds:
                raise ApiError(404, "NotFound", "the server could not find the requested resource")
            kind, _ = self.kinds[api, where["plural"]]
            key = (kind, where["namespace"], where["name"])
            if method == "GET" and where["sub"] == "log":
                return 200, self.said[where["namespace"], where["name"]]
            if method == "GET":
                return 200, self._read(api, key, query)
            body = {"apiVersion": api, "kind": kind, **(body or {})}
            dry = query.get("dryRun") == "All"
            before = copy.deepcopy((self.objects, self.kinds)) if dry else None
            try:
                status, changed = self._write(method, key, body, content, where["sub"])
                self.log.append((method, kind, changed["metadata"]["name"], dry))
                result = copy.deepcopy(changed)
            finally:
                if before is not None:
                    self.objects, self.kinds = before
            if not dry:
                self.react(self, method, copy.deepcopy(result))
            return status, result

    def _discovery(self, path: str) -> Any:
        if path.rstrip("/") == "/version":
            return {"major": "1", "minor": "36", "gitVersion": self.version}
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            versions: dict[str, list[Object]] = {}
            for api in sorted({api for api, _ in self.kinds if "/" in api}):
                group, _, version = api.partition("/")
                entry = {"groupVersion": api, "version": version}
                versions.setdefault(group, []).append(entry)
            groups = [
                {"name": name, "versions": some, "preferredVersion": some[-1]}
                for name, some in versions.items()
            ]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        match = re.match(r"^/(?:api|apis)/((?:[^/]+/)?v[^/]+)$", path)
        if match is None or not any(api == match[1] for api, _ in self.kinds):
            return None
        resources: list[Object] = []
        for (api, plural), (kind, namespaced) in self.kinds.items():
            if api == match[1]:
                about = {"kind": kind, "namespaced": namespaced, "singularName": kind.lower()}
                resources.append({"name": plural, "verbs": VERBS, **about})
        return {"kind": "APIResourceList", "groupVersion": match[1], "resources": resources}

    def _read(self, api: str, key: tuple[str, str, str], query: dict[str, str]) -> Object:
        kind, namespace, name = key
        if name:
            if key not in self.objects:
                raise ApiError(404, "NotFound", f'{kind.lower()} "{name}" not found')
            return {"apiVersion": api, **self.objects[key]}
        wanted = dict(p.split("=") for p in query.get("fieldSelector", "").split(",") if p)
        items = [
            {"apiVersion": api, **item}
            for (other, place, called), item in self.objects.items()
            if other == kind
            and namespace in ("", place)
            and wanted.get("metadata.name", called) == called
            and selected(item, query.get("labelSelector", ""))
        ]
        about = {"resourceVersion": str(self.counter)}
        return {"apiVersion": api, "kind": f"{kind}List", "metadata": about, "items": items}

    def _write(
        self, method: str, key: tuple[str, str, str], body: Object, content: str, sub: str
    ) -> tuple[int, Object]:
        kind, namespace, name = key
        if method == "POST":
            name = body["metadata"]["name"]
            key = (kind, namespace, name)
        old = self.objects.get(key)
        applied = method == "PATCH" and "apply-patch" in content
        if old is None and (method == "POST" or applied):
            if namespace and ("Namespace", "", namespace) not in self.objects:
                raise ApiError(404, "NotFound", f'namespaces "{namespace}" not found')
            fresh = {k: v for k, v in body.items() if k != "status"}
            return 201, self._keep(key, _stored(fresh, namespace))
        if method == "POST":
            raise ApiError(409, "AlreadyExists", f'{kind.lower()} "{name}" already exists')
        if old is None:
            raise ApiError(404, "NotFound", f'{kind.lower()} "{name}" not found')
        if method == "DELETE":
            return 200, self._remove(key, old)
        if sub == "status":
            return 200, self._keep(key, merge(old, {"status": body.get("status", {})}))
        body = {k: v for k, v in body.items() if k != "status"}
        if method == "PUT":
            body = {**body, "status": old["status"]} if "status" in old else body
            kept = ("uid", "creationTimestamp")
            body["metadata"] = {**{k: old["metadata"][k] for k in kept}, **body["metadata"]}
            return 200, self._keep(key, _stored(body, namespace))
        changed = self._keep(key, _stored(merge(old, body), namespace))
        if "deletionTimestamp" in changed["metadata"] and not changed["metadata"].get("finalizers"):
            self.objects.pop(key)
        return 200, changed

    def _remove(self, key: tuple[str, str, str], old: Object) -> Object:
        if old["metadata"].get("finalizers"):
            return self._keep(key, merge(old, {"metadata": {"deletionTimestamp": "now"}}))
        self.objects.pop(key)
        if key[0] == "Namespace":
            self.objects = {k: o for k, o in self.objects.items() if k[1] != key[2]}
        return old

    def _handler(api: "ClusterApi") -> type[http.server.BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if api.down:
                    self.close_connection = True
                    return
                if match := PROXY.match(self.path):
                    self.pass_on(match, text)
                    return
                body = yaml.load(text, yaml.CSafeLoader) if text else None
                try:
                    content = self.headers.get("Content-Type", "")
                    status, result = api.answer(self.command, self.path, body, content)
                except ApiError as error:
                    status, reason, message = error.args
                    about = {"status": "Failure", "code": status}
                    result = {"kind": "Status", "reason": reason, "message": message, **about}
                said = result if isinstance(result, str) else json.dumps(result)
                self.reply(status, said.encode())

            def pass_on(self, match: re.Match[str], body: bytes) -> None:
                url = api.proxied.get((match[1], match[2]))
                if url is None:
                    self.reply(503, b"no endpoints available for service")
                    return
                kept = ("Content-Type", "X-Ray-Authorization")
                headers = {name: self.headers.get(name, "") for name in kept}
                where = f"{url}/{match[3]}"
                try:
                    answer = requests.request(
                        self.command, where, data=body, headers=headers, timeout=60
                    )
                except requests.RequestException as error:
                    self.reply(502, str(error).encode())
                    return
                self.reply(answer.status_code, answer.content)

            def reply(self, status: int, data: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _stored(item: Object, namespace: str) -> Object:
    """An object as the server keeps it: text of secrets as data, its namespace in it."""
    if "stringData" in item:
        text = item.pop("stringData")
        data = {key: base64.b64encode(value.encode()).decode() for key, value in text.items()}
        item["data"] = {**item.get("data", {}), **data}
    if namespace:
        item["metadata"]["namespace"] = namespace
    return item
