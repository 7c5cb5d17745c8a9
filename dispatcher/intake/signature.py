"""Is this message signed by somebody whose certificate we were handed in person? The only place that imports signxml.

What is read afterwards is what was signed and nothing else: the canonical bytes that the signature covers. The certificate inside
a message is never looked at. A pinned one is trusted until it is taken out of the site file; two can stand there while a partner
changes keys, and `todoke doctor` says when one ends.

Source: W3C XML Signature 1.1 §3.2, §8; XML Signature Best Practices §2 ("See what is signed"); facts.md §CAP.
"""

from collections.abc import Sequence
from pathlib import Path

from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from dispatcher.errors import Finding, InvalidInput

_METHODS = frozenset(
    {
        SignatureMethod.ECDSA_SHA256,
        SignatureMethod.ECDSA_SHA384,
        SignatureMethod.ECDSA_SHA512,
        SignatureMethod.RSA_SHA256,
        SignatureMethod.RSA_SHA384,
        SignatureMethod.RSA_SHA512,
        SignatureMethod.SHA256_RSA_MGF1,
        SignatureMethod.SHA384_RSA_MGF1,
        SignatureMethod.SHA512_RSA_MGF1,
    }
)
"""None with a shared secret: who can check such a signature can also make it."""
_DIGESTS = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})
_EXPECTED = SignatureConfiguration(
    location="./", expect_references=1, signature_methods=_METHODS, digest_algorithms=_DIGESTS
)


class Trust:
    """The certificates of one source, PEM; none: what it sends need not be signed."""

    def __init__(self, signers: Sequence[Path] = ()) -> None:
        self._pems = [path.read_text(encoding="ascii") for path in signers]

    @property
    def is_asked(self) -> bool:
        return bool(self._pems)

    def opened(self, data: bytes) -> bytes:
        """The bytes that one of them signed; the data as it is where no signature is asked for.

        The data must have been found to be XML without a document type before (jma.outlined).

        Raises:
            InvalidInput: nobody whose certificate is pinned signed this.
        """
        if not self._pems:
            return data
        for pem in self._pems:
            signed = _signed(data, pem)
            if signed is not None:
                return signed
        reason = (
            "登録した証明書による署名がありません。送り手の鍵を確かめてください (not signed by a pinned certificate)"
        )
        raise InvalidInput([Finding("Signature", reason)])


def _signed(data: bytes, pem: str) -> bytes | None:
    try:
        verified = XMLVerifier().verify(data, x509_cert=pem, expect_config=_EXPECTED)
    except Exception:  # noqa: BLE001 - whatever hostile bytes do to the library: what it does not verify is not signed
        return None
    return verified.signed_data if isinstance(verified, VerifyResult) else None
