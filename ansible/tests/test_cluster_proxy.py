"""The proxy of a cluster, run by a real nginx in front of a Prometheus that redirects."""

import http.server
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from cluster_rendering import documents, proxy_configuration

KEY = "a.Key+1"  # of the second rendering; the first has none


def test_the_proxy_asks_for_an_account_where_programs_can_be_run(rendered: Path) -> None:
    text = proxy_configuration(rendered)
    blocks = dict(re.findall(r"location (\S+) \{\n(.*?)\n    \}", text, re.S))
    for place in ("/dashboard/", "/prometheus/"):
        assert "auth_basic_user_file" in blocks[place]
    assert "$has_key" in blocks["/"]


class Redirects(http.server.BaseHTTPRequestHandler):
    """Answers as Prometheus' pages do: with the way to another one, without the proxy's path."""

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", f"/query?from={self.path}")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def ports(count: int) -> list[int]:
    """Ports that nobody holds."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return found


def anywhere(text: str, folder: Path, prometheus: str, listen: dict[str, int]) -> str:
    """The configuration for an nginx of any age, without OpenTelemetry, outside of a pod."""
    text = re.sub(r"otel_exporter \{.*?\}|load_module .*?;|otel_\w+ .*?;", "", text, flags=re.S)
    text = re.sub(r"\$otel_\w+", "-", text)
    text = re.sub(r"server \S+ resolve;", "server 127.0.0.1:1;", text)
    text = text.replace("kube-dns.kube-system.svc.cluster.local", "127.0.0.1")
    text = re.sub(r"http://kube-prometheus-stack\S+(?=;)", prometheus, text)
    text = re.sub("(?<= )/tmp(?=/)", str(folder), text)
    text = re.sub("/etc/nginx/(secrets|tls)", str(folder), text)
    text = re.sub(r"listen (\d+)", lambda found: f"listen 127.0.0.1:{listen[found[1]]}", text)
    return ("user root;\n" if os.geteuid() == 0 else "") + text


@pytest.fixture(scope="module")
def proxy(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The proxy as it was rendered: where it listens, and whether it has key and certificate."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        pytest.skip("needs nginx")
    folder = tmp_path_factory.mktemp("proxy")
    certificate = ["-keyout", folder / "tls.key", "-out", folder / "tls.crt", "-subj", "/CN=a"]
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *map(str, certificate)]
    subprocess.run(new, check=True, capture_output=True)
    secrets = {
        o["metadata"]["name"]: o for _, o in documents(rendered, "ray") if o["kind"] == "Secret"
    }
    (folder / "api-key.conf").write_text(secrets["nginx-proxy"]["stringData"]["api-key.conf"])
    (folder / "accounts").write_text("admin:{PLAIN}word\n")
    listen = dict(zip(("8080", "8443", "8081"), ports(3), strict=True))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirects) as prometheus:
        threading.Thread(target=prometheus.serve_forever, daemon=True).start()
        behind = f"http://127.0.0.1:{prometheus.server_address[1]}"
        text = anywhere(proxy_configuration(rendered), folder, behind, listen)
        (folder / "nginx.conf").write_text(text)
        command = [nginx, "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        yield SimpleNamespace(
            listen=listen,
            url=f"http://127.0.0.1:{listen['8080']}",
            health=f"http://127.0.0.1:{listen['8081']}/health",
            has_key=KEY in secrets["nginx-proxy"]["stringData"]["api-key.conf"].replace("\\", ""),
            has_certificate="nginx-proxy-tls" in secrets,
        )
        running.terminate()
        running.wait()
        prometheus.shutdown()


@pytest.fixture
def answers(proxy: SimpleNamespace, wait_for: Callable[[Callable[[], object]], None]) -> None:
    """Wait until the proxy answers."""

    def healthy() -> bool:
        try:
            return requests.get(proxy.health, timeout=5).ok
        except requests.ConnectionError:
            return False

    wait_for(healthy)


@pytest.mark.parametrize(
    ("given", "right"),
    [
        (f"Bearer {KEY}", True),
        (f"Bearer {KEY.lower()}", False),
        (f"Bearer {KEY}1", False),
        (f"Bearer {KEY.replace('.', 'x')}", False),
        ("", False),
    ],
)
@pytest.mark.usefixtures("answers")
def test_a_key_counts_to_the_letter(proxy: SimpleNamespace, given: str, right: bool) -> None:
    answer = requests.get(proxy.url, headers={"Authorization": given}, timeout=5)
    let_in = 502  # nobody is behind it
    assert answer.status_code == (let_in if right or not proxy.has_key else 401)


@pytest.mark.usefixtures("answers")
def test_redirects_of_prometheus_stay_behind_its_path(proxy: SimpleNamespace) -> None:
    url = f"{proxy.url}/prometheus/status"
    assert requests.get(url, timeout=5).status_code == 401
    answer = requests.get(url, auth=("admin", "word"), allow_redirects=False, timeout=5)
    assert answer.headers["Location"] == "/prometheus/query?from=/status"


@pytest.mark.usefixtures("answers")
def test_tls_is_spoken_beside_plain_http_where_there_is_a_certificate(
    proxy: SimpleNamespace,
) -> None:
    assert requests.get(proxy.url, timeout=5).status_code in (401, 502)  # load from within
    address = ("127.0.0.1", proxy.listen["8443"])
    if proxy.has_certificate:
        assert "BEGIN CERTIFICATE" in ssl.get_server_certificate(address)
    else:
        with pytest.raises(ConnectionRefusedError):
            ssl.get_server_certificate(address)
