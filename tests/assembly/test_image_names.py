import pytest

from buildprof.assembly.image_names import familiar, read_materials, split_digest

DIGEST = "sha256:" + "0" * 64
OTHER = "sha256:" + "1" * 64


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("docker.io/library/base:latest", "base:latest"),
        ("base", "base:latest"),
        ("docker.io/team/app:1", "team/app:1"),
        ("127.0.0.1:5000/app", "127.0.0.1:5000/app:latest"),
        ("library/base:2", "base:2"),
    ],
)
def test_a_name_is_shown_as_docker_shows_it(reference, expected):
    assert familiar(reference) == expected
    assert split_digest(f"{reference}@{DIGEST}") == (expected, DIGEST)
    assert split_digest(reference) == (expected, "")


def test_materials_tell_digests_by_name_tag_and_platform():
    materials = read_materials(
        [
            ("pkg:docker/base@latest?platform=linux%2Famd64", DIGEST),
            ("pkg:docker/base@latest?platform=linux%2Farm64", OTHER),
            ("pkg:docker/127.0.0.1%3A5000/team/app@1?platform=linux%2Famd64", DIGEST),
            ("https://example.com/f", OTHER),
        ]
    )

    assert materials.image("base:latest", "linux/amd64") == DIGEST
    assert materials.image("base:latest", "linux/arm64/v8") == OTHER
    assert materials.image("base:latest", "linux/s390x") == ""
    assert materials.image("base:1", "linux/amd64") == ""
    assert materials.image("127.0.0.1:5000/team/app:1", "") == DIGEST
    assert materials.remotes == {"https://example.com/f": OTHER}


@pytest.mark.parametrize("uri", ["", "pkg:", "pkg:docker/", "pkg:docker/%", "pkg:docker/a?" + "x=1&" * 50, "pkg:npm/a"])
def test_a_material_that_is_no_image_is_no_error(uri):
    read_materials([(uri, DIGEST)])
