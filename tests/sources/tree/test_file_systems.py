from pathlib import Path

import pytest

from buildprof.sources.tree.file_systems import FileSystems


@pytest.fixture
def file_systems():
    return FileSystems()


def test_what_the_kernel_makes_up_is_no_place_for_files(file_systems: FileSystems):
    assert file_systems.are_pseudo(Path("/proc").stat().st_dev)
    assert not file_systems.are_pseudo(Path("/").stat().st_dev)


@pytest.mark.parametrize(
    ("kind", "tells_all"),
    [("ext4", True), ("overlay", True), ("", True), ("nfs4", False), ("virtiofs", False), ("fuse.sshfs", False)],
)
def test_only_file_systems_of_this_machine_alone_tell_of_every_change(file_systems: FileSystems, kind, tells_all):
    file_systems._types[7] = kind
    assert file_systems.tell_all(7) is tells_all
