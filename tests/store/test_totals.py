from __future__ import annotations

from buildprof.model.series import Contribution, Effect
from buildprof.store.totals import fold, history_key, newest


def test_contributions_to_one_series_become_one_change() -> None:
    labels = (("project", "shop"),)
    added, replaced = fold(
        [
            Contribution("a", labels, 1.0, at_ns=2, ref="r", exemplar_value=0.5),
            Contribution("a", labels, 2.0, at_ns=1, ref="older", exemplar_value=0.1),
            Contribution("g", labels, 7.0, Effect.SET, at_ns=2),
            Contribution("g", labels, 6.0, Effect.SET, at_ns=1),
        ]
    )
    assert added == {("a", '{"project":"shop"}'): (3.0, 2, "r", 0.5)}
    assert replaced == {("g", '{"project":"shop"}'): (7.0, 2, "", None)}


def test_the_newest_durations_are_kept_whatever_their_order() -> None:
    assert newest([(1, 1.0), (6, 6.0), (3, 3.0)], [(5, 5.0), (2, 2.0), (4, 4.0)]) == [
        (6, 6.0),
        (5, 5.0),
        (4, 4.0),
        (3, 3.0),
        (2, 2.0),
    ]


def test_a_long_identity_has_a_short_key() -> None:
    assert history_key("short") == "short"
    assert len(history_key("é" * 10_000)) == len("sha256:") + 64
    assert history_key("a" * 1000) != history_key("a" * 1001)
