"""Pinning: checksums of downloads, charts and images; what is outdated; refusals in one line."""

import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

ANSIBLE = Path(__file__).resolve().parents[1]
INDEX = {
    "entries": {
        "demo": [
            {"version": "2.0.0-rc.1", "urls": ["demo-2.0.0-rc.1.tgz"]},
            {"version": "1.10.0", "urls": ["charts/demo-1.10.0.tgz"]},
            {"version": "1.9.0", "urls": ["https://127.0.0.1:1/demo-1.9.0.tgz"]},
        ]
    }
}


@pytest.fixture
def versions(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("versions")


@pytest.fixture
def web(versions: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A server of files by path; `log` holds what was asked, `headers` what comes back with it."""
    files: dict[str, bytes] = {}
    headers: dict[str, dict[str, str]] = {}
    log: list[tuple[str, str | None]] = []

    class Files(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            log.append((self.path, self.headers.get("Authorization")))
            wants = headers.get(path, {}).get("token")
            refused = wants is not None and self.headers.get("Authorization") != f"Bearer {wants}"
            self.send_response(401 if refused else 200 if path in files else 404)
            for name, value in headers.get(path, {}).items():
                if name != "token" and refused == (name == "WWW-Authenticate"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"" if refused else files.get(path, b""))

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setattr(versions, "RELEASES", url + "/releases/{}")
        monkeypatch.setattr(versions, "HUGGING_FACE", url + "/models/{}")
        yield SimpleNamespace(files=files, headers=headers, log=log, url=url)
        server.shutdown()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_download_is_hashed_for_each_architecture(
    versions: ModuleType, web: SimpleNamespace
) -> None:
    web.files |= {"/v1%2Bx/k3s": b"amd", "/v1%2Bx/k3s-arm64": b"arm", "/one.yaml": b"one"}
    pinned: dict[str, Any] = {
        "versions": {
            "k3s": {"version": "v1+x", "url": web.url + "/{version}/k3s{suffix}"},
            "one": {"version": "v2", "url": web.url + "/one.yaml"},
        },
        "charts": {},
        "images": {},
    }
    assert versions.lock(pinned) == {
        "k3s": {"amd64": sha256(b"amd"), "arm64": sha256(b"arm")},
        "one": {"all": sha256(b"one")},
    }


def test_a_chart_is_found_in_its_repositorys_index(
    versions: ModuleType, web: SimpleNamespace
) -> None:
    web.files |= {"/index.yaml": yaml.safe_dump(INDEX).encode()}
    web.files |= {"/charts/demo-1.10.0.tgz": b"chart"}
    about = {"repository": web.url, "chart": "demo", "version": "1.10.0"}
    locked = versions.lock({"versions": {}, "charts": {"mine": about}, "images": {}})
    url = f"{web.url}/charts/demo-1.10.0.tgz"
    assert locked == {"mine": {"url": url, "all": sha256(b"chart")}}


def test_an_images_digest_comes_from_its_registry_with_an_anonymous_token(
    versions: ModuleType, web: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = web.url.removeprefix("http://")
    manifest = "/v2/library/nginx/manifests/1.0"
    challenge = f'Bearer realm="{web.url}/token",service="registry",scope="pull"'
    digest = {"Docker-Content-Digest": "sha256:" + "ab" * 32}
    web.headers[manifest] = {"token": "t0ken", "WWW-Authenticate": challenge, **digest}
    web.files |= {manifest: b"{}", "/token": json.dumps({"token": "t0ken"}).encode()}
    original = versions.requests.get
    monkeypatch.setattr(
        versions.requests, "get", lambda url, **o: original(url.replace("https:", "http:"), **o)
    )
    about = {"name": f"{host}/library/nginx", "tag": "1.0"}
    assert versions.image_digest(about) == "ab" * 32
    assert ("/token?service=registry&scope=pull", None) in web.log


def test_what_is_behind_its_newest_stable_release_is_told(
    versions: ModuleType, web: SimpleNamespace
) -> None:
    web.files |= {
        "/index.yaml": yaml.safe_dump(INDEX).encode(),
        "/releases/a/b": json.dumps({"tag_name": "v1.36.10+k3s1"}).encode(),
        "/releases/c/d": json.dumps({"tag_name": "v1.0"}).encode(),
    }
    pinned = {
        "versions": {
            "behind": {"version": "v1.36.9+k3s1", "releases": "a/b"},
            "current": {"version": "v1.0", "releases": "c/d"},
        },
        "charts": {
            "old": {"repository": web.url, "chart": "demo", "version": "1.9.0"},
            "new": {"repository": web.url, "chart": "demo", "version": "1.10.0"},
        },
    }
    assert list(versions.outdated(pinned)) == [
        ("behind", "v1.36.9+k3s1", "v1.36.10+k3s1"),
        ("old", "1.9.0", "1.10.0"),
    ]


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"chart": "none", "version": "1"}, "has no chart none"),
        ({"chart": "demo", "version": "9"}, "has no version 9 of it"),
    ],
)
def test_a_chart_that_is_not_there_is_named(
    versions: ModuleType, web: SimpleNamespace, about: dict[str, str], message: str
) -> None:
    web.files |= {"/index.yaml": yaml.safe_dump(INDEX).encode()}
    with pytest.raises(versions.VersionError, match=message):
        versions.chart_url("it", {"repository": web.url, **about})


def test_a_repository_without_an_index_is_named(versions: ModuleType, web: SimpleNamespace) -> None:
    with pytest.raises(versions.VersionError, match=r"index\.yaml: 404"):
        versions.chart_index(web.url)
    web.files |= {"/index.yaml": b"- no index\n"}
    with pytest.raises(versions.VersionError, match="is no index of a Helm repository"):
        versions.chart_index(web.url)


def test_checksums_are_written_whole_or_not_at_all(
    versions: ModuleType, web: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.files |= {"/one.yaml": b"one"}
    about = {"version": "v2", "url": web.url + "/one.yaml"}
    pinned = {"versions": {"one": about}, "charts": {}, "images": {}}
    (tmp_path / "versions.yaml").write_text(yaml.safe_dump(pinned))
    monkeypatch.setattr(versions, "CONFIGS", tmp_path)
    monkeypatch.setattr("sys.argv", ["versions.py", "lock"])
    versions.main()
    written = yaml.safe_load((tmp_path / "checksums.yaml").read_text())
    assert written == {"checksums": {"models": {}, "one": {"all": sha256(b"one")}}}
    before = (tmp_path / "checksums.yaml").read_text()
    web.files.clear()
    with pytest.raises(SystemExit, match=r"versions\.py lock: .*one\.yaml: 404"):
        versions.main()
    assert (tmp_path / "checksums.yaml").read_text() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_everything_is_pinned_to_one_release_with_a_reason() -> None:
    pinned = yaml.safe_load((ANSIBLE / "configs" / "versions.yaml").read_text())
    for kind in ("versions", "charts", "images"):
        for name, about in pinned[kind].items():
            assert about["why"], name
            version = str(about.get("version", about.get("tag")))
            assert version[0].isdigit() or version[0] == "v", name
            assert "latest" not in version, name
    mesh = {a["version"] for n, a in pinned["charts"].items() if n.startswith("istio")}
    assert len(mesh) == 1


def test_a_models_revision_is_its_repositorys_newest(
    versions: ModuleType, web: SimpleNamespace, tmp_path: Path
) -> None:
    made = {"model_name": "made", "model_recipe": {}}
    source = {"huggingface": "somebody/Small-1", "gated": True}
    for about in (made, {"model_name": "small", "model_source": source}):
        (tmp_path / f"{about['model_name']}.yaml").write_text(yaml.safe_dump(about))
    web.files["/models/somebody/Small-1"] = json.dumps({"sha": "ab" * 20}).encode()
    assert versions.model_revisions(tmp_path) == {"small": "ab" * 20}
