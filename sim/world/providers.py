"""Own outages of the fallback provider, as an alternating renewal process with its long-run availability."""

from sim.laws import Law, law_of
from sim.scenario.schema import ExponentialLaw, LawSpec
from sim.world.conditions import Conditions
from sim.world.context import Context, Steps
from sim.world.log import Kind


def provider_outages(context: Context, conditions: Conditions) -> None:
    """Start the process, if there is a provider that is not always available."""
    provider = context.scenario.failover.provider
    if provider is None or provider.availability >= 1.0:
        return
    down_mean_s = provider.outage_mean
    up_mean_s = down_mean_s * provider.availability / (1.0 - provider.availability)
    context.process(_outages(context, conditions, _exponential(up_mean_s), _exponential(down_mean_s)))


def _outages(context: Context, conditions: Conditions, up: Law, down: Law) -> Steps:
    index = 0
    while True:
        yield context.env.timeout(context.draw(up, "provider", "own time to failure", index))
        name = f"provider-outage#{index + 1}@provider"
        context.record(Kind.FAULT, "the other provider is down", fault=name)
        conditions.set_provider(name, (1.0, 0.0, 1.0))
        yield context.env.timeout(context.draw(down, "provider", "own repair", index))
        conditions.set_provider(name, None)
        context.record(Kind.REPAIR, "the other provider works again", fault=name)
        index += 1


def _exponential(mean_s: float) -> Law:
    return law_of(LawSpec(exponential=ExponentialLaw(mean=mean_s)))
