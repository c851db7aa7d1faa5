"""What languages are called: codes of two letters (ISO 639-1), SeamlessM4T's of three (ISO 639-3), and names in English."""

from __future__ import annotations

from mmcli.text import primary

_PAIRS = """
af afr am amh ar arb as asm az azj be bel bg bul bn ben bs bos ca cat cs ces cy cym da dan de deu el ell en eng
es spa et est eu eus fa pes fi fin fr fra ga gle gl glg gu guj he heb hi hin hr hrv hu hun hy hye id ind ig ibo
is isl it ita ja jpn jv jav jw jav ka kat kk kaz km khm kn kan ko kor ky kir lg lug lo lao lt lit lv lvs mk mkd ml mal
mn khk mr mar ms zlm mt mlt my mya nb nob ne npi nl nld nn nno no nob ny nya or ory pa pan pl pol ps pbt pt por
ro ron ru rus sd snd sk slk sl slv sn sna so som sr srp sv swe sw swh ta tam te tel tg tgk th tha tl tgl tr tur
uk ukr ur urd uz uzn vi vie yo yor zh cmn zu zul
"""
_NAMES = """
afrikaans af albanian sq amharic am arabic ar armenian hy assamese as azerbaijani az bashkir ba basque eu belarusian
be bengali bn bosnian bs breton br bulgarian bg burmese my cantonese yue castilian es catalan ca chinese zh croatian
hr czech cs danish da dutch nl english en estonian et faroese fo finnish fi flemish nl french fr galician gl
georgian ka german de greek el gujarati gu haitian ht haitian_creole ht hausa ha hawaiian haw hebrew he hindi hi
hungarian hu icelandic is indonesian id italian it japanese ja javanese jw kannada kn kazakh kk khmer km korean ko
lao lo latin la latvian lv letzeburgesch lb lingala ln lithuanian lt luxembourgish lb macedonian mk malagasy mg
malay ms malayalam ml maltese mt mandarin zh maori mi marathi mr moldavian ro moldovan ro mongolian mn myanmar my
nepali ne norwegian no nynorsk nn occitan oc panjabi pa pashto ps persian fa polish pl portuguese pt punjabi pa
pushto ps romanian ro russian ru sanskrit sa serbian sr shona sn sindhi sd sinhala si sinhalese si slovak sk
slovenian sl somali so spanish es sundanese su swahili sw swedish sv tagalog tl tajik tg tamil ta tatar tt telugu te
thai th tibetan bo turkish tr turkmen tk ukrainian uk urdu ur uzbek uz valencian ca vietnamese vi welsh cy yiddish
yi yoruba yo
"""


def _table(text: str) -> dict[str, str]:
    words = text.split()
    return {key.replace("_", " "): value for key, value in zip(words[::2], words[1::2], strict=True)}


_CODES = _table(_PAIRS)
# Those that Whisper knows, with its codes.
_BY_NAME = _table(_NAMES)


def language_code(language: str) -> str:
    """The code of a language by its name in English; what is no such name as it is."""
    return _BY_NAME.get(language.strip().lower(), language)


def seamless_code(language: str) -> str:
    """SeamlessM4T's code of a language of two letters; any other name as it is."""
    return _CODES.get(primary(language), language)
