"""Strings that tokenizers get wrong. Escapes keep this file ASCII."""

_PLAIN = [
    "", " ", "a", "A", "cat", "a cat.", "A CAT.", "a cat. a remote control.", "navy blazer. pants.",
    "t-shirt", "t-shirt. blouse. undershirt.", "T-Shirt!", "v-neck's", "don't", "rock'n'roll",
    "shoe?", "is this a shoe?", "black-and-white striped long-sleeve top.", "50% cotton", "$19.99",
    "size 42 1/2", "12,345.67", "1st 2nd 3rd", "e.g. i.e. etc.", "U.S.A.", "a.b.c", "...", ". . .",
    ".", "?", "a..b", "a . b", "?.?.", "item one. item two. item three", "no delimiter at the end",
    "unaffable", "antidisestablishmentarianism", "supercalifragilisticexpialidocious",
    "houndstooth herringbone gingham", "qwrtplkjhgfdszxcvbnm", "zzzzzz", "aaaaaaaaaaaaaaaaaaaaaaaa",
    "hello world", "HeLLo WoRLD", "snake_case_word", "camelCaseWord", "kebab-case-word",
    "user@example.com", "https://example.com/a?b=c&d=e#f", "C:\\dir\\file.txt", "/usr/bin/env",
    "<html><body>text</body></html>", "{\"json\": [1, 2, 3]}", "#hashtag @mention",
    "a+b=c", "x^2", "`code`", "~tilde~", "|pipe|", "^caret^", "a&b", "a*b", "100%", "@#$%^&*()",
    "()[]{}<>", "\"quoted\"", "'single'", "!!!", "?!?!", "-----", "a--b", "__init__", "\\n", "%s %d",
    "  leading", "trailing  ", "  both  ", "many     spaces", "tab\tseparated", "line\nbreak",
    "carriage\rreturn", "\r\n", "\t\t\n\n", "vertical\x0btab", "form\x0cfeed",
]

_SPECIAL = [
    "[SEP]", "[CLS]", "[PAD]", "[MASK]", "[UNK]", "a [SEP] b", "a[SEP]b", "[sep]", "[ SEP ]",
    "[CLS] a cat. [SEP]", "[MASK]ed", "x[MASK]y[MASK]z", "[[SEP]]", "[SEP", "SEP]", "[SEP][SEP]",
    "[UNK]nown", "[unused0]", "[unused99]", "##ing", "play ##ing", "##", "[PAD][PAD]a",
    "[S\u0000EP]", "\uff3bSEP\uff3d", "[\u200bSEP]", "[SEP]\u0301", " [SEP] ", "[\u0053EP]",
]

_CONTROL = [
    "\x00", "a\x00b", "\x00\x00a", "a\x01b", "a\x07b", "\x1b[31mred\x1b[0m", "a\x7fb", "a\x80b",
    "a\x85b", "a\x9fb", "a\xa0b", "\xa0", "soft\xadhyphen", "a\ufeffb", "\ufeffstart", "a\ufffdb",
    "\ufffd", "a\u200bb", "a\u200cb", "a\u200db", "a\u2060b", "a\u2028b", "a\u2029b", "a\u180eb",
    "a\u2009b", "a\u3000b", "a\u1680b", "a\u202fb", "a\u205fb", "a\u2000b", "\u202eabc\u202c",
    "\u2066isolate\u2069", "a\u061cb", "a\u034fb", "a\ufff9b\ufffac\ufffb", "\ue000", "a\ue000b",
    "\uf8ff", "a\U000f0000b", "\U0010fffd", "a\U0010ffffb", "\ufdd0", "a\ufffeb", "a\U0001fffeb",
    "a\u0378b", "a\u0530b", "\u2fe0", "a\U000e0001b", "a\U000e0041b", "\U000e007f", "a\ufe0fb",
    "a\ufe00b", "a\U000e0100b", "a\u115fb", "a\u3164b", "a\uffa0b", "a\u17b4b", "a\u2800b",
]

_LATIN = [
    "caf\u00e9", "cafe\u0301", "na\u00efve", "r\u00e9sum\u00e9", "\u00c0\u00c1\u00c2\u00c3\u00c4\u00c5",
    "\u00e6\u00c6", "\u0153\u0152", "\u00f8\u00d8", "\u00df", "Stra\u00dfe", "STRASSE", "\u1e9e",
    "\u0130stanbul", "I\u0307", "\u0131", "DIYARBAKIR", "d\u0131yarbak\u0131r", "\u0141\u00f3d\u017a",
    "\u0111\u0110", "\u0127\u0126", "\u00fe\u00de", "\u00f0\u00d0", "\u0149", "\u01c4\u01c5\u01c6", "\u01f0",
    "\u1e97", "\ufb00\ufb01\ufb02\ufb03\ufb04", "\ufb05\ufb06", "e\ufb03cient", "\u017f", "\u017fun", "\u212a",
    "\u212b", "\u2126", "\u1e69", "s\u0323\u0307", "s\u0307\u0323", "a\u0308\u0304", "\u01d6", "u\u0308\u0304",
    "e\u0301\u0302\u0303\u0304\u0305", "\u0301", "\u0301a", " \u0301", "Z\u0336a\u0336l\u0336", "a\u20ddb", "x\u20d7",
    "\u1ec7", "Vi\u1ec7t Nam", "\u00e5ngstr\u00f6m", "\u0160koda \u017dilina", "gar\u00e7on", "\u015e\u015f\u0162\u0163",
    "\u00bd", "\u00b2\u00b3", "\u2460", "\u2122", "\u00a9\u00ae", "\u20ac19", "\u00a3\u00a5", "\u2116", "\u2103", "\u33a1",
    "\uff34\uff53\uff48\uff49\uff52\uff54", "\uff11\uff12\uff13", "\u1d400\u1d401", "\U0001d400\U0001d401", "\u24b6\u24d0",
    "\u2018single\u2019", "\u201cdouble\u201d", "\u2013", "\u2014", "a\u2014b", "\u2026", "\u2022 bullet", "\u00bfqu\u00e9?",
    "\u00a1hola!", "\u00ab guillemets \u00bb", "\u00b7", "\u00d7", "\u00f7", "\u2212", "\u2044", "\u2032\u2033", "\u00ac", "\u00b0", "\u00b5", "\u00aa\u00ba",
    "\u2190\u2192", "\u221a2", "\u2264\u2265", "\u03c0r\u00b2", "\u2713", "\u2605", "\u266b", "\u2620",
]

_SCRIPTS = [
    "\u03b1\u03b2\u03b3", "\u0391\u0392\u0393", "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", "\u039f\u0394\u039f\u03a3", "\u0390", "\u1f80", "\u1fbc", "\u03ac\u0386",
    "\u043f\u0440\u0438\u0432\u0435\u0442", "\u041f\u0420\u0418\u0412\u0415\u0422", "\u0451\u0401", "\u0439\u0419", "\u0438\u0306", "\u0456\u0457\u0407",
    "\u4e2d\u6587", "\u4e2d\u6587 \u5b57\u7b26", "\u9ed1\u8272\u88e4\u5b50", "a\u4e2db", "\u65e5\u672c\u8a9e", "\u30ab\u30bf\u30ab\u30ca", "\u3072\u3089\u304c\u306a", "\u304c", "\u304b\u3099",
    "\uff76\uff9e", "\u30b7\u30e3\u30c4", "\u3001\u3002", "\u300c\u5f15\u7528\u300d", "\ud55c\uad6d\uc5b4", "\u1112\u1161\u11ab", "\u1112\u1161", "\uac00", "\u1100\u1161\u11a8",
    "\u3131\u314f", "\ud55c\u110b\u1161", "\uf900", "\ufa0e", "\u3400", "\u4dbf", "\u9fff", "\u9fa6", "\U00020000", "\U0002a6df", "\U0002b740", "\U0002b820",
    "\U0002f800", "\U0002fa1d", "\U00030000", "\U00031350", "\u2e80", "\u2f00", "\u3005", "\u3007", "\u31c0", "\u3220", "\u32d0", "\u3300",
    "\u05e9\u05dc\u05d5\u05dd", "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd", "\ufb2a", "\u0645\u0631\u062d\u0628\u0627", "\u0645\u064e\u0631\u0652\u062d\u064e\u0628\u0627", "\u0622\u0623\u0625", "\ufefb", "\ufdfa", "\u060c\u061f", "\u0660\u0661\u0662",
    "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0915\u093c", "\u0958", "\u0928\u092e\u0938\u094d\u0924\u0947", "\u09ac\u09be\u0982\u09b2\u09be", "\u0995\u09cb", "\u09c7\u09be", "\u0ba4\u0bae\u0bbf\u0bb4\u0bcd", "\u0bca", "\u0e44\u0e17\u0e22", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u0e33",
    "\u0ea5\u0eb2\u0ea7", "\u0f56\u0f7c\u0f51", "\u0f43", "\u1019\u103c\u1014\u103a\u1019\u102c", "\u10e5\u10d0\u10e0\u10d7", "\u1c90", "\u0540\u0561\u0575", "\u0587", "\u12a0\u121b\u122d\u129b", "\u13a3", "\uab70", "\u1000", "\u1780\u17d2\u1798",
    "\u1b05\u1b35", "\U00010400\U00010428", "\U00011099\U000110ba", "\U0001e900", "\U00016e40", "\U00012000", "\U00013000",
]

_EMOJI = [
    "\U0001f600", "a\U0001f600b", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\u2764\ufe0f", "\U0001f1eb\U0001f1f7", "1\ufe0f\u20e3",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "shoes \U0001f460\U0001f45f.", "\U0001f9e5\U0001f456", "\u263a", "\u263a\ufe0e", "\U0001fae8",
]


def nasty_strings() -> list[str]:
    """All of them, in a fixed order, without repeats."""
    long_ones = [
        "a" * 99, "a" * 100, "a" * 101, "a" * 200, "a" * 1000, "\u00e9" * 100, "\u00e9" * 101,
        "e\u0301" * 60, "\u4e2d" * 120, "." * 120, "a." * 100, "word " * 120, "x" + "\u0301" * 150,
        "b" * 100 + "\u00df", "\U0001f600" * 101, "a\u200b" * 101, "-".join(["ab"] * 60),
        "supercali" * 11 + "f", "supercali" * 11 + "fr", " ".join(["navy blazer."] * 40),
        "\u0130" * 100, "\u0130" * 51, "\uac00" * 34, "\uac00" * 51,
    ]
    mixed = [
        "a.\u0301b", "?\u0301", "[SEP]a", "a\u00a0.\u00a0b", "\u00c9.\u00c8", "bl\u00e5 skjorte. r\u00f8d kjole.",
        "jupe pliss\u00e9e. chemise \u00e0 carreaux.", "Gr\u00f6\u00dfe 38?", "\u88e4\u5b50. pants. \u30ba\u30dc\u30f3.", "a\u3002b\uff0ec\uff1f",
        "\u201cnavy\u201d blazer\u2019s", "navy\u2013blazer", "navy\u2011blazer", "navy\u2010blazer", "\u00adnavy", "na\u00advy",
        "\u200enavy\u200f", "navy\u0000blazer", "navy\ufffdblazer", "\tnavy\n blazer\r.", "NAVY\u0130BLAZER",
        "\u0410\u0301\u0411", "A\u030aB", "\u1e0b\u0323", "d\u0323\u0307", "q\u0307\u0323", "\u0344", "\u0958\u093c", "\u2adc", "\u0340\u0341", "\ufb1d",
    ]
    ordered = _PLAIN + _SPECIAL + _CONTROL + _LATIN + _SCRIPTS + _EMOJI + long_ones + mixed
    return list(dict.fromkeys(ordered))
