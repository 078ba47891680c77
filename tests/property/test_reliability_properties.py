"""What must hold of any scenario of elements, on the same random numbers."""

import numpy as np
from elements import scenario, trials
from hypothesis import given, settings
from hypothesis import strategies as st

LAWS = st.sampled_from(
    [
        {"exponential": {"mean": "50h"}},
        {"weibull": {"mean": "60h", "shape": 0.7}},
        {"gamma": {"mean": "40h", "shape": 2.0}},
        {"lognormal": {"median": "30h", "sigma": 1.0}},
    ]
)


def system(fails, *, count=2, need=1, name="unit", times=1, horizon=400):
    def scaled(law):
        (kind, numbers), *_ = law.items()
        return {kind: {k: f"{int(v[:-1]) * times}h" if isinstance(v, str) else v for k, v in numbers.items()}}

    return scenario(
        f"{horizon * times}h",
        elements={name: {"count": count, "fails": scaled(fails), "repair": {"fixed": f"{5 * times}h"}}},
        systems={"service": {"all": [f"{need} of {name}"]}},
    )


@settings(max_examples=15, deadline=None)
@given(fails=LAWS, count=st.integers(1, 4), need=st.integers(1, 4))
def test_more_redundancy_never_lowers_availability(fails, count, need):
    need = min(need, count)
    less = trials(system(fails, count=count, need=need), 40)["availability_time"]
    more = trials(system(fails, count=count + 1, need=need), 40)["availability_time"]
    assert np.all(more >= less - 1e-12)


@settings(max_examples=10, deadline=None)
@given(fails=LAWS, times=st.integers(2, 50))
def test_the_unit_of_time_changes_nothing(fails, times):
    one, other = trials(system(fails), 20), trials(system(fails, times=times), 20)
    assert np.allclose(one["availability_time"], other["availability_time"], rtol=0, atol=1e-9)
    assert np.array_equal(one["faults"], other["faults"])


@settings(max_examples=10, deadline=None)
@given(fails=LAWS)
def test_order_in_the_file_changes_nothing(fails):
    """Names make the numbers; another element before it does not."""
    plain = system(fails, need=2)
    blocks = plain.model_dump(mode="json", by_alias=True, context={"currency": "EUR"})
    elements = {"other": {"fails": "10h", "repair": {"fixed": "1h"}}, **blocks["elements"]}
    more = scenario("400h", elements=elements, systems=blocks["systems"])
    assert np.array_equal(trials(plain, 20)["downtime_s"], trials(more, 20)["downtime_s"])
