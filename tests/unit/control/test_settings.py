"""Settings: the environment before the file, unknown names are errors, secrets stay secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.control.settings import Settings, adopt, environment, load_settings
from bridge.wire.errors import ConfigurationError


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No settings but the test's own."""
    import os

    for name in [name for name in os.environ if name.upper().startswith("TAILRACE_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, name: str = "tailrace.yaml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def test_defaults_need_no_environment_and_no_file() -> None:
    settings = load_settings()

    assert settings.namespace == "tailrace"
    assert settings.partitions == 4
    assert not settings.enable_streams


def test_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write("namespace: from-file\npartitions: 7\n")
    monkeypatch.setenv("TAILRACE_NAMESPACE", "from-environment")

    settings = load_settings()

    assert (settings.namespace, settings.partitions) == ("from-environment", 7)


def test_another_file_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    write("replica: two\n", "other.yaml")
    monkeypatch.setenv("TAILRACE_CONFIG", "other.yaml")

    assert load_settings().replica == "two"


def test_a_named_file_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_CONFIG", "absent.yaml")

    with pytest.raises(ConfigurationError, match=r"absent\.yaml: can't read it"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("TAILRACE_BROKER", "TAILRACE_BROKERS"),
        ("TAILRACE_NAMESPCE", "TAILRACE_NAMESPACE"),
        ("TAILRACE_KAFKAA__SASL_PASSWORD", "TAILRACE_KAFKA"),
    ],
)
def test_an_unknown_variable_names_the_nearest(
    monkeypatch: pytest.MonkeyPatch, name: str, nearest: str
) -> None:
    monkeypatch.setenv(name, "x")

    with pytest.raises(ConfigurationError, match=rf"unknown setting {name}.*{nearest}\?"):
        load_settings()


def test_an_unknown_key_of_the_file_names_the_nearest() -> None:
    write("brokrs: a:9092\n")

    with pytest.raises(
        ConfigurationError, match=r"tailrace\.yaml: unknown setting brokrs.*brokers"
    ):
        load_settings()


@pytest.mark.parametrize("text", ["- a\n", "just text\n", "1: 2\n"])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    write(text)

    with pytest.raises(ConfigurationError, match="not a mapping"):
        load_settings()


def test_a_file_that_is_no_yaml_names_the_line() -> None:
    write("a: 1\nb: [\n")

    with pytest.raises(ConfigurationError, match="not YAML in line"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TAILRACE_PARTITIONS", "many"),
        ("TAILRACE_PARTITIONS", "0"),
        ("TAILRACE_NAMESPACE", "sp ace"),
        ("TAILRACE_REPLICA", "a/b"),
        ("TAILRACE_LOG_LEVEL", "LOUD"),
        ("TAILRACE_METRICS_PORT", "70000"),
    ],
)
def test_a_value_that_does_not_fit_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=name) as caught:
        load_settings()
    assert caught.value.exit_code == 2


def test_a_wrong_value_in_the_file_names_the_file() -> None:
    write("partitions: many\n")

    with pytest.raises(ConfigurationError, match=r"tailrace\.yaml: partitions"):
        load_settings()


def test_kafka_security_passes_through_from_both(monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        "brokers: a:9092\n"
        "kafka: {security.protocol: SASL_SSL, sasl_username: me, ssl.ca.location: /ca.pem,"
        " enable.ssl.certificate.verification: false}\n"
    )
    monkeypatch.setenv("TAILRACE_KAFKA__SASL_PASSWORD", "canary-pw")

    client = load_settings().kafka_config().client()

    assert client["security.protocol"] == "SASL_SSL"
    assert client["sasl.username"] == "me"
    assert client["ssl.ca.location"] == "/ca.pem"
    assert client["sasl.password"] == "canary-pw"
    assert client["enable.ssl.certificate.verification"] == "false"


def test_kafka_settings_that_carry_promises_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_KAFKA__ENABLE_IDEMPOTENCE", "false")

    with pytest.raises(ConfigurationError, match=r"enable\.idempotence can't be set"):
        load_settings()


def test_secrets_are_in_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_KAFKA__SASL_PASSWORD", "canary-pw")
    monkeypatch.setenv("TAILRACE_LAKE_OPTIONS__AWS_SECRET_ACCESS_KEY", "canary-key")
    monkeypatch.setenv("TAILRACE_BROKERS", "a:9092")
    settings = load_settings()

    shown = f"{settings} {settings!r} {settings.kafka_config()!r} {settings.model_dump_json()}"

    assert "canary" not in shown
    assert settings.secrets == {"canary-pw", "canary-key"}
    assert settings.storage_options() == {"AWS_SECRET_ACCESS_KEY": "canary-key"}


def test_names_and_switches_are_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-aws")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "canary-session")
    write(
        "kafka: {security.protocol: SASL_SSL, sasl.username: me, ssl.key.location: /key,"
        " sasl.oauthbearer.client.id: us, ssl.ca.pem: public}\n"
        "lake_options: {AWS_ACCESS_KEY_ID: test, AWS_REGION: eu-west-1, ALLOW_HTTP: true,"
        " AWS_SSE_BUCKET_KEY_ENABLED: true, AWS_ENDPOINT_URL: http://s3}\n"
    )

    assert load_settings().secrets == {"canary-aws", "canary-session"}


@pytest.mark.parametrize(
    "option",
    [
        "kafka: {sasl.password: canary}",
        "kafka: {SSL_KEY_PEM: canary}",
        "kafka: {ssl.keystore.password: canary}",
        "kafka: {sasl.oauthbearer.client.secret: canary}",
        "lake_options: {aws_secret_access_key: canary}",
        "lake_options: {AZURE_STORAGE_ACCOUNT_KEY: canary}",
        "lake_options: {AWS_SESSION_TOKEN: canary}",
    ],
)
def test_a_secret_written_into_the_file_is_refused(option: str) -> None:
    write(f"{option}\n")

    with pytest.raises(ConfigurationError, match=r"is a secret: write \$\{env:NAME\}") as caught:
        load_settings()
    assert "canary" not in str(caught.value)


def test_secrets_come_by_reference(monkeypatch: pytest.MonkeyPatch, clean: Path) -> None:
    mounted = clean / "mounted"
    mounted.write_text("canary-file\n")
    monkeypatch.setenv("KAFKA_PW", "canary-env")
    write(
        "brokers: a:9092\n"
        "kafka: {sasl.password: '${env:KAFKA_PW}'}\n"
        f"lake_options: {{AWS_SECRET_ACCESS_KEY: '${{file:{mounted}}}'}}\n"
    )

    settings = load_settings()

    assert settings.kafka_config().client()["sasl.password"] == "canary-env"
    assert settings.storage_options() == {"AWS_SECRET_ACCESS_KEY": "canary-file"}
    assert settings.secrets == {"canary-env", "canary-file"}


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("${env:ABSENT}", "the variable ABSENT is not set"),
        ("${file:/absent/pw}", "can't read /absent/pw: No such file"),
        ("${vault:kafka/pw}", r"write \$\{env:NAME\} or \$\{file:PATH\}, not \$\{vault:"),
    ],
)
def test_a_reference_to_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, reference: str, said: str
) -> None:
    monkeypatch.setenv("TAILRACE_KAFKA__SASL_PASSWORD", reference)

    with pytest.raises(ConfigurationError, match=rf"TAILRACE_KAFKA.*sasl\.password: {said}"):
        load_settings()


def test_a_malformed_secret_is_not_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_KAFKA", "{canary-pw")

    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert "canary" not in str(caught.value)


def test_missing_brokers_and_lake_name_their_variables() -> None:
    settings = load_settings()

    with pytest.raises(ConfigurationError, match="TAILRACE_BROKERS"):
        settings.kafka_config()
    with pytest.raises(ConfigurationError, match="TAILRACE_LAKE"):
        settings.lake_uri()


def test_a_folder_as_lake_becomes_absolute(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_LAKE", "lake")
    assert load_settings().lake_uri() == str(clean / "lake")

    monkeypatch.setenv("TAILRACE_LAKE", "s3://bucket/lake")
    assert load_settings().lake_uri() == "s3://bucket/lake"


def test_a_childs_environment_changes_and_removes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_FAIL", "x")
    monkeypatch.setenv("AWS_PROFILE", "mine")

    found = environment(
        {"fail": None, "enable_streams": True, "replica": "a"}, {"AWS_PROFILE": None, "OTHER": "1"}
    )

    assert "TAILRACE_FAIL" not in found
    assert "AWS_PROFILE" not in found
    assert found["TAILRACE_ENABLE_STREAMS"] == "1"
    assert (found["TAILRACE_REPLICA"], found["OTHER"]) == ("a", "1")


def test_adopting_changes_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "before")

    adopt({"AWS_PROFILE": None, "AWS_DEFAULT_REGION": "after"})

    assert "AWS_PROFILE" not in os.environ
    assert os.environ["AWS_DEFAULT_REGION"] == "after"


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())
