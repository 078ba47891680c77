"""Merging and hashing of tables."""

import numpy as np
import pytest

from sim.study.ranges import to_ranges
from sim.study.tables import canonical_column, merge, ranges_by_architecture, table_hash


def part(architecture: str, trials: list[int], values: list[float]) -> dict[str, dict[str, np.ndarray]]:
    return {
        "trials": {
            "architecture": np.full(len(trials), architecture, dtype=object),
            "trial": np.array(trials),
            "value": np.array(values),
        }
    }


def test_merge_orders_by_architecture_as_given_then_trial():
    parts = [part("b", [1, 0], [1.0, 0.0]), part("a", [1], [11.0]), part("a", [0], [10.0])]
    merged = merge(parts, ["b", "a"])["trials"]
    assert merged["architecture"].tolist() == ["b", "b", "a", "a"]
    assert merged["value"].tolist() == [0.0, 1.0, 10.0, 11.0]


def test_merge_keeps_the_order_within_a_trial():
    merged = merge([part("a", [2, 2, 2], [3.0, 1.0, 2.0]), part("a", [1], [9.0])], ["a"])["trials"]
    assert merged["value"].tolist() == [9.0, 3.0, 1.0, 2.0]


def test_merge_leaves_out_other_architectures_and_later_trials():
    merged = merge([part("a", [0, 1, 2], [0.0, 1.0, 2.0]), part("b", [0], [9.0])], ["a"], asked={"a": 2})["trials"]
    assert merged["value"].tolist() == [0.0, 1.0]


def test_merge_keeps_types_when_some_parts_are_empty():
    empty = part("a", [], [])
    merged = merge([empty, part("a", [0], [1.0]), empty], ["a"])["trials"]
    assert [values.dtype.kind for values in merged.values()] == ["O", "i", "f"]


def test_merge_refuses_parts_with_different_columns():
    other = {"trials": {"architecture": np.array(["a"], dtype=object), "trial": np.array([1])}}
    with pytest.raises(ValueError, match="different columns"):
        merge([part("a", [0], [1.0]), other], ["a"])


def test_hash_ignores_how_a_table_was_cut_and_the_sign_of_nan():
    whole = merge([part("a", [0, 1], [1.0, float("nan")])], ["a"])
    cut = merge([part("a", [1], [-float("nan")]), part("a", [0], [1.0])], ["a"])
    assert table_hash(whole) == table_hash(cut)


@pytest.mark.parametrize(
    "other",
    [
        part("a", [0, 1], [1.0, np.nextafter(2.0, 3.0)]),
        part("a", [0, 2], [1.0, 2.0]),
        part("b", [0, 1], [1.0, 2.0]),
        {"outages": part("a", [0, 1], [1.0, 2.0])["trials"]},
    ],
    ids=["last bit", "trial", "architecture", "table name"],
)
def test_hash_sees_any_change(other: dict[str, dict[str, np.ndarray]]):
    assert table_hash(part("a", [0, 1], [1.0, 2.0])) != table_hash(other)


def test_hash_tells_where_one_text_ends():
    tables = [
        {"t": {"architecture": np.array(texts, dtype=object), "trial": np.array([0, 0])}}
        for texts in (["ab", "c"], ["a", "bc"])
    ]
    assert table_hash(tables[0]) != table_hash(tables[1])


def test_canonical_column_has_three_types_only():
    assert canonical_column(np.array([True, False])).dtype == np.int64
    assert canonical_column(np.array([1.5], dtype=np.float32)).dtype == np.float64
    assert canonical_column(np.array(["x"])).tolist() == ["x"]


def test_ranges_and_trials():
    assert to_ranges({5, 0, 1, 2}) == [(0, 2), (5, 5)]
    assert to_ranges([]) == []
    assert ranges_by_architecture(part("a", [3, 1, 3], [0, 0, 0])["trials"]) == {"a": [(1, 1), (3, 3)]}
