"""The embedded control system of Muppala, Ciardo and Trivedi (1994) as guarded events over whole numbers.

Three sensors feed an input processor, a main processor, an output processor and two actuators. Rules and rates as in
the PRISM benchmark suite, `models/ctmcs/embedded/embedded.sm` (CC-BY 4.0). Hours.
"""

from sim.laws import Exponential
from sim.reliability.expressions import Expression, least
from sim.reliability.machine import Machine, Variable

MONTH, YEAR = 720.0, 8760.0
REWARDS = ("down", "up", "danger")
CAUSES = {"sensor": "P_fail_sensors", "actuator": "P_fail_actuators", "timer": "P_fail_io", "main": "P_fail_main"}
"""Label of the event that takes the system down, and the published name of the cause."""


def embedded(max_count: int = 2, seed: int = 5) -> Machine:
    """Return the system; it is down when more than `max_count` cycles in a row were skipped, among other causes."""
    machine = Machine(seed)
    sensors, actuators = machine.variable("sensors", 3), machine.variable("actuators", 2)
    input_, output = machine.variable("input", 2), machine.variable("output", 2)  # 2 works, 1 transient fault, 0 lost
    main, skipped = machine.variable("main", 1), machine.variable("skipped")
    done, ready = machine.variable("done", 1), machine.variable("ready", 1)
    pending, was_ready = machine.variable("pending"), machine.variable("was-ready")

    sensing, acting = sensors >= 2, actuators >= 1
    reads, writes = (input_ == 2) & sensing, (output == 2) & acting
    machine.event("sensor", Exponential(MONTH), when=sensors * (sensors > 1), do={sensors: sensors - 1})
    machine.event("actuator", Exponential(2 * MONTH), when=actuators, do={actuators: actuators - 1})
    machine.event("main", Exponential(YEAR), when=main == 1, do={main: 0})
    _faults(machine, "input", input_, sensing)
    _faults(machine, "output", output, acting)

    # The source assigns all at once, a machine one after the other: whatever is read in its old value comes first.
    restart = Exponential(30 / 3600)
    machine.event(
        "input-restart",
        restart,
        when=(input_ == 1) & sensing,
        do={done: done | (main & ~pending), ready: 1, pending: ~writes & (pending | main), input_: 2},
    )
    machine.event(
        "output-restart",
        restart,
        when=(output == 1) & acting,
        do={done: done | (ready & main), ready: reads | (ready & ~main), pending: 0, output: 2},
    )
    # The timer has no memory, so it may stand still while its next beat would change nothing.
    still = done & ready & ~pending & (skipped == 0) & reads & writes & main
    machine.event(
        "timer",
        Exponential(1 / 60),
        when=~still,
        do={
            skipped: least(skipped + 1, max_count + 1) * ~done,
            done: ready & ~pending & main,
            was_ready: ready,
            ready: reads | (ready & (pending | ~main)),
            pending: ~writes & (pending | (was_ready & main)),
        },
    )
    down = ((input_ == 2) & ~sensing) | (skipped == max_count + 1) | ((output == 2) & ~acting) | (main == 0)
    danger = ~down & ((input_ == 1) | (output == 1))
    for name, value in zip(REWARDS, (down, ~down & ~danger, danger), strict=True):
        machine.reward(name, value)
    return machine


def _faults(machine: Machine, name: str, processor: Variable, used: Expression) -> None:
    """Permanent and transient faults, only while what the processor serves is there."""
    machine.event(f"{name}-loss", Exponential(YEAR), when=(processor > 0) & used, do={processor: 0})
    machine.event(f"{name}-fault", Exponential(24.0), when=(processor == 2) & used, do={processor: 1})
