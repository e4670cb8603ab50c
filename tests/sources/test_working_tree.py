import os
import subprocess
from pathlib import Path

import pytest

from buildprof.assembly.projects import TreeFacts
from buildprof.sources.working_tree import compose_project, git_top_level, read_dockerfile, tree_facts


def git(directory: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    top = tmp_path / "Shop"
    (top / "services/web").mkdir(parents=True)
    git(top, "init")
    git(top, "commit", "--allow-empty", "-m", "one")
    return top


def test_the_top_level_is_found_from_below_as_git_finds_it(repository: Path):
    assert git_top_level(repository / "services/web") == repository
    assert git_top_level(repository) == repository
    assert git_top_level(repository.parent) is None


def test_a_linked_work_tree_is_its_own_top_level(repository: Path):
    git(repository, "worktree", "add", "../linked")
    assert git_top_level(repository.parent / "linked") == repository.parent / "linked"


def test_a_dot_git_that_is_none_is_passed_over(repository: Path):
    (repository / "services/.git").mkdir()
    (repository / "services/web/.git").write_text("nothing")
    assert git_top_level(repository / "services/web") == repository


@pytest.mark.parametrize("file_name", ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"])
def test_a_directory_with_a_compose_file_is_a_project_in_compose_s_spelling(tmp_path: Path, file_name: str):
    directory = tmp_path / "_My Shop.v2"
    directory.mkdir()
    assert compose_project(directory) == ""
    (directory / file_name).write_text("services: {}\n")
    assert compose_project(directory) == "myshopv2"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("name: corner-shop\nservices: {}\n", "corner-shop"),
        ('services: {}\nname: "corner-shop"  # for all\n', "corner-shop"),
        ("name: ${NAME}\n", "shop"),
        ("services:\n  name: other\n", "shop"),
        ("\0\xff", "shop"),
    ],
)
def test_the_compose_file_s_own_name_wins_where_it_is_plain(tmp_path: Path, text: str, name: str):
    directory = tmp_path / "shop"
    directory.mkdir()
    (directory / "compose.yaml").write_text(text)
    assert compose_project(directory) == name


def test_the_facts_of_a_context_are_gathered_from_it_and_from_its_top_level(repository: Path):
    web = repository / "services/web"
    assert tree_facts(web) == TreeFacts(str(web), str(repository))
    (repository / "compose.yaml").write_text("services: {}")
    assert tree_facts(web) == TreeFacts(str(web), str(repository), "shop", str(repository))


@pytest.mark.parametrize("path", ["", "relative", "/nowhere/at/all", "-", "https:/git.example/x"])
def test_a_directory_that_is_not_here_has_no_facts(path: str):
    assert tree_facts(Path(path)) == TreeFacts()


def test_a_dockerfile_is_read_up_to_a_size_and_through_a_link_in_its_directory(tmp_path: Path):
    (tmp_path / "real").write_bytes(b"FROM base\n# \xff\n")
    (tmp_path / "Dockerfile").symlink_to("real")
    assert read_dockerfile(tmp_path / "Dockerfile", 100) == "FROM base\n# \ufffd\n"
    assert read_dockerfile(tmp_path / "real", 5) is None


def test_what_is_no_dockerfile_of_that_directory_is_not_read(tmp_path: Path):
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret").write_text("x")
    (inner / "out").symlink_to(tmp_path / "secret")
    (inner / "loop").symlink_to("loop")
    os.mkfifo(inner / "fifo")
    for name in ("out", "loop", "fifo", "absent", ".", "nul\0"):
        assert read_dockerfile(inner / name, 100) is None
    assert read_dockerfile(Path("-"), 100) is None


def test_a_file_that_the_user_who_named_it_may_not_read_is_not_read_for_that_user(tmp_path):
    private = tmp_path / "Dockerfile"
    private.write_text("FROM secret\n")
    private.chmod(0o600)
    nobody = 65534
    assert read_dockerfile(private, 1000, nobody) is None
    assert read_dockerfile(private, 1000, os.geteuid()) == "FROM secret\n"
    private.chmod(0o644)
    tmp_path.chmod(0o700)
    assert read_dockerfile(private, 1000, nobody) is None
