"""What every command begins with: its settings, and logging set up by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.control.settings import Settings

_STAGES = frozenset({"connector", "processor", "sink"})
# These need no Kafka, bring their own, or say themselves how it is.
_OFFLINE = frozenset({"demo", "doctor", "iam", "optimize", "query", "test"})


def command_settings(command: str) -> Settings:
    """The settings of a stage or command, with logging set up by them.

    Raises:
        ConfigurationError: a setting is unknown or wrong, or Kafka does not let us in.
    """
    from bridge.control.logs import configure_logging, log_unhandled
    from bridge.control.settings import load_settings

    settings = load_settings()
    configure_logging(
        stage=command,
        level=settings.log_level,
        style=settings.log_format,
        secrets=settings.secrets,
        client=command in _STAGES,
    )
    log_unhandled()
    if settings.brokers and settings.kafka and command not in _OFFLINE:
        from bridge.wire.access import check_access

        check_access(settings.kafka_config())
    return settings
