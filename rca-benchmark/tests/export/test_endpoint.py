import datetime
import ipaddress
import json
import ssl

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rca_benchmark.cli import main
from rca_benchmark.errors import ExportError
from rca_benchmark.export.cluster import take_placement
from rca_benchmark.export.endpoint import Endpoint, resolve
from rca_benchmark.export.indicators import Query
from rca_benchmark.export.placement import Placement, read_placement
from rca_benchmark.export.prometheus import Prometheus
from rca_benchmark.export.requesting import new_session, request_json
from rca_benchmark.export.scraping import Scraping


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Files of a certificate for 127.0.0.1 that signs itself, and of its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def serve_tls(serve, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return lambda answer: serve(answer, context)


def matrix(_path):
    series = {"metric": {"service": "a"}, "values": [[1_795_417_200, "1"]]}
    return 200, {"status": "success", "data": {"resultType": "matrix", "result": [series]}}


def ask(endpoint):
    with new_session(endpoint) as session:
        return request_json(session, endpoint, "GET", "/x", asked="x")


def fetch(endpoint, window, no_tick):
    query = Query("x", "", "", "up", "service")
    return Prometheus(endpoint, (query,), Placement()).fetch(window, no_tick)


@pytest.fixture
def kubeconfig(tmp_path, monkeypatch, certificate):
    def write(server):
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [
                {
                    "name": "c",
                    "cluster": {"server": server, "certificate-authority": str(certificate[0])},
                }
            ],
            "users": [{"name": "u", "user": {"token": "cluster-token"}}],
        }
        (tmp_path / "config").write_text(yaml.safe_dump(document))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))

    return write


class TestAddresses:
    def test_a_plain_address_stays(self):
        endpoint = resolve("loki", "http://10.0.0.1:3100/")
        assert (endpoint.url, dict(endpoint.headers)) == ("http://10.0.0.1:3100", {})
        assert endpoint.verify is True

    @pytest.mark.parametrize("address", ["loki:3100", "ftp://x", "http://", "k8s://only", ""])
    def test_what_is_no_address_is_refused(self, address):
        with pytest.raises(ExportError, match=r"loki: .* is no address"):
            resolve("loki", address)

    def test_credentials_in_an_address_are_refused_and_not_repeated(self):
        with pytest.raises(ExportError, match="RCA_BENCHMARK_LOKI_PASSWORD") as error:
            resolve("loki", "http://bob:hunter2@x:1")
        assert "hunter2" not in str(error.value)
        with pytest.raises(ExportError, match="is no address") as error:
            resolve("loki", "ftp://bob:hunter2@x:1")
        assert "hunter2" not in str(error.value)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"colour": 1}, "unknown setting colour"),
            ({"timeout_s": 0}, "timeout_s is 0"),
            ({"attempts": "many"}, "attempts is 'many'"),
            ({"ca_file": "/none.pem"}, "ca_file /none.pem: no such file"),
            ({"token_file": "/none"}, "/none: cannot be read"),
            ({"username": "bob"}, "bob has no password"),
        ],
    )
    def test_wrong_settings_are_named(self, options, message):
        with pytest.raises(ExportError, match=message):
            resolve("loki", "http://x:1", options)


class TestCredentials:
    def test_a_token_comes_from_the_environment(self, serve, monkeypatch):
        monkeypatch.setenv("RCA_BENCHMARK_DEEPFLOW_APP_TOKEN", "abc")
        server = serve(lambda _path: (200, {}))
        ask(resolve("deepflow_app", server.url))
        assert server.headers[0]["Authorization"] == "Bearer abc"

    def test_a_password_comes_from_a_file(self, serve, tmp_path, window, no_tick):
        (tmp_path / "password").write_text("hunter2\n")
        options = {"username": "bob", "password_file": str(tmp_path / "password")}
        server = serve(matrix)
        endpoint = resolve("prometheus", server.url, options)
        fetch(endpoint, window, no_tick)
        ask(endpoint)
        assert {each["Authorization"] for each in server.headers} == {"Basic Ym9iOmh1bnRlcjI="}

    def test_they_are_never_printed(self, serve):
        server = serve(lambda _path: (401, b"who are you"))
        endpoint = Endpoint("loki", server.url, {"Authorization": "Bearer abc"})
        assert "abc" not in repr(endpoint)
        with pytest.raises(ExportError, match="HTTP 401: who are you") as error:
            ask(endpoint)
        assert "abc" not in str(error.value)

    def test_no_proxy_stands_between_this_machine_and_itself(
        self, serve, monkeypatch, window, no_tick
    ):
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        endpoint = resolve("prometheus", serve(matrix).url)
        assert ask(endpoint)["status"] == "success"
        assert fetch(endpoint, window, no_tick).received == {"a_x": 1}


class TestTls:
    def test_a_certificate_that_nobody_vouches_for_is_refused(self, serve_tls, window, no_tick):
        endpoint = resolve("loki", serve_tls(matrix).url, {"attempts": 1})
        with pytest.raises(ExportError, match=r"(?i)certificate"):
            ask(endpoint)
        with pytest.raises(ExportError, match=r"(?i)certificate"):
            fetch(endpoint, window, no_tick)

    @pytest.mark.parametrize("way", ["ca_file", "verify_tls"])
    def test_it_is_taken_where_that_was_asked_for(
        self, serve_tls, certificate, window, no_tick, way
    ):
        options = {"ca_file": str(certificate[0])} if way == "ca_file" else {"verify_tls": False}
        endpoint = resolve("loki", serve_tls(matrix).url, options)
        assert fetch(endpoint, window, no_tick).received == {"a_x": 1}
        assert ask(endpoint)["status"] == "success"


class TestCluster:
    def test_a_service_is_reached_through_the_api_server(
        self, serve_tls, kubeconfig, window, no_tick
    ):
        server = serve_tls(matrix)
        kubeconfig(server.url)
        endpoint = resolve("prometheus", "k8s://observability/prometheus:9090", {"attempts": 1})
        assert fetch(endpoint, window, no_tick).received == {"a_x": 1}
        place = "/api/v1/namespaces/observability/services/prometheus:9090/proxy"
        assert server.asked[0].startswith(f"{place}/api/v1/query_range?")
        assert server.headers[0]["Authorization"] == "Bearer cluster-token"

    def test_a_pod_is_reached_in_the_same_way(self, serve_tls, kubeconfig):
        kubeconfig(serve_tls(matrix).url)
        endpoint = resolve("pod", "k8s://ray/pod/head-x7:8080")
        assert endpoint.url.endswith("/api/v1/namespaces/ray/pods/head-x7:8080/proxy")

    def test_discovery_goes_the_same_way(self, serve_tls, kubeconfig, window, no_tick):
        def answer(path):
            if "targets" in path:
                return 200, {"data": {"activeTargets": []}}
            scalar = "node_time" not in path
            return 200, {"data": {"result": [0, "1795417200"] if scalar else []}}

        server = serve_tls(answer)
        kubeconfig(server.url)
        endpoint = resolve("prometheus", "k8s://o/p:9090")
        skew = Scraping(endpoint, None).fetch(window, no_tick).clock_skew_s
        assert list(skew) == ["prometheus"]
        assert all("/services/p:9090/proxy/" in path for path in server.asked)

    def test_a_missing_kubeconfig_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
        monkeypatch.setenv("HOME", str(tmp_path))
        with pytest.raises(ExportError, match="loki: no usable kubeconfig"):
            resolve("loki", "k8s://o/loki:3100")


class TestPlacement:
    @staticmethod
    def pod(name, service=None, phase="Running", address="10.42.0.1"):
        labels = {"app": service} if service else {}
        return {
            "metadata": {"name": name, "labels": labels},
            "spec": {"nodeName": "gpu-1", "containers": []},
            "status": {"phase": phase, "podIP": address, "hostIP": "192.168.1.5"},
        }

    def serve_pods(self, serve_tls, kubeconfig, *pods):
        def answer(path):
            if "/proxy/" in path:
                series = {"metric": {"pod": "worker-a", "UUID": "GPU-1"}, "value": [0, "9"]}
                return 200, {"data": {"result": [] if "exported" in path else [series]}}
            assert path == "/api/v1/namespaces/ray/pods"
            return 200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": list(pods)}

        kubeconfig(serve_tls(answer).url)

    def test_pods_and_their_gpus_become_a_record(self, serve_tls, kubeconfig, tmp_path, capsys):
        pods = (
            self.pod("head-x", "ray-head"),
            self.pod("worker-a", "ray-replicas-0", address="10.42.0.2"),
            self.pod("kuberay-operator"),
            self.pod("old", "ray-head", phase="Succeeded"),
        )
        self.serve_pods(serve_tls, kubeconfig, *pods)
        out = tmp_path / "placement.json"
        assert main(["placement", "--prometheus", "k8s://o/p:9090", "--out", str(out)]) == 0
        assert capsys.readouterr().out == f"{out}: 2 services\n"
        placement = read_placement(out)
        assert placement.services == ("ray-head", "ray-replicas-0")
        assert placement.owner("gpu", "GPU-1") == "ray-replicas-0"
        assert placement.owner("pod", "head-x") == "ray-head"
        assert placement.places["ray-head"]["node_address"] == "192.168.1.5"

    def test_two_pods_of_one_service_are_an_error(self, serve_tls, kubeconfig, tmp_path, capsys):
        pods = (self.pod("a", "ray-head"), self.pod("b", "ray-head"))
        self.serve_pods(serve_tls, kubeconfig, *pods)
        assert main(["placement", "--out", str(tmp_path / "p.json")]) == 1
        assert "pods a and b are both ray-head" in capsys.readouterr().err
        assert not (tmp_path / "p.json").exists()

    def test_a_namespace_without_a_stack_is_an_error(self, serve_tls, kubeconfig):
        self.serve_pods(serve_tls, kubeconfig, self.pod("x"))
        with pytest.raises(ExportError, match="no running pod has a label"):
            take_placement("ray", None)

    def test_a_refusal_is_one_line(self, serve_tls, kubeconfig):
        kubeconfig(serve_tls(lambda _path: (403, {"message": "no"})).url)
        with pytest.raises(ExportError, match=r"pods of ray: HTTP 403"):
            take_placement("ray", None)


class TestRequests:
    def test_a_late_success_is_a_success(self, serve):
        answers = iter([(503, b""), (200, b'{"cut'), (200, {"x": 1})])
        server = serve(lambda _path: next(answers))
        assert ask(Endpoint("loki", server.url, backoff_s=0.01)) == {"x": 1}

    @pytest.mark.parametrize(
        ("answer", "asked", "message"),
        [
            ((500, b"broken"), 3, "failed 3 times, at last with HTTP 500: broken; is it running"),
            ((200, b"{"), 3, "malformed JSON"),
            ((400, b"bad\nquery"), 1, "was answered by HTTP 400: bad query"),
            ((200, b"x" * 800), 3, r"x\.\.\."),
        ],
    )
    def test_attempts_are_bounded_and_the_error_is_one_line(self, serve, answer, asked, message):
        server = serve(lambda _path: answer)
        with pytest.raises(ExportError, match=message) as error:
            ask(Endpoint("loki", server.url, backoff_s=0.01, attempts=3))
        assert "\n" not in str(error.value)
        assert f"loki at {server.url}: query 'x'" in str(error.value)
        assert len(server.asked) == asked

    def test_json_is_what_is_sent(self, serve):
        server = serve(lambda _path: (200, {}))
        endpoint = Endpoint("loki", server.url)
        with new_session(endpoint) as session:
            request_json(session, endpoint, "POST", "/x", asked="x", json={"a": 1})
        assert json.loads(server.asked[0].partition("?")[2]) == {"a": 1}
