"""Keep what the kubernetes platform downloads pinned: configs/versions.yaml and checksums.yaml.

Usage: python versions.py lock        download everything once, write its SHA-256 (of an image: its
                                      digest; of a model: its commit) to configs/checksums.yaml
       python versions.py outdated    print what is behind its newest stable release; exits with 3
                                      if anything is

Needs the internet. Versions are changed by hand in versions.yaml, with the reason; then `lock`.
"""

import argparse
import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

import requests
import yaml

HUGGING_FACE = "https://huggingface.co/api/models/{}"
CONFIGS = Path(__file__).resolve().parent / "configs"
RELEASES = "https://api.github.com/repos/{}/releases/latest"
TIMEOUT_S = 60
ARCHITECTURES = {"amd64": "", "arm64": "-arm64"}
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the other one takes minutes
STABLE = re.compile(r"^v?[0-9]+(\.[0-9]+)*(\+[0-9A-Za-z.]+)?$")


class VersionError(Exception):
    """Something cannot be downloaded, or is not what it should be; the message says what."""


def get(url: str, **options: Any) -> requests.Response:
    """Fetch a URL.

    Raises:
        VersionError: it does not answer, or not with success.
    """
    try:
        answer = requests.get(url, timeout=TIMEOUT_S, **options)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise VersionError(f"{url}: {error}") from error
    return answer


def sha256_of(url: str) -> str:
    """Return the hex SHA-256 of what a URL answers."""
    digest = hashlib.sha256()
    with get(url, stream=True) as answer:
        for piece in answer.iter_content(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def file_urls(about: dict[str, Any]) -> dict[str, str]:
    """Return the addresses of a download by architecture; `all` where it has just one."""
    url = about["url"].replace("{version}", quote(about["version"]))
    if "{suffix}" not in url and "{architecture}" not in url:
        return {"all": url}
    return {
        name: url.replace("{suffix}", suffix).replace("{architecture}", name)
        for name, suffix in ARCHITECTURES.items()
    }


def chart_index(repository: str) -> dict[str, list[dict[str, Any]]]:
    """Return the charts of a Helm repository: name -> releases, newest first.

    Raises:
        VersionError: it has no index.
    """
    url = f"{repository}/index.yaml"
    index = yaml.load(get(url).content, LOADER)  # noqa: S506 - it is a safe one
    if not isinstance(index, dict) or not isinstance(index.get("entries"), dict):
        raise VersionError(f"{url}: is no index of a Helm repository")
    entries: dict[str, list[dict[str, Any]]] = index["entries"]
    return entries


def chart_releases(name: str, about: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all releases of a chart.

    Raises:
        VersionError: the repository does not have it.
    """
    chart = about.get("chart", name)
    releases = chart_index(about["repository"]).get(chart)
    if not releases:
        raise VersionError(f"{about['repository']} has no chart {chart}")
    return releases


def chart_url(name: str, about: dict[str, Any]) -> str:
    """Return the address of a chart's archive.

    Raises:
        VersionError: there is no such version.
    """
    for release in chart_releases(name, about):
        if release["version"] == about["version"]:
            return urljoin(f"{about['repository']}/", str(release["urls"][0]))
    raise VersionError(f"{about['repository']} has no version {about['version']} of {name}")


def image_digest(about: dict[str, Any]) -> str:
    """Return the digest of an image for all architectures, from its registry.

    Protocol: github.com/opencontainers/distribution-spec, and the anonymous token that registries
    ask for (RFC 6750 challenge).

    Raises:
        VersionError: the registry does not say.
    """
    host, _, name = about["name"].partition("/")
    host = {"docker.io": "registry-1.docker.io"}.get(host, host)
    url = f"https://{host}/v2/{name}/manifests/{about['tag']}"
    headers = {"Accept": ", ".join(MANIFESTS)}
    first = requests.get(url, headers=headers, timeout=TIMEOUT_S)
    if first.status_code == 401:
        challenge = dict(re.findall(r'(\w+)="([^"]*)"', first.headers.get("WWW-Authenticate", "")))
        parameters = {key: challenge[key] for key in ("service", "scope") if key in challenge}
        token = get(challenge["realm"], params=parameters).json()["token"]
        first = get(url, headers={**headers, "Authorization": f"Bearer {token}"})
    digest = first.headers.get("Docker-Content-Digest", "")
    if not digest.startswith("sha256:"):
        raise VersionError(f"{url}: no digest, status {first.status_code}")
    return digest.removeprefix("sha256:")


def model_revisions(folder: Path) -> dict[str, str]:
    """Return the newest commit of each model that is downloaded, by the model's name."""
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        about = yaml.safe_load(path.read_text())
        if "model_source" in about:
            source = about["model_source"]["huggingface"]
            print(f"model {source}", flush=True)
            found[about["model_name"]] = get(HUGGING_FACE.format(source)).json()["sha"]
    return found


def lock(pinned: dict[str, Any]) -> dict[str, Any]:
    """Return the checksums of everything that is pinned."""
    found: dict[str, Any] = {}
    for name, about in pinned["versions"].items():
        print(f"{name} {about['version']}", flush=True)
        found[name] = {key: sha256_of(url) for key, url in file_urls(about).items()}
    for name, about in pinned["charts"].items():
        print(f"chart {name} {about['version']}", flush=True)
        url = chart_url(name, about)
        found[name] = {"url": url, "all": sha256_of(url)}
    for name, about in pinned["images"].items():
        print(f"image {about['name']}:{about['tag']}", flush=True)
        found[name] = {"all": image_digest(about)}
    return found


def numbers(version: str) -> list[int]:
    """Return the numbers of a version, to compare by."""
    return [int(part) for part in re.findall(r"[0-9]+", version)]


def outdated(pinned: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield (name, pinned version, newest stable version) of what is behind."""
    for name, about in pinned["versions"].items():
        newest = get(RELEASES.format(about["releases"])).json()["tag_name"]
        if numbers(newest) > numbers(about["version"]):
            yield name, about["version"], newest
    for name, about in pinned["charts"].items():
        stable = [r["version"] for r in chart_releases(name, about) if STABLE.match(r["version"])]
        newest = max(stable, key=numbers)
        if numbers(newest) > numbers(about["version"]):
            yield name, about["version"], newest


def write(path: Path, checksums: dict[str, Any]) -> None:
    """Write the checksums, whole or not at all."""
    text = "# Written by versions.py lock.\n" + yaml.safe_dump({"checksums": checksums})
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)


def main() -> None:
    """Lock, or look for what is outdated; errors are one line and exit status 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("lock", "outdated"))
    command = parser.parse_args().command
    pinned = yaml.safe_load((CONFIGS / "versions.yaml").read_text())
    try:
        if command == "lock":
            models = {"models": model_revisions(CONFIGS / "models")}
            write(CONFIGS / "checksums.yaml", {**lock(pinned), **models})
            return
        behind = list(outdated(pinned))
    except VersionError as error:
        sys.exit(f"versions.py {command}: {error}")
    for name, version, newest in behind:
        print(f"{name:26} {version:16} {newest}")
    sys.exit(3 if behind else 0)


if __name__ == "__main__":
    main()
