from hypothesis import example, given
from hypothesis import strategies as st

from buildprof.assembly.names import VertexName, parse_name, without_client_prefix
from buildprof.model.step import Kind

STAGES = st.from_regex(r"[a-z][a-z0-9._-]{0,20}", fullmatch=True)
PLATFORMS = st.sampled_from(
    ["linux/amd64", "linux/arm/v7", "windows(10.0.17763.1)/amd64", "linux(+feature)/riscv64", "plan9/386", "unknown"]
).filter(lambda platform: "/" in platform)
TARGETS = st.sampled_from(["", "->arm64", "->arm/v7", "->windows(10.0)/amd64"])
COMMANDS = st.text(max_size=40).map(str.lstrip)


def numbered(platform, stage, position, of, text):
    """As moby/buildkit's prefixCommand puts a name together."""
    words = "".join(f"{word} " for word in (platform, stage) if word)
    return f"[{words}{position:{len(str(of))}}/{of}] {text}"


@given(
    platform=st.just("") | st.tuples(PLATFORMS, TARGETS).map("".join),
    stage=st.just("") | STAGES,
    numbers=st.tuples(st.integers(1, 999), st.integers(1, 999)).map(sorted),
    instruction=st.tuples(st.sampled_from(["FROM", "RUN", "COPY", "ADD", "WORKDIR"]), COMMANDS),
    prefix=st.just("") | STAGES,
)
def test_a_name_put_together_by_the_frontends_rule_comes_apart_into_its_parts(
    platform, stage, numbers, instruction, prefix
):
    (position, of), (keyword, command) = numbers, instruction
    name = numbered(platform, stage, position, of, f"{keyword} {command}")
    from_a_client = f"[{prefix} {name[1:]}" if prefix else name

    assert parse_name(from_a_client, prefix) == VertexName(
        Kind(keyword.lower()), stage, position, of, platform.partition("->")[0], keyword, command
    )


@given(st.text(max_size=300) | st.text("[]/1 \n internalRUN->:", max_size=300), st.text(max_size=10))
def test_no_name_is_refused(name, prefix):
    parse_name(name, prefix)


@given(
    st.sampled_from(["[", "[a", "[a ", "[a  b", "[internal] ", "[web ", "[1/2] RUN ", "[a/b 1"]),
    st.sampled_from([" ", "a", "a ", "1", "1/", "\n", "[", "]", "->", "A "]),
)
@example("[a", " ")
def test_a_name_of_a_megabyte_is_taken_apart_in_linear_time(head, repeated):
    # With a pattern that goes back, any of these would take hours.
    parse_name(head + repeated * (1_000_000 // len(repeated)) + "\0")


def test_an_unnamed_stage_has_the_name_that_the_frontend_gives_it():
    name = parse_name("[stage-1  3/12] COPY --from=build /src /dist")

    assert (name.stage, name.position, name.of) == ("stage-1", 3, 12)
    assert name.command == "--from=build /src /dist"


def test_a_dockerfile_of_one_stage_has_no_stage_in_its_names():
    assert parse_name("[ 2/10] WORKDIR /src") == VertexName(
        Kind.WORKDIR, position=2, of=10, instruction="WORKDIR", command="/src"
    )


def test_a_cross_build_has_the_platform_that_it_runs_on():
    name = parse_name("[linux/amd64->arm64 build 2/4] RUN make")

    assert (name.platform, name.stage) == ("linux/amd64", "build")


def test_a_heredoc_keeps_all_its_lines():
    assert parse_name("[2/2] RUN <<EOF (echo a...)\necho b").command == "<<EOF (echo a...)\necho b"


def test_a_link_merge_is_a_merge_of_its_copy():
    name = parse_name("[app 2/4] LINK COPY --link a /b")

    assert (name.kind, name.instruction, name.command) == (Kind.MERGE, "COPY", "--link a /b")


def test_a_trigger_of_the_base_is_the_instruction_that_it_runs():
    name = parse_name("[app 2/4] ONBUILD COPY . /src")

    assert (name.kind, name.instruction, name.command) == (Kind.COPY, "COPY", ". /src")
    assert parse_name("[app 2/4] ONBUILD LINK COPY --link . /src").kind is Kind.MERGE


def test_a_stage_may_be_named_like_a_bracket_of_the_frontend():
    assert parse_name("[internal 1/2] RUN true").stage == "internal"
    assert parse_name("[context 1/2] RUN true").kind is Kind.RUN


def test_the_frontends_own_vertices_have_their_kinds():
    kinds = {
        "[internal] load build definition from Dockerfile": Kind.DOCKERFILE,
        "[internal] load remote build context": Kind.CONTEXT,
        "[internal] load .dockerignore": Kind.DOCKERFILE,
        "[internal] load build context": Kind.CONTEXT,
        "[internal] load metadata for docker.io/library/base:latest": Kind.METADATA,
        "[internal] setting cache mount permissions": Kind.OTHER,
        "[auth] library/base:pull token for registry-1.docker.io": Kind.AUTH,
        "[context deps] load .dockerignore": Kind.DOCKERFILE,
        "[context deps] load from client": Kind.CONTEXT,
        "[context deps] https://example.com/a.tar": Kind.CONTEXT,
        "[context deps] OCI load from client": Kind.FROM,
        "[context deps] load metadata for docker.io/library/base": Kind.METADATA,
        "[context base] docker.io/library/base:latest@sha256:00": Kind.FROM,
        "resolve image config for docker-image://docker.io/docker/dockerfile:1": Kind.METADATA,
        "docker-image://docker.io/docker/dockerfile:1@sha256:00": Kind.METADATA,
        "importing cache manifest from localhost:5000/cache": Kind.CACHE_IMPORT,
        "exporting cache to registry": Kind.CACHE_EXPORT,
        "exporting cache to Amazon S3": Kind.CACHE_EXPORT,
        "exporting to GitHub Actions Cache": Kind.CACHE_EXPORT,
        "exporting content cache": Kind.CACHE_EXPORT,
        "exporting inline cache": Kind.CACHE_EXPORT,
        "exporting to image": Kind.EXPORT,
        "exporting to oci image format": Kind.EXPORT,
        "exporting to client directory": Kind.EXPORT,
        "merging": Kind.OTHER,
        "": Kind.OTHER,
    }

    assert {name: parse_name(name).kind for name in kinds} == kinds


def test_a_clients_prefix_is_taken_off_whatever_stands_in_the_brackets():
    assert without_client_prefix("[web] exporting to image", "web") == "exporting to image"
    assert without_client_prefix("[web internal] load build context", "web") == "[internal] load build context"
    assert without_client_prefix("[web build 1/4] RUN x", "web") == "[build 1/4] RUN x"
    assert without_client_prefix("[website 1/4] RUN x", "web") == "[website 1/4] RUN x"
    assert without_client_prefix("[web 1/4] RUN x", "") == "[web 1/4] RUN x"
