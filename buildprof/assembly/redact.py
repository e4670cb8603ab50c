"""Secrets are taken out of every text before it is stored."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise

from buildprof.model.document import REDACTED

HASH_CHARS = 32

_MIN_VALUE_CHARS = 3
_MIN_EMBEDDED_CHARS = 8
_MIN_EMBEDDED_SECRET_CHARS = 4
_MIN_ASSIGNED_CHARS = 4
_MAX_ASSIGNED = 200
_SWITCHES = frozenset({"true", "false", "none", "null"})

# Every pattern is linear: what it scans before it can fail begins only where a look-behind allows it, or is bounded,
# and possessive quantifiers (++, *+) never go back.
_NAME = r"[A-Za-z_][\w.-]*+"

_URL_PART = r"[^\s/\"'`<>]"
# A password can hold a slash, though no standard lets it: what comes after the colon is no port then.
_USERINFO = re.compile(
    rf"(?<=://)(?:[^\s/?#@:\"'`<>]*+:(?:{_URL_PART}*@|(?!\d{{1,5}}(?:/|\s|$))[^\s\"'`<>]{{1,256}}@)|[^\s/?#@\"'`<>]++@)"
)
_AUTHORIZATION = re.compile(
    r"(\bauthorization[\"']?\s{0,8}[:=]\s{0,8}[\"']?)(?:(?:bearer|basic|token|digest|negotiate)\s{1,8})?[^\s\"']++",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(\b(?:bearer|basic)\s{1,8})[\w.~+/=:-]{8,}+", re.IGNORECASE)
_ASSIGNMENT = re.compile(
    rf"(?<![\w.-])(?P<name>{_NAME})(?:[\"']?\s{{0,4}}(?:[?+:]?=(?!=)|:(?=\s|[\"']))|[\"']\s{{0,4}}:)\s{{0,4}}"
)
_OPTION = re.compile(rf"(?<![\w-])--?(?P<name>{_NAME})(?:\s{{0,4}}=\s{{0,4}}|\s{{1,8}}(?!-))")
# A shell's word, or what is left of one in a text that was cut. The first of the three stands outside of quotes, the
# others inside of a string in double or in single quotes, which ends the word with its own quote.
_QUOTED = r"""\\"(?:[^"\\]|\\[^"])*+\\"|\\.|"""
_DOUBLE, _SINGLE = r'"(?:[^"\\]|\\.)*+"|', r"'[^']*+'|"
_WORD = re.compile(rf"""(?:{_QUOTED}{_DOUBLE}{_SINGLE}[^\s"'\\;&|<>])++|["'][^\n]*+""", re.DOTALL)
_WORD_IN_DOUBLE = re.compile(rf"""(?:{_QUOTED}{_SINGLE}[^\s"\\;&|<>])++""", re.DOTALL)
_WORD_IN_SINGLE = re.compile(rf"""(?:{_QUOTED}{_DOUBLE}[^\s'\\;&|<>])++""", re.DOTALL)
_WORDS_INSIDE = {"": _WORD, '"': _WORD_IN_DOUBLE, "'": _WORD_IN_SINGLE}
# Quotes that open or close a string: not one that is escaped, nor the apostrophe of a word.
_QUOTE_MARK = re.compile(r"""\\[^\n]|(?<![A-Za-z])'|'(?![A-Za-z])|["\n]""")
_ENV_OF_OLD = re.compile(
    rf"(\b(?:ENV|LABEL)\s{{1,8}})({_NAME})(\s{{1,8}})(?!=)((?:\\.|[^\\\n])++)", re.IGNORECASE | re.DOTALL
)
_CURL_USER = re.compile(
    r"(?<![\w-])((?:-[A-Za-z]{0,16}[uU]|--user|--proxy-user)[\s=]{0,8})(?:(\"[^\s:\"'/]*+:)[^\"\n]++|('[^\s:\"'/]*+:)[^'\n]++|([^\s:\"'/]++:)[^\s\"']++)"
)
# A line, or several, of ~/.netrc: `machine example.com login jane password x`.
_NETRC = re.compile(
    r"\b(?:machine|login|account)(?:\s|\\n){1,8}[^\s\"'`]{1,100}?(?:\s|\\n){1,8}password(?:\s|\\n){1,8}"
)
_LOGIN = re.compile(r"\b(?:sshpass|mysql\w{0,16}|mariadb\w{0,16}|login)\b[^\n;&|]{0,200}?\s-p[\s=]?", re.IGNORECASE)
_TOKENS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"A[KS]IA[0-9A-Z]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{16,}+|github_pat_\w{16,}+"
    r"|gl[a-z]{2,8}-[\w-]{16,}+"
    r"|xox[a-z]-[A-Za-z0-9-]{8,}+|xapp-[A-Za-z0-9-]{8,}+"
    r"|[spr]k_(?:live|test)_[A-Za-z0-9]{8,}+|whsec_[A-Za-z0-9]{16,}+"
    r"|sk-[A-Za-z0-9_-]{20,}+|hf_[A-Za-z0-9]{20,}+|npm_[A-Za-z0-9]{20,}+|pypi-[\w-]{20,}+|dckr_[a-z]{2,4}_[\w-]{16,}+"
    r"|AIza[\w-]{30,}+|ya29\.[\w-]{16,}+|SG\.[\w-]{16,}+\.[\w-]{16,}+"
    r"|eyJ[\w-]{6,}+\.[\w-]{4,}+\.[\w-]*+"
    r")"
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----.*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)", re.DOTALL
)
_CURL = re.compile(r"\bcurl\b")

_SECRET_ANYWHERE = re.compile(
    r"password|passwd|passphrase|secret|credential|api[_.-]?key|(?:access|private)[_.-]?key", re.IGNORECASE
)
_SECRET_WORD = re.compile(r"(?:token|tokens|auth|pat|pass|pwd|sig|signature|jwt)", re.IGNORECASE)
_KEY_OWNERS = frozenset(
    {
        "account",
        "auth",
        "deploy",
        "encryption",
        "gpg",
        "license",
        "master",
        "secret",
        "service",
        "signing",
        "ssh",
        "storage",
    }
)
_PLACE_WORDS = frozenset({"file", "path", "dir"})
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_REFERENCE = re.compile(r"""["']?\$(?:\w++|\{\w++\}|\(.*)["']?""", re.DOTALL)
_PATH = re.compile(r"""["']?[./~]""")


@dataclass(frozen=True, slots=True)
class Redactor:
    """Takes secrets out of texts.

    Built in are: user and password in URLs, authorization headers, bearer tokens, passwords of curl, of logins and of
    netrc files, options and assignments whose name looks secret (in shell, ENV, ARG, JSON and YAML), tokens of known
    shapes, and private keys. `patterns` are the user's, whose whole match is taken out; their cost is the user's affair.
    `build_arg_values` are those of the build at hand: the values of those that are not in `allow_build_args` are
    taken out too. So are `assigned_values`: what the Dockerfile assigns, by ARG and ENV, to names that look secret.
    `key` keys the hashes.

    What cannot be seen is not taken out: a value of one or two characters under a name that does not look secret,
    the output of a command substitution, a secret that is encoded or cut in pieces. Where a build's Dockerfile is not
    known (its text came in a tar stream and the build failed, or only its progress was imported), the values of ARG
    and ENV stand filled in in the names of its steps, as in `COPY f /x/value`, and in a log, as after `set -x`: there
    a value has no name any more, and stays unless its own shape or place gives it away.
    """

    key: bytes = field(repr=False)
    allow_build_args: frozenset[str] = frozenset()
    patterns: tuple[re.Pattern[str], ...] = ()
    build_arg_values: Mapping[str, str] = field(default_factory=dict, repr=False)
    assigned_values: tuple[str, ...] = field(default=(), repr=False)

    def for_build(self, build_args: Mapping[str, str]) -> Redactor:
        """Also take out the values of one build's arguments."""
        return replace(self, build_arg_values=dict(build_args))

    def with_assignments(self, assignments: Iterable[tuple[str, str]]) -> Redactor:
        """Also take out what a Dockerfile assigns to names that look secret."""
        secret = (
            value
            for name, value in assignments
            if looks_secret(name) and name not in self.allow_build_args and not _is_plain(name, value)
        )
        values = {one for one in secret if len(one) >= _MIN_ASSIGNED_CHARS and one.lower() not in _SWITCHES}
        return replace(self, assigned_values=tuple(sorted(values)[:_MAX_ASSIGNED]))

    def text(self, text: str) -> str:
        """The text without secrets; without any in it, the same text. Linear in its length."""
        hidden = _hidden_values(self.build_arg_values, self.allow_build_args, self.assigned_values)
        for value, is_embedded in hidden:
            if value in text:
                text = text.replace(value, REDACTED) if is_embedded else _whole(value).sub(REDACTED, text)
        text = _PRIVATE_KEY.sub(REDACTED, text)
        if "://" in text:
            text = _USERINFO.sub(f"{REDACTED}@", text)
        text = _AUTHORIZATION.sub(rf"\1{REDACTED}", text)
        text = _BEARER.sub(rf"\1{REDACTED}", text)
        text = _without_words_after(_ASSIGNMENT, text)
        text = _without_words_after(_OPTION, text)
        text = _ENV_OF_OLD.sub(_old_env, text)
        if _CURL.search(text):
            text = _CURL_USER.sub(_curl_user, text)
        text = _without_words_after(_LOGIN, text)
        text = _without_words_after(_NETRC, text)
        text = _TOKENS.sub(REDACTED, text)
        for pattern in self.patterns:
            text = pattern.sub(REDACTED, text)
        return text

    def build_args(self, build_args: Mapping[str, str]) -> tuple[dict[str, str | None], dict[str, str]]:
        """The values that may be stored, None for the others; and a keyed hash of every value, to tell a change.

        The hash is HMAC-SHA256 of name and value, cut to HASH_CHARS hexadecimal digits.
        """
        clear = {name: value if name in self.allow_build_args else None for name, value in build_args.items()}
        return clear, {name: self._hash(name, value) for name, value in build_args.items()}

    def _hash(self, name: str, value: str) -> str:
        message = f"{name}\0{value}".encode("utf-8", "surrogatepass")
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()[:HASH_CHARS]


def make_redactor(key: bytes, patterns: Iterable[str] = (), allow_build_args: Iterable[str] = ()) -> Redactor:
    """A redactor from settings. Raises re.error for a pattern that is no regular expression."""
    return Redactor(key, frozenset(allow_build_args), tuple(re.compile(pattern) for pattern in patterns))


@lru_cache(maxsize=4096)
def looks_secret(name: str) -> bool:
    """Whether a variable, an option or a key of this name holds a secret, as far as a name can tell."""
    if _SECRET_ANYWHERE.search(name):
        return True
    words = [word.lower() for word in _WORDS.findall(name)]
    if any(_SECRET_WORD.fullmatch(word) for word in words):
        return words != ["pwd"]  # the shell's working directory
    if any(owner in _KEY_OWNERS and word == "key" for owner, word in pairwise(words)):
        return True
    return name.lower().endswith(("token", "pwd", "pass", "jwt")) and name.lower() != "oldpwd"


def _hidden_values(
    build_args: Mapping[str, str], allowed: frozenset[str], assigned: Iterable[str]
) -> list[tuple[str, bool]]:
    """Values to take out, the longest first, and whether they are so also in the middle of a word."""
    hidden = {value: len(value) >= _MIN_EMBEDDED_CHARS for value in assigned}
    for name, value in build_args.items():
        is_secret = looks_secret(name)
        if name in allowed or not value.strip() or (len(value) < _MIN_VALUE_CHARS and not is_secret):
            continue
        embedded_from = _MIN_EMBEDDED_SECRET_CHARS if is_secret else _MIN_EMBEDDED_CHARS
        hidden[value] = hidden.get(value, False) or len(value) >= embedded_from
    return sorted(hidden.items(), key=lambda item: (-len(item[0]), item[0]))


def _whole(value: str) -> re.Pattern[str]:
    before = r"(?<!\w)" if value[0].isalnum() or value[0] == "_" else ""
    after = r"(?!\w)" if value[-1].isalnum() or value[-1] == "_" else ""
    return re.compile(before + re.escape(value) + after)


def _is_plain(name: str, value: str) -> bool:
    """Whether a value gives nothing away: it is empty, a variable, or the path of a file."""
    if not value.strip("\"'") or _REFERENCE.fullmatch(value):
        return True
    words = _WORDS.findall(name)
    return bool(words) and words[-1].lower() in _PLACE_WORDS and bool(_PATH.match(value))


def _without_words_after(heads: re.Pattern[str], text: str) -> str:
    """The text without the words that follow what `heads` finds, where its group `name` looks secret or is missing."""
    pieces: list[str] = []
    copied = scanned = 0
    quote = ""
    for head in heads.finditer(text):
        name = head.groupdict().get("name", "password")
        if head.start() < copied or not looks_secret(name):
            continue
        start = head.end()
        quote = _open_quote(text, scanned, start, quote)
        scanned = start
        word = _WORDS_INSIDE[quote].match(text, start) or _WORD.match(text, start)
        if word and not _is_plain(name, word[0]):
            pieces += [text[copied:start], REDACTED]
            copied = scanned = word.end()
    return "".join([*pieces, text[copied:]]) if pieces else text


def _open_quote(text: str, start: int, end: int, quote: str) -> str:
    """The quote that is open at `end`, where `quote` was at `start`; "" outside of a string. A line's end closes all."""
    for mark in _QUOTE_MARK.finditer(text, start, end):
        found = mark[0]
        if found in {"\n", quote}:
            quote = ""
        elif not quote and found in "\"'":
            quote = found
    return quote


def _curl_user(match: re.Match[str]) -> str:
    option, *users = match.groups()
    return option + "".join(user for user in users if user) + REDACTED


def _old_env(match: re.Match[str]) -> str:
    keyword, name, space, value = match.groups()
    if not looks_secret(name) or _is_plain(name, value.strip()):
        return match[0]
    return keyword + name + space + REDACTED
