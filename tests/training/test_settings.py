import dataclasses

import pytest

from retrodict.training import (
    Settings,
    brief_settings,
    candidate_settings,
    default_settings,
    fast_settings,
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("validation_fraction", 0.0),
        ("validation_fraction", 1.0),
        ("warmup_fraction", -0.1),
        ("num_members", 0),
        ("num_layers", 0),
        ("num_bins", 0),
        ("epochs", 0),
        ("batch_size", -3),
    ],
)
def test_impossible_settings_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}: Expected .*got {value}"):
        Settings(**{name: value})


@pytest.mark.parametrize("theta_dim", [1, 4, 5, 40])
def test_the_rule_follows_the_budget(theta_dim):
    rule = [
        default_settings(n, theta_dim) for n in (50, 300, 1000, 10_000, 10**5, 10**7)
    ]
    epochs, batches = zip(*[(s.epochs, s.batch_size) for s in rule], strict=True)
    assert list(epochs) == sorted(epochs, reverse=True)
    assert list(batches) == sorted(batches)
    assert all(s.batch_size <= 512 for s in rule)
    assert rule[0].batch_size <= 50
    assert default_settings(1000, theta_dim, num_members=2).num_members == 2


def test_a_single_network_is_held_no_less_than_a_member():
    for count in (300, 1000, 3000, 10_000, 10**5, 10**6):
        base = default_settings(count, 3, num_members=1)
        single = brief_settings(base, count)
        assert single.epochs > base.epochs
        if count > 1000:
            assert single.weight_decay > base.weight_decay
        else:
            assert single.weight_decay == base.weight_decay


def test_fast_is_longer_and_looser_where_much_is_known_of_few_and_never_deep():
    for count, dim, longer in ((1000, 1, False), (5000, 4, True), (10_000, 5, False)):
        base = default_settings(count, dim, num_members=1)
        fast, brief = fast_settings(base, count, dim), brief_settings(base, count)
        assert (fast.epochs > brief.epochs) is longer
        assert (fast.weight_decay < brief.weight_decay) is longer
        assert fast.num_layers == 4


def test_the_rule_depends_on_nothing_else():
    assert default_settings(5000, 3) == default_settings(5000, 3)
    assert dataclasses.is_dataclass(default_settings(5000, 3))


def test_raced_schedules_share_one_program():
    schedules = candidate_settings(default_settings(10_000, 3), 10_000)
    free = ("epochs", "learning_rate", "weight_decay", "linear_start")
    same = [
        {k: v for k, v in dataclasses.asdict(s).items() if k not in free}
        for s in schedules
    ]
    assert all(item == same[0] for item in same)
    assert len(set(schedules)) == len(schedules) == 5
