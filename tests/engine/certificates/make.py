"""
Makes these certificates, which are good for a hundred years, and for nothing but tests.

python make.py, with the package cryptography.
"""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HERE = Path(__file__).parent
LONG_AGO, LAST_YEAR, FAR_OFF = (datetime(year, 1, 1, tzinfo=UTC) for year in (2020, 2021, 2120))


_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Signed:
    """A key and its certificate."""

    def __init__(
        self,
        name: str,
        by: Signed | None = None,
        *names: x509.GeneralName,
        until: datetime = FAR_OFF,
    ) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = by or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(issuer.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(LONG_AGO)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
            # Python 3.13 and later insist on both (RFC 5280, 4.2.1.1 and 4.2.1.2).
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
                critical=False,
            )
        )
        if by is None:
            builder = builder.add_extension(_SIGNS, critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(issuer.key, hashes.SHA256())
        (HERE / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def with_key_file(self, name: str) -> None:
        """Keep the private key too."""
        (HERE / f"{name}.key").write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


def main() -> None:
    """Make them all; the authorities' keys are not kept."""
    ca = Signed("ca")
    Signed("other")
    here = (x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1")))
    Signed("server", ca, *here).with_key_file("server")
    Signed("elsewhere", ca, x509.DNSName("elsewhere.example")).with_key_file("elsewhere")
    Signed("expired", ca, *here, until=LAST_YEAR).with_key_file("expired")
    Signed("client", ca, x509.DNSName("client")).with_key_file("client")


if __name__ == "__main__":
    main()
