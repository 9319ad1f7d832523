"""Names of text encodings, and bytes to text and back. Source: WHATWG Encoding Standard, §4.2 and §6.

The names are the standard's, compared without case and punctuation. As there, ASCII and Latin-1 mean windows-1252, and
a byte order mark overrides the name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ("decode_text", "encode_text", "find_codec")

_NAMES: Final[Mapping[str, str]] = {
    "utf-8": "utf8 unicode11utf8 unicode20utf8 xunicode20utf8",
    "utf-16-be": "utf16be unicodefffe",
    "utf-16-le": "utf16 utf16le csunicode iso10646ucs2 ucs2 unicode unicodefeff",
    "cp1252": (
        "windows1252 cp1252 xcp1252 ansix341968 ascii usascii cp819 ibm819 csisolatin1 iso88591 isoir100 l1 latin1"
    ),
    "cp1254": "windows1254 cp1254 xcp1254 csisolatin5 iso88599 isoir148 l5 latin5",
    "cp874": "windows874 dos874 iso885911 tis620",
    "cp1250": "windows1250 cp1250 xcp1250",
    "cp1251": "windows1251 cp1251 xcp1251",
    "cp1253": "windows1253 cp1253 xcp1253",
    "cp1255": "windows1255 cp1255 xcp1255",
    "cp1256": "windows1256 cp1256 xcp1256",
    "cp1257": "windows1257 cp1257 xcp1257",
    "cp1258": "windows1258 cp1258 xcp1258",
    "cp866": "ibm866 866 cp866 csibm866",
    "iso8859_2": "iso88592 csisolatin2 isoir101 l2 latin2",
    "iso8859_3": "iso88593 csisolatin3 isoir109 l3 latin3",
    "iso8859_4": "iso88594 csisolatin4 isoir110 l4 latin4",
    "iso8859_5": "iso88595 csisolatincyrillic cyrillic isoir144",
    "iso8859_6": (
        "iso88596 arabic asmo708 csiso88596e csiso88596i csisolatinarabic ecma114 iso88596e iso88596i isoir127"
    ),
    "iso8859_7": "iso88597 csisolatingreek ecma118 elot928 greek greek8 isoir126 suneugreek",
    "iso8859_8": (
        "iso88598 csiso88598e csiso88598i csisolatinhebrew hebrew iso88598e iso88598i isoir138 logical visual"
    ),
    "iso8859_10": "iso885910 csisolatin6 isoir157 l6 latin6",
    "iso8859_13": "iso885913",
    "iso8859_14": "iso885914",
    "iso8859_15": "iso885915 csisolatin9 l9",
    "iso8859_16": "iso885916",
    "koi8_r": "koi8r cskoi8r koi koi8",
    "koi8_u": "koi8u koi8ru",
    "mac_roman": "macintosh csmacintosh mac xmacroman",
    "mac_cyrillic": "xmaccyrillic xmacukrainian",
    "gb18030": "gb18030 gbk chinese csgb2312 csiso58gb231280 gb2312 gb231280 isoir58 xgbk",
    "big5hkscs": "big5 big5hkscs cnbig5 csbig5 xxbig5",
    "euc_jp": "eucjp cseucpkdfmtjapanese xeucjp",
    "iso2022_jp": "iso2022jp csiso2022jp",
    "cp932": "shiftjis csshiftjis ms932 mskanji sjis windows31j xsjis",
    "cp949": "euckr cseuckr csksc56011987 isoir149 korean ksc56011987 ksc56011989 ksc5601 windows949",
}
"""Python's name to the standard's."""

_CODECS: Final[Mapping[str, str]] = {name: codec for codec, names in _NAMES.items() for name in names.split()}

_MARKS: Final[Mapping[bytes, str]] = {b"\xef\xbb\xbf": "utf-8", b"\xfe\xff": "utf-16-be", b"\xff\xfe": "utf-16-le"}

# Python leaves five bytes of windows-1252 undefined, which the standard reads as control characters.
_WINDOWS_1252: Final = {
    byte: bytes([byte]).decode("cp1252") for byte in range(0x80, 0xA0) if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}


def find_codec(name: str) -> str | None:
    """Python's name of an encoding; None for one that is unknown."""
    year_cut = re.sub(r":[0-9]{4}\Z", "", name[:60].lower())
    return _CODECS.get(re.sub(r"[^0-9a-z]", "", year_cut))


def decode_text(data: bytes, codec: str, errors: str = "strict") -> str:
    """The text, without byte order mark; ``codec`` is one that ``find_codec`` returns.

    Raises:
        UnicodeDecodeError: the bytes are not in that encoding.
    """
    for mark, marked_codec in _MARKS.items():
        if data.startswith(mark):
            return data[len(mark) :].decode(marked_codec, errors)
    if codec == "cp1252":
        return data.decode("latin-1").translate(_WINDOWS_1252)
    return data.decode(codec, errors)


def encode_text(text: str, codec: str) -> bytes:
    """The bytes of a text; ``codec`` is one that ``find_codec`` returns.

    Raises:
        UnicodeEncodeError: the encoding has no such character.
    """
    return text.encode(codec)
