import pytest

from buildprof.assembly.layer_entries import layer_entries

BUILDKIT = [
    ("", 2000),
    ("ENV A=1", 0),
    ("WORKDIR /srv", 0),
    ("RUN |1 A=1 /bin/sh -c make # buildkit", 10),
    ("COPY . . # buildkit", 0),
    ('CMD ["sh"]', 0),
]
CLASSIC = [
    ("", 2000),
    ("/bin/sh -c #(nop)  ENV A=1", 0),
    ("/bin/sh -c #(nop) WORKDIR /srv", 0),
    ("/bin/sh -c true", 0),
    ("|1 A=1 /bin/sh -c make", 10),
    ("/bin/sh -c #(nop) COPY dir:0123456789 in . ", 5),
]


@pytest.mark.parametrize(
    ("entries", "layers", "found"),
    [
        (BUILDKIT, 4, [0, 2, 3, 4]),
        (CLASSIC, 5, [0, 2, 3, 4, 5]),
        (CLASSIC, 4, None),
        (CLASSIC, 3, [0, 4, 5]),
        (CLASSIC, 2, None),
        (BUILDKIT, 5, None),
        ([], 0, []),
        ([], 1, None),
    ],
)
def test_layers_are_made_by_what_changes_files(entries, layers, found):
    assert layer_entries(entries, layers) == found
