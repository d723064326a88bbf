"""Images to test: ours from docker/Dockerfile, and where none can be pulled, a base and stand-ins.

The base is a minimal Debian with Python. The stand-ins run Apache Kafka, DynamoDB Local, SeaweedFS
and Prometheus under the names the compose file has for third parties.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.containers.engine import docker, run

ROOT = Path(__file__).parents[2]
TAG = "test"
_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
# Nobody reads them in a container.
_UNREAD = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "var/lib/apt/lists",
)
_STAND_INS = """\
ARG BASE
FROM ${BASE}
RUN mkdir -p /usr/share/man/man1 && apt-get -qq update \\
    && apt-get -qq -y --no-install-recommends install openjdk-17-jre-headless prometheus
"""


def made_base() -> str:
    """A base made on the spot from Debian packages, with this machine's CA certificates.

    Raises:
        PartFailedError: debootstrap could not.
    """
    name = f"tailrace-base:{TAG}"
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "root"
        # The files are thrown away: nothing has to reach the disk.
        run(
            ["debootstrap", "--variant=minbase", "--include=ca-certificates,python3-venv",
             "bookworm", str(root)],
            timeout_s=600,
            environment={"DPKG_FORCE": "unsafe-io"},
        )  # fmt: skip
        if _CA_BUNDLE.exists():
            shutil.copyfile(_CA_BUNDLE, root / _CA_BUNDLE.relative_to("/"))
        for folder in _UNREAD:
            shutil.rmtree(root / folder, ignore_errors=True)
        for package in (root / "var/cache/apt/archives").glob("*.deb"):
            package.unlink()
        archive = Path(scratch) / "root.tar"
        run(["tar", "-C", str(root), "--numeric-owner", "-cf", str(archive), "."])
        docker("import", str(archive), name)
    return name


def built(target: str, base: str | None) -> str:
    """The image of one target of our Dockerfile.

    Raises:
        PartFailedError: it could not be built.
    """
    name = f"tailrace-{target}:{TAG}"
    with pip_settings() as settings:
        options = ["--target", target, "--secret", f"id=pip,src={settings}"]
        _build(name, base, [*options, "-f", str(ROOT / "docker" / "Dockerfile"), str(ROOT)])
    return name


def stand_ins(base: str) -> str:
    """The image of the stand-ins' programs; Kafka's and DynamoDB's come as mounted folders."""
    name = f"tailrace-stand-ins:{TAG}"
    with tempfile.TemporaryDirectory() as context:
        (Path(context) / "Dockerfile").write_text(_STAND_INS)
        _build(name, base, [context])
    return name


def _build(name: str, base: str | None, rest: list[str]) -> None:
    chosen = [] if base is None else ["--build-arg", f"BASE={base}"]
    proxies = [part for proxy in _PROXIES if proxy in os.environ for part in ("--build-arg", proxy)]
    run(
        ["docker", "build", "--network", "host", "-t", name, *chosen, *proxies, *rest],
        environment={"BUILDKIT_PROGRESS": "plain"},
        timeout_s=900,
    )


@contextlib.contextmanager
def pip_settings() -> Iterator[Path]:
    """How pip reaches the package index here, as a file for the build alone."""
    lines = []
    for line in run(["pip", "config", "list"]).splitlines():
        found = re.fullmatch(r"(?:global|install|:env:)\.([a-z-]+)='(.*)'", line)
        # What names a file of this machine is of no use in there.
        if found and (not found[2].startswith("/") or found[2] == str(_CA_BUNDLE)):
            lines.append(f"{found[1]} = {found[2]}\n")
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.writelines(["[global]\n", *dict.fromkeys(lines)])
        file.flush()
        yield Path(file.name)


def size_mb(image: str) -> float:
    """What an image takes on disk, in MB of a million bytes, its base with it."""
    return int(docker("image", "inspect", "--format", "{{.Size}}", image)) / 1e6
