"""The compose file as it is, under a project name, with files and ports of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import urllib.request
from pathlib import Path
from typing import Any

from tests.containers.engine import compose_command, docker, inspect, run
from tests.containers.images import ROOT, TAG
from tests.parts.jars import jars
from tests.parts.ports import free_ports
from tests.parts.process import PartFailedError
from tests.parts.waiting import wait_until

HERE = Path(__file__).parent
PORTS = ("PAGE", "BROKER", "CONSOLE", "DYNAMODB", "S3", "PROMETHEUS", "GRAFANA")
STAGES = ("connector", "orders", "sink")
SECOND = "compose.status-totals.yaml"


class Stack:
    """The running example.

    Args:
        folder: for a copy of docker/, whose transforms may be changed.
        project: prefix of all it makes.
        stand_ins: whether stand-ins take the place of third parties' images.
    """

    def __init__(self, folder: Path, project: str, *, stand_ins: bool) -> None:
        self.folder = folder / "docker"
        shutil.copytree(ROOT / "docker", self.folder)
        self._project = project
        self._stand_ins = stand_ins
        ports = zip(PORTS, free_ports(len(PORTS)), strict=True)
        self._ports = {f"TAILRACE_{name}_PORT": str(port) for name, port in ports}
        self._environment = self._ports | {"TAILRACE_TAG": TAG}
        if stand_ins:
            self._environment |= {
                "STAND_INS_HERE": str(HERE),
                "STAND_INS_KAFKA": str(jars("kafka")),
                "STAND_INS_DYNAMODB": str(jars("dynamodb")),
                "STAND_INS_WEED": shutil.which("weed") or "",
            }
        self._command = compose_command()
        self.started = False

    def compose(self, *arguments: str, second: bool = False, timeout_s: float = 300) -> str:
        """`docker compose ARGUMENTS`, with the second transform's file if wanted."""
        files = [self.folder / "compose.yaml"]
        files += [HERE / "stand-ins.yaml"] if self._stand_ins else []
        files += [self.folder / SECOND] if second else []
        chosen = [part for file in files for part in ("-f", str(file))]
        return run(
            [*self._command, "-p", self._project, *chosen, *arguments],
            environment=self._environment,
            timeout_s=timeout_s,
        )

    def up(self) -> None:
        """All of it, but what no stand-in stands in for; returns when the stages are healthy."""
        without = {"console", "grafana"} if self._stand_ins else set()
        services = set(self.compose("config", "--services").split()) - without
        self.compose("up", "-d", *sorted(services - {"control", "tests"}))
        self.await_healthy(*STAGES, "page")
        self.started = True

    def await_healthy(self, *services: str, timeout_s: float = 240) -> None:
        """Wait until each container's own health check says so."""
        for service in services:
            wait_until(
                lambda service=service: self.health(service) == "healthy",
                timeout_s=timeout_s,
                what=f"{service} to be healthy",
                interval_s=0.5,
            )

    def container(self, service: str) -> str:
        """The id of a service's one container."""
        labels = {"project": self._project, "service": service, "oneoff": "False"}
        filters = [
            part
            for name, value in labels.items()
            for part in ("--filter", f"label=com.docker.compose.{name}={value}")
        ]
        found = docker("ps", "-aq", "--no-trunc", *filters)
        if len(found.split()) != 1:
            raise PartFailedError(f"{service}: not one container, but {found.split()}")
        return found

    def state(self, service: str) -> dict[str, Any]:
        """How its container is."""
        state: dict[str, Any] = inspect(self.container(service))["State"]
        return state

    def health(self, service: str) -> str:
        """What its health check says."""
        return str(self.state(service)["Health"]["Status"])

    def runs(self) -> dict[str, tuple[str, str]]:
        """By service: its container, and when that was started last."""
        named = (*STAGES, "page", "broker", "dynamodb", "s3")
        return {name: (self.container(name), self.state(name)["StartedAt"]) for name in named}

    def kill(self, service: str) -> None:
        """SIGKILL, from outside of Docker: as when the machine runs out of memory."""
        before = self.state(service)
        os.kill(before["Pid"], signal.SIGKILL)
        wait_until(
            lambda: self.state(service)["StartedAt"] != before["StartedAt"],
            timeout_s=60,
            what=f"the engine to start {service} again",
        )

    def cut(self, service: str) -> dict[str, Any]:
        """Take it off its network; gives what `connect` needs."""
        ((network, settings),) = inspect(self.container(service))["NetworkSettings"][
            "Networks"
        ].items()
        docker("network", "disconnect", network, self.container(service))
        return {"network": network, "aliases": settings["Aliases"] or []}

    def connect(self, service: str, network: str, aliases: list[str]) -> None:
        """Put it back where it was."""
        named = [part for alias in aliases for part in ("--alias", alias)]
        docker("network", "connect", *named, network, self.container(service))

    def command(self, *arguments: str, timeout_s: float = 240) -> str:
        """`tailrace ARGUMENTS` in a container of its own: its standard output."""
        return self.compose("run", "--rm", "-T", "control", *arguments, timeout_s=timeout_s)

    def verify(self) -> dict[str, Any]:
        """The report of `tailrace verify` on the folder. The shop is closed meanwhile."""
        self.compose("stop", "shop")
        said = self.command("verify", "/transforms", "--json", "--timeout", "240", timeout_s=300)
        self.compose("start", "shop")
        report: dict[str, Any] = json.loads(said.splitlines()[-1])
        return report

    def await_writes(self) -> None:
        """Wait until the shop has written for a while; it says so every ten seconds."""
        before = docker("logs", self.container("shop")).count("changes written")
        wait_until(
            lambda: docker("logs", self.container("shop")).count("changes written") > before,
            timeout_s=60,
            what="the shop to write",
            interval_s=0.5,
        )

    def get(self, port: str, path: str) -> Any:
        """What a published port answers, from JSON."""
        url = f"http://127.0.0.1:{self._ports[f'TAILRACE_{port}_PORT']}{path}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)

    def logs(self) -> str:
        """What its containers said last."""
        return self.compose("ps", second=True) + self.compose(
            "logs", "--no-color", "--tail", "40", second=True
        )

    def down(self) -> None:
        """Nothing is left of it, volumes neither."""
        self.compose("down", "--volumes", "--remove-orphans", "-t", "5", second=True)
