"""The closed forms against the published values, to the digits given there."""

import json
import math
from itertools import islice
from pathlib import Path

import pytest

from sim.oracles import closed_forms as forms
from sim.oracles import queue_forms as queues

TRUTHS = json.loads((Path(__file__).parent / "truths" / "closed_form.json").read_text(encoding="utf-8"))
YEAR_H = 8760.0
UNIT = forms.Unit(0.001, 0.25)


def agree(entry: str, rel: float = 1e-9, **values: float) -> None:
    """Compare with one entry of the truths; 12 digits are stored, so 1e-11 is the best that can be asked."""
    for name, value in values.items():
        assert value == pytest.approx(TRUTHS[entry][name], rel=rel, abs=1e-300), f"{entry}.{name}"


def test_c01_one_unit() -> None:
    agree(
        "C01",
        A=UNIT.availability,
        U=UNIT.unavailability,
        A_t1=UNIT.point_availability(1),
        A_t10=UNIT.point_availability(10),
        IA_24=UNIT.interval_availability(24),
        freq_per_year=UNIT.failures_per_time * YEAR_H,
        downtime_min_per_year=forms.downtime_per_year_min(UNIT.unavailability),
    )


def test_c01_variance_of_the_time_average() -> None:
    variance = UNIT.time_average_variance(YEAR_H)
    agree("C01v", var_stationary=variance, sd=math.sqrt(variance))
    agree("C01v", rel=1e-3, asym_var_times_T=variance * YEAR_H)


def test_c01_downtime_from_up() -> None:
    variance = UNIT.downtime_variance(720)
    agree("C01d", ED=UNIT.expected_downtime(720), VarD=variance, sdD=math.sqrt(variance))


@pytest.mark.parametrize(("entry", "crews"), [("C02_indep", 5), ("C02_one_crew", 1)])
def test_c02_three_of_five(entry: str, crews: int) -> None:
    group = forms.k_of_n(5, 3, forms.Unit(0.001, 0.1), crews=crews)
    agree(
        entry,
        A=1 - group.unavailability,
        U=group.unavailability,
        mttf_from_all_up_h=group.mttf,
        freq_per_h=group.failures_per_time,
        mean_down_h=group.mean_outage,
        MUT_h=(1 - group.unavailability) / group.failures_per_time,
    )


def test_c02_survivors_that_stop_failing_while_the_group_is_down() -> None:
    group = forms.k_of_n(5, 3, forms.Unit(0.001, 0.1), crews=1, fail_while_down=False)
    agree("C02_suspended_one_crew", U=group.unavailability, A=1 - group.unavailability)
    assert group.mean_outage == pytest.approx(10)  # one repair by one crew


def test_c02_independent_units_are_binomial() -> None:
    agree("C02_indep", A=forms.k_of_n_independent(5, 3, 0.1 / 0.101))
    wrong_crew = forms.k_of_n(5, 3, forms.Unit(0.001, 0.1), crews=1)
    assert wrong_crew.unavailability > 5 * TRUTHS["C02_indep"]["U"]


def test_c05_two_regions() -> None:
    region = forms.Unit(1 / 2000, 1 / 4)
    agree(
        "G02",
        aa_any=1 - forms.any_of_two(region),
        coa_2x50=region.availability,
        both=forms.k_of_n_independent(2, 2, region.availability),
        coa_n3_need2=forms.k_of_n_independent(3, 2, region.availability),
    )
    assert forms.any_of_two(region) == pytest.approx(3.98404787e-6, rel=1e-8)


def test_c06_mm1() -> None:
    agree(
        "Q01",
        L=queues.mm1_mean(0.8),
        W=queues.mm1_mean(0.8) / 0.8,
        P_W_gt_5=queues.mm1_sojourn_tail(0.8, 1.0, 5.0),
        p_n_ge_10=queues.mm1_tail(0.8, 10),
    )


@pytest.mark.parametrize("time", [10, 50, 200])
def test_c06_mm1_from_empty(time: int) -> None:
    agree(f"Q10_t{time}", EL=queues.mm1_mean_at(0.8, 1.0, time))


def test_c07_mmc() -> None:
    wait = queues.mmc_wait(10, 8.0, 1.0)
    agree(
        "Q02",
        ErlangC=queues.erlang_c(10, 8.0),
        Wq=wait,
        Lq=8 * wait,
        W=wait + 1,
        L=8 * (wait + 1),
        P_Wq_gt_1=queues.mmc_wait_tail(10, 8.0, 1.0, 1.0),
    )


@pytest.mark.parametrize(
    ("entry", "servers", "room", "arrivals"), [("Q03", 10, 15, 12.0), ("Q03c", 4, 4, 3.0), ("Q07b", 1, 20, 0.9)]
)
def test_c08_mmck(entry: str, servers: int, room: int, arrivals: float) -> None:
    queue = queues.mmck(servers, room, arrivals, 1.0)
    agree(
        entry,
        P_block=queue.blocked,
        L=queue.in_system,
        Lq=queue.waiting,
        throughput=queue.throughput,
        W_accepted=queue.sojourn,
        P0=queue.probs[0],
        P_wait_accepted=sum(queue.probs[servers:-1]) / (1 - queue.blocked),
    )


def test_a07_mm13_is_full_in_the_long_run() -> None:
    agree("P01", S_full=queues.mmck(1, 3, 1.5, 3.0).blocked)


def test_c09_erlang_loss() -> None:
    agree(
        "Q04",
        B_10_8=queues.erlang_b(10, 8),
        B_100_90=queues.erlang_b(100, 90),
        B_5_10=queues.erlang_b(5, 10),
        B_1_1=queues.erlang_b(1, 1),
    )


@pytest.mark.parametrize(("entry", "servers", "arrivals"), [("Q05a", 10, 12.0), ("Q05b", 100, 120.0)])
def test_c10_erlang_a(entry: str, servers: int, arrivals: float) -> None:
    queue = queues.erlang_a(servers, arrivals, 1.0, 0.5)
    agree(
        entry,
        P_wait=queue.wait_prob,
        EQ=queue.waiting,
        EW=queue.wait,
        P_ab=queue.abandoned,
        util=queue.utilisation,
        throughput=queue.throughput,
        EL=queue.in_system,
        VarL=queue.in_system_variance,
    )


def test_c10_the_fluid_limit_of_erlang_a() -> None:
    """The fluid queue is (120 - 100) / 0.5 = 40; the exact one differs from it by 7.44e-4."""
    exact = queues.erlang_a(100, 120.0, 1.0, 0.5).waiting
    assert exact / queues.fluid_queue_at(1e9, 20.0, 0.5) - 1 == pytest.approx(TRUTHS["Q05f_100"]["rel"], rel=1e-8)


def test_c12_processor_sharing_has_the_mean_of_mm1() -> None:
    agree("Q07", EL=queues.mm1_mean(0.8), ET=queues.mm1_mean(0.8) / 0.8)


@pytest.mark.parametrize("downtime", ["0.72", "3.6", "7.2", "24.0"])
def test_c15_takacs(downtime: str) -> None:
    agree(f"T01_x{downtime}", P_le=forms.downtime_cdf_exponential(float(downtime), 720, forms.Unit(1 / 720, 1 / 4)))


def test_c15_mass_at_zero_mean_and_quantiles() -> None:
    unit = forms.Unit(1 / 720, 1 / 4)
    agree("T01_0", P_no_downtime=forms.downtime_cdf_exponential(0.0, 720, unit), mean_D=unit.expected_downtime(720))
    found = {f"q{p}": forms.downtime_quantile_exponential(p / 100, 720, unit) for p in (50, 90, 95, 99)}
    agree("T01_q", **found)
    assert forms.downtime_quantile_exponential(0.3, 720, unit) == 0
    assert forms.downtime_cdf_exponential(-1.0, 720, unit) == 0
    assert forms.downtime_cdf_exponential(720.0, 720, unit) == 1


@pytest.mark.parametrize("downtime", ["1.4999999", "9.0"])
def test_c15_constant_repair(downtime: str) -> None:
    found = forms.downtime_cdf_constant(float(downtime), 720, failure_rate=1 / 240, repair=1.5)
    agree(f"T02_x{downtime}", P_le=found)
    assert forms.downtime_cdf_constant(720.0, 720, failure_rate=1 / 240, repair=1.5) == 1


def test_c16_the_long_run_depends_on_the_means_only() -> None:
    agree("N01", A_inf=forms.renewal_availability(100.0, math.exp(1.4**2 / 2)))


def test_c17_overload_with_abandonment() -> None:
    overload = queues.fluid_overload(20.0, 60.0, 20.0, 0.1)
    agree(
        "F01",
        q_end=overload.peak,
        q_t10=queues.fluid_queue_at(10.0, 20.0, 0.1),
        drain_s=overload.drain,
        abandoned_overload=overload.abandoned_surge,
        abandoned_drain=overload.abandoned_drain,
        abandoned_total=overload.abandoned_surge + overload.abandoned_drain,
    )


def test_c18_overload_without_abandonment() -> None:
    overload = queues.fluid_overload(20.0, 60.0, 20.0, 0.0)
    agree(
        "F02",
        q_end=overload.peak,
        drain_s=overload.drain,
        peak_wait_s=queues.fluid_longest_wait(20.0, 60.0, 100.0),
        total_delay_job_s=queues.fluid_total_delay(20.0, 60.0, 20.0),
    )
    assert (overload.abandoned_surge, overload.abandoned_drain) == (0, 0)
    patient = queues.fluid_overload(20.0, 60.0, 20.0, 1e-9)
    assert patient.peak == pytest.approx(overload.peak, rel=1e-6)
    assert patient.drain == pytest.approx(overload.drain, rel=1e-6)


def test_c22_memory_limit() -> None:
    in_flight = forms.in_flight_at_oom(1024, 256, 1.5)
    agree("F06", inflight_at_oom=in_flight, t_oom_s=in_flight / 20)


def test_c23_leak() -> None:
    cycle = forms.leak_cycle(300, 1024, 2 / 60, 20)
    agree("F07", time_to_oom_s=cycle.time_to_oom, A=cycle.availability, ooms_per_day=cycle.kills_per_time * 86_400)


def test_c26_productivity() -> None:
    agree(
        "J01",
        frac_business_hours=forms.working_share(),
        sweden_overlap_h=forms.overlap(10, 17.2, 9, 17),
        sweden_total_h=17.2 - 10,
    )
    agree("J02", annual_cost_uniform=forms.yearly_productivity_cost(0.001, 10_000, 0.3, 60))
    assert forms.overlap(20, 22, 9, 17) == 0


def test_b02_crash_loop_backoff() -> None:
    assert list(islice(forms.crash_loop_delays_s(), 9)) == [0, 10, 20, 40, 80, 160, 300, 300, 300]


def test_b03_spares() -> None:
    assert 1 - forms.k_of_n_independent(2, 1, 0.99) == pytest.approx(1e-4)
    assert 1 - forms.k_of_n_independent(4, 3, 0.999) == pytest.approx(5.992003e-6, rel=1e-7)


def test_b04_five_dependencies_at_five_nines() -> None:
    unavailability = forms.shared_dependencies_unavailability([1e-5] * 5)
    assert unavailability == pytest.approx(4.99990000e-5, rel=1e-8)
    assert forms.downtime_per_year_min(unavailability) == pytest.approx(26.2795, abs=5e-5)
    assert forms.downtime_per_year_min(1e-4) == pytest.approx(52.56)


def test_the_comparison_can_fail() -> None:
    with pytest.raises(AssertionError, match=r"C01\.A"):
        agree("C01", A=forms.Unit(0.001, 0.2501).availability)
