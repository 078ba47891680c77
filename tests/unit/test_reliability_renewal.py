"""The tape of renewal cycles and the machine are two ways to the same histories, bit for bit."""

from dataclasses import fields

import numpy as np
from elements import scenario

from sim.reliability.elements import build
from sim.reliability.renewal import is_uncoupled, run_tapes, tapes_of
from sim.reliability.trials import run_trials

ELEMENTS = {
    "a": {"count": 3, "fails": "20h", "repair": {"lognormal": {"median": "2h", "sigma": 1.0}}},
    "b": {"fails": {"weibull": {"mean": "30h", "shape": 0.7}}, "repair": {"fixed": "3h"}},
    "c": {"count": 2, "fails": {"gamma": {"mean": "15h", "shape": 2.0}}, "repair": {"exponential": {"mean": "1h"}}},
}
SYSTEMS = {
    "pair": {"any": ["c"]},
    "service": {"all": ["2 of a", "b", "pair"]},
    "loose": {"at_least": 4, "of": ["a", "c"]},
}


def test_same_histories():
    s = scenario("3000h", elements=ELEMENTS, systems=SYSTEMS, service="service")
    built = build(s)
    model, n = built.machine.compile(), len(built.machine.names.labels)
    assert is_uncoupled(s)
    tape, machine = (
        run_tapes(tapes_of(s, built, model), range(40), s.horizon, n),
        run_trials(model, range(40), s.horizon, n),
    )
    assert tape.n_events == machine.n_events > 40 * 1000
    for field in fields(tape):
        one, other = getattr(tape, field.name), getattr(machine, field.name)
        if field.name in ("rewards", "last_values") or field.name.startswith("outage"):  # sums in another order
            assert np.allclose(one, other, rtol=1e-12), field.name
        else:
            assert np.array_equal(one, other), field.name


def test_what_couples_elements_is_left_to_the_machine():
    for more in ({"crew": "x"}, {"only_while": "service"}, {"common_cause": "5%"}):
        elements = ELEMENTS | {"a": ELEMENTS["a"] | more}
        s = scenario("1h", elements=elements, systems=SYSTEMS, service="service", crews={"x": {}})
        assert not is_uncoupled(s)
