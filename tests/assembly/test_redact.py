import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.assembly.redact import HASH_CHARS, Redactor, looks_secret, make_redactor
from buildprof.model.document import REDACTED
from buildprof.sources.progress_log import ProgressLog
from tests.sources.recordings import PROGRESS

REDACTOR = make_redactor(b"key")
SECRET = "hUnter-22/x+Q=="

POSITIONS = [
    "git clone https://jane:{}@git.example/x.git",
    "curl -H 'Authorization: Bearer {}' https://git.example",
    'curl -H "Authorization: Basic {}" https://git.example',
    "curl -H Authorization:{} https://git.example",
    "curl -fsSu jane:{} https://git.example",
    "curl --user 'jane:{} and more' https://git.example",
    "curl -u jane:{} https://git.example && tar x",
    "wget --header='X-Auth: bearer {}xx'",
    "RUN login --password {} --verbose",
    "RUN login --password={}",
    "RUN login --password='{} {}'",
    "RUN tool --api-key {}",
    "RUN docker login -u jane -p {} registry.example",
    "RUN mysql -uroot -p{} < dump.sql",
    "RUN NPM_TOKEN={} npm ci",
    "RUN export DB_PASSWORD='{}' && make",
    'RUN export PGPASSWORD="a {} b"; make',
    "RUN API_KEY={} AWS_SECRET_ACCESS_KEY={} make",
    "RUN sh -c \"TOKEN='{}' make\"",
    "RUN sh -c 'TOKEN=\"a {}\" make'",
    'RUN sh -c "TOKEN=\\"a {}\\" make"',
    'RUN ["sh", "-c", "SECRET={} make"]',
    "RUN echo '//npm.example/:_authToken={}' > .npmrc",
    "RUN echo \"it's\"; CREDENTIALS='my {}' make",
    "ENV PRIVATE_KEY={}",
    "ENV A=1 NPM_TOKEN={} B=2",
    "ENV NPM_TOKEN {}",
    "ENV NPM_TOKEN first {} last",
    "ARG PASSWD={}",
    "LABEL api.token={}",
    'RUN echo \'{{"user": "jane", "password": "{}"}}\' > config.json',
    "RUN <<EOF\npassword: {}\nEOF",
    "TOKEN=${{TOKEN:-{}}}",
    "--build-arg SIGNING_KEY={}",
    "-e dbPassword={}",
    "RUN echo machine git.example login jane password {} > /root/.netrc",
    "RUN printf 'machine git.example\\n  login jane\\n  password {}\\n' > /root/.netrc",
    "RUN <<EOF cat > /root/.netrc\nmachine git.example\nlogin jane\npassword {}\nEOF",
    "machine git.example password {}",
    "+ NPM_TOKEN={}",
    "+ curl -u jane:{} https://git.example",
]

SHAPES = [
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ghp_" + "a1B2" * 9,
    "gho_" + "a1B2" * 9,
    "github_pat_" + "11ABCDEFG0_" * 6,
    "glpat-" + "x-Y_" * 5,
    "xoxb-" + "123456789012-abcDEF",
    "sk_live_" + "a1B2" * 6,
    "npm_" + "a1B2" * 9,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl",
]

HARMLESS = [
    "RUN --mount=type=secret,id=npm_token,target=/root/.npmrc npm ci",
    "RUN TOKEN=$TOKEN PASSWORD=${PASSWORD} KEY=$(cat /run/secrets/key) make",
    "ENV PASSWORD_FILE=/run/secrets/password TOKENIZERS_PARALLELISM=false",
    "RUN pip install tokenizers==0.15 secretstorage>=3",
    "FROM registry.example:5000/vault-token:1.2 AS auth",
    "[auth] library/base:pull token for registry.example",
    "COPY --from=build --chown=1000:1000 /app/secrets.py /app/",
    "RUN curl -fsSL http://localhost:4873/@scope/pkg -o x && useradd -u 1000 jane",
    "git clone git@git.example:org/x.git ssh://git.example/x",
    "RUN export PWD=/x OLDPWD=/y AUTHOR=me && mkdir -p /a",
    'RUN [ -z "$TOKEN" ] && echo "no token"',
    "RUN ./machine login && echo enter your password please",
    "exporting to image",
    "",
]


@pytest.mark.parametrize("position", POSITIONS)
def test_a_secret_is_taken_out_of_every_position(position: str):
    text = REDACTOR.text(position.replace("{}", SECRET).replace("{{", "{").replace("}}", "}"))
    assert SECRET not in text
    assert REDACTED in text


PLAIN = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=12, max_size=40)


@given(st.sampled_from(POSITIONS), PLAIN, st.sampled_from(["", "RUN make; ", "it's ", 'echo "a" && ', "# don't\n"]))
def test_a_planted_secret_never_survives(position: str, secret: str, before: str):
    planted = before + position.replace("{}", secret).replace("{{", "{").replace("}}", "}") + "\nRUN make"
    assert secret not in REDACTOR.text(planted)


@pytest.mark.parametrize("secret", SHAPES)
@pytest.mark.parametrize("around", ["{}", "echo {} > x", '"{}"', "x={};", "https://x.example/{}/y"])
def test_a_token_of_known_shape_is_taken_out_wherever_it_stands(secret: str, around: str):
    text = REDACTOR.text(around.replace("{}", secret))
    assert secret not in text
    assert secret.rsplit("\n", maxsplit=1)[-1] not in text


@pytest.mark.parametrize("text", HARMLESS)
def test_a_text_without_secrets_comes_out_unchanged(text: str):
    assert REDACTOR.text(text) == text


@pytest.mark.parametrize("path", sorted(PROGRESS.glob("*.json")), ids=lambda path: path.stem)
def test_no_name_of_a_real_build_without_secrets_is_changed(path):
    with path.open("rb") as file:
        for update in ProgressLog(file):
            for vertex in update.vertices:
                assert REDACTOR.text(vertex.name) == vertex.name


@given(st.text())
def test_what_is_redacted_once_stays_as_it_is(text: str):
    once = REDACTOR.text(text)
    assert REDACTOR.text(once) == once


def test_the_name_of_what_was_taken_out_stays():
    assert REDACTOR.text("RUN API_KEY=abc make") == f"RUN API_KEY={REDACTED} make"
    assert REDACTOR.text("git clone https://a:b@git.example/x") == f"git clone https://{REDACTED}@git.example/x"
    assert REDACTOR.text('sh -c "TOKEN=abc" > out') == f'sh -c "TOKEN={REDACTED}" > out'


def test_values_of_build_arguments_are_taken_out_where_they_stand_expanded():
    redactor = REDACTOR.for_build(
        {"VERSION": "1.2.3", "NAME": "blue", "DEPLOY_TOKEN": "s3cr", "LONG": "something-long", "N": "1"}
    )
    assert (
        redactor.text("RUN get v-1.2.3.tar blue bluebird s3crx 1")
        == f"RUN get v-{REDACTED}.tar {REDACTED} bluebird {REDACTED}x 1"
    )
    assert redactor.text("RUN get xsomething-longx") == f"RUN get x{REDACTED}x"


def test_what_a_dockerfile_assigns_to_names_that_look_secret_is_taken_out_where_it_stands_filled_in():
    assigned = [("DB_PASS", "sesame9"), ("PLACE", "open1value"), ("API_KEY", "longer-than-8"), ("TOKEN", "1")]
    assigned += [
        ("AUTH", "true"),
        ("KEY_FILE", "/run/key"),
        ("PASSWORD_FILE", "/run/secret"),
        ("ALLOWED_TOKEN", "free"),
    ]
    redactor = make_redactor(b"key", allow_build_args=["ALLOWED_TOKEN"]).with_assignments(assigned)

    assert redactor.text("COPY f /x/sesame9/xlonger-than-8x") == f"COPY f /x/{REDACTED}/x{REDACTED}x"
    for text in ("[1/1] RUN true", "COPY f /x/open1value", "ls /run/secret /run/key", "free", "sesame99"):
        assert redactor.text(text) == text
    assert "sesame9" not in repr(redactor)


def test_allowed_build_arguments_stay():
    redactor = make_redactor(b"key", allow_build_args=["VERSION"]).for_build({"VERSION": "1.2.3", "OTHER": "4.5.6"})
    assert redactor.text("RUN get 1.2.3 4.5.6") == f"RUN get 1.2.3 {REDACTED}"
    clear, hashes = redactor.build_args({"VERSION": "1.2.3", "OTHER": "4.5.6"})
    assert clear == {"VERSION": "1.2.3", "OTHER": None}
    assert {len(value) for value in hashes.values()} == {HASH_CHARS}


@given(st.text(min_size=8, max_size=30).filter(str.strip), st.text(max_size=10), st.text(max_size=10))
def test_the_value_of_a_build_argument_never_survives(value: str, before: str, after: str):
    text = REDACTOR.for_build({"VALUE": value}).text(before + value + after)
    assert value not in text.replace(REDACTED, "")
    assert value in REDACTED or value not in text


def test_a_hash_tells_a_change_and_depends_on_name_and_key():
    def hashed(redactor: Redactor, name: str, value: str) -> str:
        return redactor.build_args({name: value})[1][name]

    assert hashed(REDACTOR, "A", "1") == hashed(REDACTOR, "A", "1")
    others = [hashed(REDACTOR, "A", "2"), hashed(REDACTOR, "B", "1"), hashed(make_redactor(b"other"), "A", "1")]
    assert hashed(REDACTOR, "A", "1") not in others
    assert hashed(REDACTOR, "A", "\udc80")


def test_the_user_s_own_patterns_are_taken_out():
    redactor = make_redactor(b"key", [r"corp-\d+", r"(?i)project x"])
    assert redactor.text("see CORP corp-123 and Project X") == f"see CORP {REDACTED} and {REDACTED}"
    with pytest.raises(re.error):
        make_redactor(b"key", ["("])


def test_a_redactor_shows_neither_its_key_nor_the_values():
    assert "s3cr3t" not in repr(Redactor(b"s3cr3t").for_build({"A": "s3cr3t"}))


@pytest.mark.parametrize(
    "piece",
    [
        "=",
        "a='\"",
        "://a:",
        "-u a:",
        "eyJ.",
        "login ",
        "ENV a ",
        "a=b;",
        "TOKEN=$a ",
        "machine ",
        "login a ",
        "machine a\\n",
    ],
)
def test_a_line_of_a_megabyte_is_done_in_time_whatever_it_holds(piece: str):
    text = "curl " + piece * (1_000_000 // len(piece))
    assert isinstance(REDACTOR.text(text), str)  # the limit of pytest-timeout is the assertion


@pytest.mark.parametrize(
    "name",
    ["TOKEN", "NPM_TOKEN", "authToken", "DB_PASSWORD", "PGPASSWORD", "passwd", "API_KEY", "apikey", "AWS_ACCESS_KEY_ID",
     "private-key", "GITHUB_PAT", "_auth", "CREDENTIALS", "SSH_KEY", "clientSecret", "NPMTOKEN", "MYSQL_PWD"],
)  # fmt: skip
def test_names_that_look_secret(name: str):
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name", ["PATH", "AUTHOR", "tokenizers", "PWD", "OLDPWD", "KEYBOARD", "CACHE_KEY", "compat", "VERSION", ""]
)
def test_names_that_do_not(name: str):
    assert not looks_secret(name)
