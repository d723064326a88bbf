"""Apache Kafka behind TLS: one listener with SASL, one that asks for a client certificate.

The certificates are made on the spot and trust only one another.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.parts.brokers import KafkaBroker
from tests.parts.ports import free_port

USER: Final = "tailrace"
PASSWORD: Final = "canary-kafka-password-7d1f"


class Authority:
    """A certificate authority of its own.

    Args:
        folder: where its files go.
        name: of the authority, and of its files.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._signed(name, self._key, authority=True)
        self.location = folder / f"{name}.pem"
        self.location.write_bytes(_pem(self._certificate))

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate for 127.0.0.1 and its key, as PEM files."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(name, key)
        places = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        places[0].write_bytes(_pem(certificate))
        places[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return places

    def _signed(
        self, name: str, key: ec.EllipticCurvePrivateKey, *, authority: bool = False
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = dt.datetime.now(dt.UTC)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if authority else self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class SecureKafka(KafkaBroker):
    """Beside the plain listener that only tests use: `sasl` and `mutual`, addresses behind TLS.

    Args:
        folder: for its data, its log and its certificates.
    """

    def __init__(self, folder: Path) -> None:
        ports = {"sasl": free_port(), "mutual": free_port()}
        super().__init__(folder, ports)
        self.behind = ports
        self._protocols = {"SASL": "SASL_SSL", "MUTUAL": "SSL"}
        self.authority = Authority(folder, "authority")
        certificate, key = self.authority.issue("broker")
        self._keystore = folder / "broker-store.pem"
        self._keystore.write_bytes(key.read_bytes() + certificate.read_bytes())
        self.client_certificate, self.client_key = self.authority.issue("client")

    def settings(self, listener: str, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """What a stage needs to get in, as variables of the environment."""
        prefix = "TAILRACE_KAFKA__"
        found = {
            "TAILRACE_BROKERS": f"127.0.0.1:{self.behind[listener]}",
            f"{prefix}SECURITY_PROTOCOL": "SASL_SSL" if listener == "sasl" else "SSL",
            f"{prefix}SSL_CA_LOCATION": str(self.authority.location),
        }
        if listener == "sasl":
            return found | {
                f"{prefix}SASL_MECHANISM": mechanism,
                f"{prefix}SASL_USERNAME": USER,
                f"{prefix}SASL_PASSWORD": PASSWORD,
            }
        return found | {
            f"{prefix}SSL_CERTIFICATE_LOCATION": str(self.client_certificate),
            f"{prefix}SSL_KEY_LOCATION": str(self.client_key),
        }

    def _format_options(self) -> list[str]:
        return ["--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"]

    def _more_settings(self) -> dict[str, str]:
        sasl, jaas = "listener.name.sasl", "org.apache.kafka.common.security"
        tls: Mapping[str, str] = {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._keystore),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.location),
        }
        return {
            **tls,
            f"{sasl}.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
            f"{sasl}.scram-sha-512.sasl.jaas.config": f"{jaas}.scram.ScramLoginModule required;",
            f"{sasl}.plain.sasl.jaas.config": (
                f'{jaas}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
            ),
            "listener.name.mutual.ssl.client.auth": "required",
        }
