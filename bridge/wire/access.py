"""Are we let in? A wrong password or certificate is told at the start, within seconds.

Kafka's client retries a refused connection for ever and reports it as a broker that does not
answer: right for a broker that is down, no help for who mistyped a password.
"""

from __future__ import annotations

import time
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from bridge.wire.errors import ConfigurationError
from bridge.wire.kafka import KafkaConfig

ANSWER_S = 8.0
_AUTHENTICATION, _SSL = KafkaError._AUTHENTICATION, KafkaError._SSL  # noqa: SLF001 (so it spells them)
_REMEDIES = {
    _AUTHENTICATION: (
        "Check TAILRACE_KAFKA__SASL_MECHANISM, TAILRACE_KAFKA__SASL_USERNAME and "
        "TAILRACE_KAFKA__SASL_PASSWORD"
    ),
    _SSL: (
        "Check TAILRACE_KAFKA__SSL_CA_LOCATION and, where the brokers ask for one, the client's "
        "certificate: TAILRACE_KAFKA__SSL_CERTIFICATE_LOCATION and TAILRACE_KAFKA__SSL_KEY_LOCATION"
    ),
}
# A broker that does not like our certificate says so behind the handshake, as of any connection.
_ALERT = "SSL alert number"


def check_access(kafka: KafkaConfig, timeout_s: float = ANSWER_S) -> None:
    """Ask the brokers once whether they let us in; of brokers that do not answer, nothing is said.

    Raises:
        ConfigurationError: they refuse us, we refuse their certificate, or a setting can't be used.
    """
    _check_files(kafka)
    refusals: list[tuple[int, str]] = []

    def note(error: KafkaError) -> None:
        code = _SSL if _ALERT in error.str() else error.code()
        if code in _REMEDIES:
            refusals.append((code, _text(error)))

    try:
        client = AdminClient({**kafka.client(), "error_cb": note, "log_level": 0})
    except KafkaException as error:
        raise ConfigurationError(
            _text(error.args[0]), where="Kafka's security settings (TAILRACE_KAFKA__…)"
        ) from None
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            client.list_topics(timeout=0.5)
        except KafkaException:
            client.poll(0.1)
        else:
            return
        if refusals:
            code, text = refusals[0]
            raise ConfigurationError(text, where=kafka.brokers, remedy=_REMEDIES[code])


def _check_files(kafka: KafkaConfig) -> None:
    """What librdkafka says of a file that is not there does not name it."""
    for name, value in kafka.security.items():
        if name.endswith(".location") and value != "probe" and not Path(value).exists():
            variable = f"TAILRACE_KAFKA__{name.upper().replace('.', '_')}"
            raise ConfigurationError(f"there is no file {value}", where=variable)


def _text(error: KafkaError) -> str:
    """librdkafka's words in one line, without the timing and the client's name around them."""
    words = " ".join(error.str().split())
    _, found, rest = words.partition("/bootstrap: ")
    return (rest if found else words).partition(" (after ")[0]
