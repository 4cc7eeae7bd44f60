"""Pictures taken out of an answer in JSON while it comes: what is base64 in it is decoded piece by
piece, and the text is never held.

A picture of 20 MB is a text of 27, which a parser would hold beside the body that it is made of.
"""

from __future__ import annotations

import binascii
import io
import re
import uuid

from seidra.engines.wire import Nonsense

SMALLEST = 16 * 1024
"""Characters of base64 from which a text is taken out; what is shorter stays in the JSON."""

_QUOTE, _BACKSLASH = b'"', b"\\"
_END = re.compile(rb'["\\]')
_DATA_URL = re.compile(rb"data:[\w.+/-]{1,100};base64,")
_BASE64 = re.compile(rb"[A-Za-z0-9+/=]*")


class Sieve:
    """What stands between a connection and the JSON that it brings; for one answer.

    Every text that begins with 16 KB of base64 (behind `data:...;base64,`, where there is that) is
    kept decoded, and a word of its own takes its place in the JSON: `find` has the bytes for it.
    """

    def __init__(self, largest: int) -> None:
        """`largest`: the most bytes of one picture."""
        self._largest = largest
        self._word = uuid.uuid4().hex
        """Nobody can have written it into an answer."""
        self._pictures: dict[str, bytes] = {}
        self._in_string = self._escaped = False
        self._begun = bytearray()
        """A text's beginning, as long as it is not decided what it is."""
        self._decided = False
        self._decoding: _Decoder | None = None

    def feed(self, piece: bytes) -> bytes:
        """What of the next piece of an answer is left. Raises Nonsense for a picture that is no
        base64 from some character on, or too large."""
        left = bytearray()
        at = 0
        while at < len(piece):
            at = self._in_text(piece, at, left) if self._in_string else self._skip(piece, at, left)
        return bytes(left)

    def find(self, text: object) -> bytes | None:
        """The picture that a text of the JSON stands for, given away; None for any other text."""
        return self._pictures.pop(text, None) if isinstance(text, str) else None

    def _skip(self, piece: bytes, at: int, left: bytearray) -> int:
        """What stands between texts stays."""
        end = piece.find(_QUOTE, at)
        if end < 0:
            left += piece[at:]
            return len(piece)
        left += piece[at : end + 1]
        self._in_string, self._decided = True, False
        return end + 1

    def _in_text(self, piece: bytes, at: int, left: bytearray) -> int:
        if self._escaped:
            self._escaped = False
            escaped = piece[at : at + 1]
            # A slash may be escaped in JSON; in base64 nothing else may.
            if self._decoding is not None and escaped != b"/":
                raise Nonsense("answers with a picture that is broken")
            self._take(escaped, left)
            return at + 1
        found = _END.search(piece, at)
        end = found.start() if found else len(piece)
        if end > at:
            self._take(piece[at:end], left)
        if found is None:
            return end
        if found[0] == _BACKSLASH:
            self._escaped = True
            if self._decoding is None:
                self._take(_BACKSLASH, left)
            return end + 1
        self._close(left)
        return end + 1

    def _take(self, data: bytes, left: bytearray) -> None:
        if self._decoding is not None:
            self._decoding.feed(data)
        elif self._decided:
            left += data
        else:
            self._begun += data
            if len(self._begun) >= SMALLEST:
                self._decide(left)

    def _decide(self, left: bytearray) -> None:
        """Whether this text is a picture."""
        begun, self._begun = bytes(self._begun), bytearray()
        self._decided = True
        # Any other backslash than that of an escaped slash is no base64.
        text = begun.replace(b"\\/", b"/")
        prefix = _DATA_URL.match(text)
        start = prefix.end() if prefix else 0
        if not _BASE64.fullmatch(text, start):
            left += begun
            return
        self._decoding = _Decoder(self._largest)
        self._decoding.feed(text[start:])

    def _close(self, left: bytearray) -> None:
        self._in_string = False
        if self._decoding is not None:
            word = f"{self._word} {len(self._pictures)}"
            self._pictures[word] = self._decoding.end()
            self._decoding = None
            left += word.encode()
        else:
            left += self._begun
            self._begun = bytearray()
        left += _QUOTE


class _Decoder:
    """Base64 that comes in pieces of any length."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._rest = b""
        self._padded = False
        self._made = io.BytesIO()

    def feed(self, data: bytes) -> None:
        """Decode what makes whole groups of four, and keep the rest."""
        data = self._rest + data
        whole = len(data) // 4 * 4
        self._rest = data[whole:]
        group = data[:whole]
        if not group:
            return
        if self._padded:
            raise Nonsense("answers with a picture that is broken")
        try:
            self._made.write(binascii.a2b_base64(group, strict_mode=True))
        except (binascii.Error, ValueError) as error:
            raise Nonsense("answers with a picture that is broken") from error
        self._padded = group.endswith(b"=")
        if self._made.tell() > self._largest:
            raise Nonsense("answers with a picture that is too large")

    def end(self) -> bytes:
        """All of it; nothing may be left over."""
        if self._rest:
            raise Nonsense("answers with a picture that is broken")
        return self._made.getvalue()
