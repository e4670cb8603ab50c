import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.assembly.projects import (
    How,
    KnownProject,
    Placement,
    TreeFacts,
    compose_name,
    place,
    repository_name,
    without_credentials,
)
from buildprof.model.events import BuildRecord, LocalState, RecordState

COMPOSE = {"label:com.docker.compose.project": "shop", "label:com.docker.compose.service": "front"}
VCS = {"vcs:source": "https://jane:pw@git.example/org/store.git", "vcs:localdir:context": "."}


def record(**attrs: str) -> BuildRecord:
    return BuildRecord("ref", RecordState.STARTED, 0, 1, frontend_attrs=attrs)


def state(context: str = "/srv/Shop/web", target: str = "default", group: str = "") -> LocalState:
    return LocalState("ref", target, context, f"{context}/Dockerfile", group)


def test_a_build_of_a_directory_is_a_project_of_that_name():
    assert place(record(), state(), TreeFacts("/srv/Shop/web")) == Placement(
        "web", "default", "/srv/Shop/web", "", "/srv/Shop/web", "/srv/Shop/web/Dockerfile", How.LOCAL_STATE
    )


def test_a_context_inside_a_git_work_tree_belongs_to_the_work_tree():
    found = place(record(**VCS), state(), TreeFacts("/srv/Shop/web", "/srv/Shop"))
    assert (found.project, found.directory, found.context) == ("Shop", "/srv/Shop", "/srv/Shop/web")


def test_a_compose_project_s_name_wins_and_the_directory_is_still_known():
    found = place(record(**COMPOSE), state(target="front", group="g"), TreeFacts("/srv/Shop/web", "/srv/Shop"))
    assert (found.project, found.target, found.group) == ("shop", "front", "g")
    assert (found.directory, found.how) == ("/srv/Shop", How.LOCAL_STATE)


def test_builds_by_hand_of_a_compose_project_s_directory_stand_with_those_by_compose():
    tree = TreeFacts("/srv/Shop/web", "/srv/Shop", "shop", "/srv/Shop")
    assert place(record(), state(), tree).project == place(record(**COMPOSE), None).project == "shop"


def test_labels_come_before_vcs_and_vcs_before_a_known_dockerfile():
    known = KnownProject("known", "/srv/known")
    assert place(record(**COMPOSE, **VCS), known=known).how is How.COMPOSE_LABELS
    by_vcs = place(record(**VCS), known=known)
    assert (by_vcs.project, by_vcs.directory, by_vcs.how) == ("store", "", How.VCS)
    by_text = place(record(), known=known)
    assert (by_text.project, by_text.directory, by_text.how) == ("known", "/srv/known", How.DOCKERFILE)


def test_a_build_that_cannot_be_placed_is_unknown():
    assert place(record()) == Placement("unknown", "default", how=How.UNKNOWN)


@pytest.mark.parametrize("context", ["-", "", "relative/path"])
def test_a_context_from_standard_input_is_no_directory(context: str):
    found = place(record(), state(context))
    assert (found.project, found.directory) == ("unknown", "")


def test_the_root_directory_has_no_name():
    assert place(record(), state("/")).project == "unknown"


def test_a_context_that_was_fetched_is_named_by_its_repository():
    url = "https://jane:pw@git.example/org/store.git#main:web"
    for local_state in (None, state(url)):
        found = place(record(context=url), local_state)
        assert (found.project, found.how, found.directory) == ("store", How.REMOTE_CONTEXT, "")
        assert found.context == "https://git.example/org/store.git#main:web"


def test_a_context_that_the_client_sends_is_no_repository():
    assert place(record(context="http://buildkit-session/abc")).project == "unknown"


@pytest.mark.parametrize(
    ("attrs", "local_state", "target"),
    [
        ({}, None, "default"),
        ({"target": "prod"}, None, "prod"),
        ({"target": "prod"}, state(), "prod"),
        ({"target": "prod"}, state(target="web"), "web"),
        ({"target": "prod", **COMPOSE}, None, "front"),
        ({"target": "\x1b[31m \n"}, None, "default"),
    ],
)
def test_the_target_is_that_of_bake_or_compose_else_the_dockerfile_s(attrs, local_state, target):
    assert place(record(**attrs), local_state).target == target


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://git.example/org/store.git", "store"),
        ("https://git.example/org/store/", "store"),
        ("https://git.example/org/store.git#main:sub/dir", "store"),
        ("https://git.example/dl/store-1.2.tar.gz?x=y/z", "store-1.2"),
        ("git@git.example:org/store.git", "store"),
        ("git@git.example:store", "store"),
        ("ssh://git@git.example:22/org/store.git", "store"),
        ("/srv/git/store.git", "store"),
        ("file:///srv/git/store", "store"),
        ("https://git.example", ""),
        ("", ""),
    ],
)
def test_a_repository_s_name_is_the_last_part_of_its_address(url: str, name: str):
    assert repository_name(url) == name


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://jane:pw@git.example/x", "https://git.example/x"),
        ("https://token@git.example/x", "https://git.example/x"),
        ("https://jane:p@w@git.example/x@y", "https://git.example/x@y"),
        ("git@git.example:org/x.git", "git@git.example:org/x.git"),
        ("/srv/a@b", "/srv/a@b"),
    ],
)
def test_credentials_are_taken_out_of_urls(url: str, clean: str):
    assert without_credentials(url) == clean


def test_compose_names_are_lower_case_and_begin_with_a_letter_or_digit():
    assert compose_name("-_My.Shop_2-") == "myshop_2-"


@given(st.dictionaries(st.sampled_from(["context", "target", "vcs:source", *COMPOSE]), st.text()), st.text(), st.text())
def test_whatever_is_said_of_a_build_its_names_are_clean_and_never_empty(attrs, directory, target):
    found = place(record(**attrs), state("/" + directory, target), TreeFacts())
    for name in (found.project, found.target):
        assert 0 < len(name) <= 100
        assert name.isprintable()
