"""Where a back end answers: a plain address, or a service behind a Kubernetes API server.

Addresses are ``http(s)://host:port/path``, ``k8s://namespace/service:port`` or, for one pod,
``k8s://namespace/pod/name:port``. The latter two go through the API server's proxy with the current
kubeconfig, so that nothing needs a node port:
kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/

Credentials never stand in the arguments of a command: they come from the environment
(``RCA_BENCHMARK_<BACK END>_TOKEN``, or ``..._USERNAME`` and ``..._PASSWORD``) or from files that
the configuration names. They are never printed.
"""

from __future__ import annotations

import base64
import os
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from rca_benchmark.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Mapping

_CLUSTER: Final = re.compile(
    r"k8s://(?P<namespace>[^/:]+)/(?P<pod>pod/)?(?P<name>[^/:]+):(?P<port>[^/:]+)/?"
)
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
OPTIONS: Final = frozenset(
    {"username", "password_file", "token_file", "ca_file", "verify_tls", "timeout_s", "attempts"}
)


@dataclass(frozen=True)
class Endpoint:
    """An address with all that a request to it needs.

    Attributes:
        name: which back end it is, for messages.
        url: address without credentials, without a slash at its end.
        headers: sent with every request; may hold credentials.
        verify: whether to verify the server's certificate, or the file of authorities for it.
        client_certificate: files of a client certificate and its key.
        timeout_s: limit of one attempt of one request.
        attempts: how often a request is made before it is given up.
        backoff_s: pause after the first attempt; doubles with each further one.
    """

    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool | str = True
    client_certificate: tuple[str, str] | None = None
    timeout_s: float = 60
    attempts: int = 4
    backoff_s: float = 0.5

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine, where no proxy of the environment has a say."""
        return urlsplit(self.url).hostname in _LOOPBACK

    def tls(self) -> ssl.SSLContext | bool:
        """For aiohttp: a context, or False where the server is not to be verified."""
        if self.verify is False:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context = ssl.create_default_context(
                cafile=self.verify if isinstance(self.verify, str) else None
            )
        if self.client_certificate:
            context.load_cert_chain(*self.client_certificate)
        return context


def resolve(name: str, address: str, options: Mapping[str, Any] | None = None) -> Endpoint:
    """The endpoint of a back end.

    Args:
        name: which back end, such as ``loki``.
        address: see the head of this module.
        options: of the configuration file, some of ``OPTIONS``.

    Raises:
        ExportError: the address is none, a file of a credential cannot be read, or there is no
            usable kubeconfig.
    """
    options = options or {}
    if unknown := sorted(set(options) - OPTIONS):
        raise ExportError(f"{name}: unknown setting {unknown[0]}; known: {sorted(OPTIONS)}")
    limits = _limits(name, options)
    if match := _CLUSTER.fullmatch(address):
        return _in_cluster(name, match, limits)
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ExportError(
            f"{name}: {_without_credentials(address)!r} is no address; write http://host:port or "
            "k8s://namespace/service:port"
        )
    if parts.username or parts.password:
        raise ExportError(
            f"{name}: the address holds credentials; put them into {_variable(name, 'USERNAME')} "
            f"and {_variable(name, 'PASSWORD')}"
        )
    ca_file = options.get("ca_file")
    verify = str(ca_file) if ca_file else bool(options.get("verify_tls", True))
    if ca_file and not Path(ca_file).is_file():
        raise ExportError(f"{name}: ca_file {ca_file}: no such file")
    return Endpoint(name, address.rstrip("/"), _credentials(name, options), verify, **limits)


def _limits(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    limits = {key: options[key] for key in ("timeout_s", "attempts") if key in options}
    for key, value in limits.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise ExportError(f"{name}: {key} is {value!r}, must be a number above 0")
    return limits | ({"attempts": int(limits["attempts"])} if "attempts" in limits else {})


def _credentials(name: str, options: Mapping[str, Any]) -> dict[str, str]:
    """The header that authenticates; none where there are no credentials."""
    token = _secret(options.get("token_file"), _variable(name, "TOKEN"), name)
    if token:
        return {"Authorization": f"Bearer {token}"}
    username = options.get("username") or os.environ.get(_variable(name, "USERNAME"))
    if not username:
        return {}
    password = _secret(options.get("password_file"), _variable(name, "PASSWORD"), name)
    if password is None:
        raise ExportError(
            f"{name}: user {username} has no password; set {_variable(name, 'PASSWORD')} or "
            "password_file"
        )
    pair = base64.b64encode(f"{username}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def _secret(file: str | None, variable: str, name: str) -> str | None:
    if file is None:
        return os.environ.get(variable)
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ExportError(f"{name}: {file}: cannot be read: {error.strerror}") from error


def _variable(name: str, what: str) -> str:
    return f"RCA_BENCHMARK_{name.upper().replace('-', '_')}_{what}"


def _without_credentials(address: str) -> str:
    return re.sub(r"//[^/@]*@", "//", address)


def _in_cluster(name: str, match: re.Match[str], limits: dict[str, Any]) -> Endpoint:
    settings = cluster_settings(name)
    from kubernetes import client

    api = client.ApiClient(settings)
    headers: dict[str, str] = {}
    api.update_params_for_auth(headers, [], ["BearerToken"], "", "GET", None)
    kind = "pods" if match["pod"] else "services"
    path = f"/api/v1/namespaces/{match['namespace']}/{kind}/{match['name']}:{match['port']}/proxy"
    pair = (settings.cert_file, settings.key_file)
    certificate = (pair[0], pair[1]) if pair[0] and pair[1] else None
    verify = settings.verify_ssl and (settings.ssl_ca_cert or True)
    lower = {"authorization"}
    return Endpoint(
        name,
        settings.host.rstrip("/") + path,
        {key.title(): value for key, value in headers.items() if key.lower() in lower},
        verify,
        certificate,
        **limits,
    )


def cluster_settings(name: str) -> Any:
    """The package kubernetes' settings for the current kubeconfig, else for the pod's own account.

    Args:
        name: for whom, for messages.

    Raises:
        ExportError: the package is missing, or there is no usable kubeconfig.
    """
    try:
        from kubernetes import client, config
        from kubernetes.config.config_exception import ConfigException
    except ImportError as error:
        raise ExportError(
            f"{name}: k8s:// addresses need the package kubernetes; pip install "
            "'rca-llm[kubernetes]'"
        ) from error
    try:
        settings = client.Configuration()
        # The package reads the variable once, when it is imported.
        chosen = os.environ.get("KUBECONFIG")
        files = {"config_file": chosen} if chosen else {}
        config.load_config(client_configuration=settings, **files)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, ValueError) as error:
        raise ExportError(f"{name}: no usable kubeconfig: {error}") from error
    return settings
