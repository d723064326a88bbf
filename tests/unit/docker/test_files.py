"""Images, running example and Kubernetes manifests, as far as they are read without an engine."""

import ast
import re
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[3]
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
KUBERNETES = "1.32"
OWN = {"connector", "orders", "sink", "page", "control", "setup", "shop", "tests"}
STAGES = ("connector", "orders", "sink")
MANIFESTS = [
    (path.name, document)
    for path in sorted((DOCKER / "k8s").glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for document in yaml.safe_load_all(path.read_text())
]
WORKLOADS = [m for _, m in MANIFESTS if m["kind"] in ("Deployment", "StatefulSet")]


def test_every_target_has_its_own_extra_and_is_the_given_base():
    assert re.findall(r"^FROM (\S+) AS (\w+)$", DOCKERFILE, re.M)[0] == ("${BASE}", "build")
    assert set(re.findall(r"^FROM (\S+) AS", DOCKERFILE, re.M)) <= {
        "${BASE}", "build", "build-connector", "build-control", "runtime", "stage",
    }  # fmt: skip
    for target in ("connector", "processor", "sink"):
        assert f"COPY --from=build-{target} /opt/tailrace" in DOCKERFILE
        assert f"install.py /opt/tailrace {target}\n" in DOCKERFILE
        assert target in EXTRAS
    runtime = DOCKERFILE[DOCKERFILE.index("AS runtime") :]
    assert "USER 10001:10001" in runtime
    assert "USER" not in runtime.replace("USER 10001:10001", "", 1), "nothing is root again"


def test_our_containers_are_confined_and_third_parties_pinned():
    for name, service in COMPOSE["services"].items():
        if name in OWN:
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
            assert service["image"].startswith("tailrace-"), name
        else:
            assert re.search(r":v?\d+\.\d+", service["image"]), f"{name}: no version"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} listens on more than loopback"
    assert {COMPOSE["services"][name]["restart"] for name in STAGES} == {"unless-stopped"}


def test_a_second_transform_is_a_service_beside_and_changes_no_other():
    second = yaml.safe_load((DOCKER / "compose.status-totals.yaml").read_text())
    assert not set(second["services"]) & set(COMPOSE["services"])
    service, first = second["services"]["status-totals"], COMPOSE["services"]["orders"]
    for what in ("image", "read_only", "cap_drop", "security_opt", "networks", "restart"):
        assert service[what] == first[what]
    assert service["volumes"][1] != first["volumes"][1], "state is nobody else's"


def test_the_example_transform_is_the_one_of_the_readme():
    example = ROOT / "processors" / "examples" / "orders.py"
    files = [example, DOCKER / "transforms" / "orders.py", DOCKER / "k8s" / "orders.py"]
    assert len({ast.dump(ast.parse(file.read_text())) for file in files}) == 1


def test_prometheus_finds_every_stage_by_a_name_of_the_compose_file():
    jobs = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yaml").read_text())["scrape_configs"]
    names = {job["job_name"]: job["dns_sd_configs"][0]["names"] for job in jobs}
    aliases = COMPOSE["services"]["orders"]["networks"]["default"]["aliases"]
    assert names == {"connector": ["connector"], "processor": aliases, "sink": ["sink"]}


@pytest.mark.parametrize("manifest", [m for _, m in MANIFESTS], ids=lambda m: m["kind"])
def test_manifests_fit_the_schema(manifest):
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_a_wrong_manifest_is_seen():
    wrong = {**WORKLOADS[0], "spec": {**WORKLOADS[0]["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_kustomize_lists_what_is_there_and_sets_every_image():
    listed = yaml.safe_load((DOCKER / "k8s" / "kustomization.yaml").read_text())
    assert set(listed["resources"]) == {name for name, _ in MANIFESTS}
    images = {w["spec"]["template"]["spec"]["containers"][0]["image"] for w in WORKLOADS}
    assert {image["name"] for image in listed["images"]} == images
    for generator in listed["configMapGenerator"]:
        for file in (*generator.get("files", []), *generator.get("envs", [])):
            assert (DOCKER / "k8s" / file).is_file()


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w["metadata"]["name"])
def test_workloads_are_confined_probed_and_limited(workload):
    pod = workload["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["readinessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["livenessProbe"] and container["startupProbe"]
    assert (
        container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
    )
    kinds = {"processor": "StatefulSet"}
    expected = kinds.get(container["image"].removeprefix("tailrace-"), "Deployment")
    assert workload["kind"] == expected


def test_a_processor_replica_keeps_its_name_and_its_state():
    orders = next(w for w in WORKLOADS if w["kind"] == "StatefulSet")
    container = orders["spec"]["template"]["spec"]["containers"][0]
    assert [variable["name"] for variable in container["env"]] == ["TAILRACE_REPLICA"]
    claim = orders["spec"]["volumeClaimTemplates"][0]["metadata"]["name"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert f"TAILRACE_STATE_DIR={mounts[claim]}\n" in DOCKERFILE


def test_no_secret_is_in_the_manifests():
    assert not [m for _, m in MANIFESTS if m["kind"] == "Secret"]
    for line in (DOCKER / "k8s" / "secret.example").read_text().splitlines():
        assert line.startswith("#") or line.endswith("=")
    assert not re.search(r"PASSWORD|SECRET", (DOCKER / "k8s" / "settings.env").read_text())
