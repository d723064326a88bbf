"""Settings: `TAILRACE_*` in the environment and an optional `tailrace.yaml`; the environment wins.

The only module that reads the environment. A name nobody knows is an error, because a misspelled
setting that is silently ignored shows at 3 in the morning. Secrets are `SecretStr`: they appear in
no message, log line or repr.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from bridge.control.references import check_not_written, is_secret, resolve
from bridge.wire.errors import ConfigurationError
from bridge.wire.kafka import KafkaConfig
from bridge.wire.topics import DEFAULT_BUCKETS, DEFAULT_PARTITIONS, DEFAULT_RETENTION_MS

PREFIX = "TAILRACE_"
# botocore's own, which the connector and the commands sign with.
_AWS_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
DEFAULT_FILE = "tailrace.yaml"
_MS_PER_HOUR = 3_600_000
_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_REPLICA = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# What a person may tell librdkafka: how to get in. The rest carries the promises and stays ours.
_KAFKA_ALLOWED = re.compile(
    r"(security|sasl|ssl|https|enable\.ssl|enable\.sasl)\..+|client\.dns\.lookup|broker\.address\.family"
)


class Settings(BaseSettings):
    """Every setting with its default; the name in the environment is `TAILRACE_` + upper case."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    brokers: str | None = Field(
        None, description="Kafka bootstrap servers, `host:port[,host:port]`"
    )
    namespace: str = Field(
        "tailrace", description="first part of the name of every topic, group and transactional id"
    )
    lake: str | None = Field(
        None, description="base URI of the Delta tables: a folder or `s3://bucket/prefix`"
    )
    lake_options: Mapping[str, SecretStr] = Field(
        default_factory=dict,
        description="options of the object store, e.g. `TAILRACE_LAKE_OPTIONS__AWS_REGION`; a "
        "value may be `${env:NAME}` or `${file:PATH}`",
    )
    state_dir: Path = Field(
        Path(".tailrace/state"), description="where a processor keeps its RocksDB state"
    )
    replica: str = Field(
        "0",
        description="this process's fixed name; its transactional and member ids come from it",
    )
    kafka: Mapping[str, SecretStr] = Field(
        default_factory=dict,
        description="librdkafka's security settings, e.g. `TAILRACE_KAFKA__SECURITY_PROTOCOL`; a "
        "value may be `${env:NAME}` or `${file:PATH}`",
    )
    static_membership: bool = Field(
        False, description="fixed group member ids: needed by the embedded broker only"
    )
    enable_streams: bool = Field(
        False, description="let the connector turn a table's stream on where it is off"
    )
    partitions: int = Field(
        DEFAULT_PARTITIONS, ge=1, le=10_000, description="partitions of a new changes topic"
    )
    buckets: int = Field(
        DEFAULT_BUCKETS,
        ge=1,
        le=1_000,
        description="partitions of `_checkpoints`: how many connector workers can share the load",
    )
    replication: int = Field(
        -1, ge=-1, le=10, description="replicas of new topics; -1 is the broker's default"
    )
    retention_hours: float = Field(
        DEFAULT_RETENTION_MS / _MS_PER_HOUR,
        ge=25,
        description="how long new data topics keep messages",
    )
    freshness_s: float = Field(
        5.0,
        ge=0.1,
        le=600,
        description="the target: seconds from a row's arrival in Kafka to its commit in the table; "
        "connector and processor collect for a fifth of it",
    )
    memory_gb: float = Field(2.0, ge=0.5, le=1_000, description="memory a sink process may take")
    metrics_port: int = Field(
        0, ge=0, le=65_535, description="port of `/metrics` and `/healthz`; 0 turns them off"
    )
    metrics_host: str = Field("127.0.0.1", description="address that port listens on")
    accept_change: bool = Field(
        False, description="a processor goes on although its transform was changed"
    )
    dead_letters_max: int = Field(
        1_000,
        ge=0,
        description="a processor stops when it had to set aside more changes than these, of the "
        "last twice as many; 0: any number",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="least level that is logged"
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="one line per event; auto is text on a terminal, else JSON"
    )
    fail: str | None = Field(
        None, description="kill this process at a named point, `point[:n]`; for tests"
    )
    config: Path = Field(
        Path(DEFAULT_FILE), description="the settings file; only in the environment"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (the base's signature)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment before the file, whose content arrives as arguments."""
        return env_settings, init_settings

    @field_validator("kafka", mode="before")
    @classmethod
    def _kafka_names(cls, value: object) -> object:
        return _renamed(value, lambda name: name.lower().replace("_", "."), _check_kafka_name)

    @field_validator("lake_options", mode="before")
    @classmethod
    def _lake_names(cls, value: object) -> object:
        return _renamed(value, str.upper, lambda _: None)

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("namespace")
    @classmethod
    def _topic_name(cls, value: str) -> str:
        return _matching(value, _NAMESPACE, "1 to 100 of A-Z a-z 0-9 . _ -")

    @field_validator("replica")
    @classmethod
    def _member_name(cls, value: str) -> str:
        return _matching(value, _REPLICA, "1 to 64 of A-Z a-z 0-9 . _ -")

    @property
    def retention_ms(self) -> int:
        """Retention of new data topics in milliseconds."""
        return int(self.retention_hours * _MS_PER_HOUR)

    @property
    def collect_s(self) -> float:
        """How long connector and processor collect before they commit, in seconds."""
        return max(self.freshness_s / 5, 0.1)

    @property
    def memory_bytes(self) -> int:
        """Memory a sink process may take."""
        return int(self.memory_gb * 1024**3)

    @property
    def secrets(self) -> frozenset[str]:
        """Every secret value, for the log's redaction. Handle with care."""
        options = (*self.kafka.items(), *self.lake_options.items())
        own = {value.get_secret_value() for name, value in options if is_secret(name)}
        return frozenset(own | {os.environ.get(name, "") for name in _AWS_SECRETS} - {""})

    def storage_options(self) -> dict[str, str]:
        """Object store options in the clear, for delta-rs alone."""
        return {name: secret.get_secret_value() for name, secret in self.lake_options.items()}

    def kafka_config(self) -> KafkaConfig:
        """Where Kafka is and who we are there.

        Raises:
            ConfigurationError: no brokers are set.
        """
        if not self.brokers:
            raise ConfigurationError(
                "no Kafka brokers are set",
                where="TAILRACE_BROKERS",
                remedy="Set it to host:port, or use `tailrace dev`, which brings a broker along",
            )
        return KafkaConfig(
            brokers=self.brokers,
            namespace=self.namespace,
            replica=self.replica,
            security={name: secret.get_secret_value() for name, secret in self.kafka.items()},
            static_membership=self.static_membership,
        )

    def lake_uri(self) -> str:
        """Base URI of the tables; a folder as an absolute path.

        Raises:
            ConfigurationError: it is not set.
        """
        if not self.lake:
            raise ConfigurationError(
                "no lake is set",
                where="TAILRACE_LAKE",
                remedy="Set it to the base of the tables: a folder or s3://bucket/prefix",
            )
        return self.lake if "://" in self.lake else str(Path(self.lake).expanduser().absolute())


def load_settings() -> Settings:
    """The settings of this process.

    Raises:
        ConfigurationError: an unknown name (with the nearest known one), a value that does not fit,
            or a settings file that can't be read.
    """
    known = Settings.model_fields
    given = [name for name in os.environ if name.upper().startswith(PREFIX)]
    for name in given:
        _check_known(name[len(PREFIX) :].lower().split("__")[0], known, shown=name)
    path = Path(os.environ.get(f"{PREFIX}CONFIG", DEFAULT_FILE))
    body = _read_file(path, required=f"{PREFIX}CONFIG" in os.environ)
    for name, value in body.items():
        _check_known(name, known.keys() - {"config"}, shown=name, where=str(path))
        if name in ("kafka", "lake_options"):
            _check_references(value, f"{path}: {name}")
    try:
        return Settings(**body)
    except ValidationError as error:
        raise _invalid(error, {name.upper() for name in given}, path) from None
    except SettingsError as error:
        raise ConfigurationError(str(error).split(" from source")[0], where="environment") from None


def _check_references(options: object, where: str) -> None:
    try:
        check_not_written(options)
    except ValueError as error:
        raise ConfigurationError(str(error), where=where) from None


def environment(
    settings: Mapping[str, object] | None = None,
    variables: Mapping[str, str | None] | None = None,
) -> dict[str, str]:
    """This process's environment for a child, with settings and other variables changed.

    None removes one.
    """
    changed = {
        f"{PREFIX}{name.upper()}": None if value is None else _text(value)
        for name, value in (settings or {}).items()
    } | dict(variables or {})
    kept = {name: value for name, value in os.environ.items() if name not in changed}
    return kept | {name: value for name, value in changed.items() if value is not None}


def adopt(variables: Mapping[str, str | None]) -> None:
    """Change this process's own environment, which AWS clients read; None removes a variable."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _read_file(path: Path, *, required: bool) -> dict[str, Any]:
    if not path.exists() and not required:
        return {}
    import yaml

    try:
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"can't read it: {error.strerror}", where=str(path)) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        raise ConfigurationError(f"not YAML{line}", where=str(path)) from None
    if body is None:
        return {}
    if not (isinstance(body, dict) and all(isinstance(name, str) for name in body)):
        raise ConfigurationError(
            "not a mapping of settings", where=str(path), remedy="Write one `name: value` per line"
        )
    return body


def _check_known(
    name: str, known: Iterable[str], *, shown: str, where: str = "environment"
) -> None:
    known = sorted(known)
    if name in known:
        return
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    in_environment = where == "environment"
    spelled = [f"{PREFIX}{text.upper()}" if in_environment else text for text in nearest or known]
    remedy = f"Did you mean {spelled[0]}?" if nearest else f"Known are {', '.join(spelled)}"
    raise ConfigurationError(f"unknown setting {shown[:100]}", where=where, remedy=remedy)


def _invalid(error: ValidationError, given: set[str], path: Path) -> ConfigurationError:
    """The first thing pydantic found, without the value: it may be a secret."""
    first = error.errors(include_input=False, include_url=False)[0]
    name = str(first["loc"][0])
    variable = f"{PREFIX}{name.upper()}"
    from_environment = any(text.split("__")[0] == variable for text in given)
    rest = "".join(f"[{part}]" for part in first["loc"][1:])
    where = f"{variable}{rest}" if from_environment else f"{path}: {name}{rest}"
    return ConfigurationError(first["msg"].removeprefix("Value error, "), where=where)


def _renamed(value: object, rename: Callable[[str], str], check: Callable[[str], None]) -> object:
    if not isinstance(value, Mapping):
        return value
    renamed = {rename(str(name)): _scalar(content) for name, content in value.items()}
    for name in renamed:
        check(name)
    return {name: resolve(name, content, os.environ) for name, content in renamed.items()}


def _scalar(value: object) -> object:
    """YAML reads `true` and `9092` as what they look like; librdkafka wants their text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _check_kafka_name(name: str) -> None:
    if not _KAFKA_ALLOWED.fullmatch(name):
        raise ValueError(
            f"{name[:60]} can't be set: only security settings (security.*, sasl.*, ssl.*) pass"
        )


def _matching(value: str, pattern: re.Pattern[str], rule: str) -> str:
    if not pattern.fullmatch(value):
        raise ValueError(f"use {rule}, beginning with a letter or digit")
    return value
