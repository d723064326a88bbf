"""One image per stage: its own dependencies alone, nobody's account, a root that is only read."""

from __future__ import annotations

import re

import pytest

from tests.containers import images
from tests.containers.engine import docker, inspect

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

SDK = {"connector": "boto3", "processor": "quixstreams", "sink": "deltalake"}
ENGINES = {
    "connector": "bridge.connector.service",
    "processor": "processors.service",
    "sink": "sinks.service",
}
CONFINED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--network", "none")
FIND = "import importlib.util as u, sys; print(*(n for n in sys.argv[1:] if u.find_spec(n)))"


def within(image: str, *command: str) -> str:
    """What a confined container of this image says."""
    return docker("run", "--rm", *CONFINED, "--entrypoint", command[0], image, *command[1:])


@pytest.mark.parametrize("stage", SDK)
def test_an_image_has_its_own_sdk_alone(built, stage):
    found = within(built[stage], "python", "-c", FIND, *SDK.values(), "moto", "pytest", "pip")
    assert found == SDK[stage]
    within(built[stage], "python", "-c", f"import {ENGINES[stage]}")
    assert "Usage" in within(built[stage], "tailrace", "run", "--help")


@pytest.mark.parametrize("target", ["connector", "processor", "sink", "control"])
def test_an_image_runs_as_nobody_and_writes_nowhere(built, target):
    assert within(built[target], "id", "-u") == "10001"
    said = within(built[target], "sh", "-c", "touch /opt/x /etc/x /transforms/x 2>&1; true")
    assert said.count("Read-only file system") == 3, said
    config = inspect(built[target])["Config"]
    assert config["User"] == "10001:10001"
    assert ("Healthcheck" in config) is (target != "control")


def test_sizes_are_the_documented_ones(built, base, capsys):
    readme = (images.ROOT / "README.md").read_text()
    under = images.size_mb(base)
    for target, image in built.items():
        more = images.size_mb(image) - under
        with capsys.disabled():
            print(f"\nimage {target}: {more:.0f} MB on a base of {under:.0f} MB")
        documented = re.search(rf"^\| `{target}` \|.*\| (\d+) MB \|$", readme, re.M)
        assert documented, f"the README has no size of {target}"
        assert more == pytest.approx(int(documented[1]), rel=0.15, abs=10)
