"""Attributes of customers, unreadable on the disk without a key from the environment (AES-256-GCM)."""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from histories.errors import BadInput
from histories.settings import Settings

_MARK = "aes256gcm:"
_NONCE = 12  # bytes, random for every text
_NEEDED = "REGULARS_ATTRIBUTES_KEY is needed, and must be the key that the attributes of this store were sealed with"


@dataclass(frozen=True, slots=True)
class Seal:
    """Without a cipher, texts stay as they are; those from before there was a key are read all the same."""

    cipher: AESGCM | None

    @classmethod
    def of(cls, settings: Settings) -> Seal:
        """Raises BadInput for a key that is none."""
        if settings.attributes_key is None:
            return cls(None)
        try:
            return cls(AESGCM(base64.b64decode(settings.attributes_key.get_secret_value())))
        except (ValueError, binascii.Error):
            raise BadInput(
                "REGULARS_ATTRIBUTES_KEY must be 32 random bytes in base64: openssl rand -base64 32"
            ) from None

    def close(self, customer: int, text: str | None) -> str | None:
        """The text as it is stored for the customer of this key: in the row of another it does not open."""
        if self.cipher is None or text is None:
            return text
        nonce = os.urandom(_NONCE)
        sealed = nonce + self.cipher.encrypt(nonce, text.encode(), str(customer).encode())
        return _MARK + base64.b64encode(sealed).decode("ascii")

    def open(self, customer: int, stored: str | None) -> str | None:
        """Raises BadInput without the key it was sealed with."""
        if stored is None or not stored.startswith(_MARK):
            return stored
        if self.cipher is None:
            raise BadInput(_NEEDED)
        sealed = base64.b64decode(stored.removeprefix(_MARK))
        try:
            return self.cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], str(customer).encode()).decode()
        except InvalidTag:
            raise BadInput(_NEEDED) from None
