"""A small network whose window is played both ways in a second: two tiers, memory, a fault within the window."""

from pathlib import Path

SCENARIO = """\
name: Web shop
start: 2026-01-05T00:00:00Z
horizon: 2h
seed: 7
regions:
  north: {zones: 1, nodes: {count: 4, memory: 64Gi}}
services:
  web:
    work: 50ms
    slots: 40
    queue: 40
    calls: {store: {timeout: 2s, attempts: 2}}
  store:
    work: 200ms
    slots: 8
    queue: 200
    memory: {base: 300Mi, per_request: 5Mi, limit: 2Gi}
    startup: 30s
populations:
  shoppers: {workers: 1, requests: 90/s, journey: web, deadline: 5s, attempts: 3, backoff: 2s}
place: {north: {web: 2, store: 4}}
faults:
  slow-disk:
    target: store in north
    at: 2026-01-05T00:10:00Z
    effect: {slow: 6}
    repair: 1m
model: {noise: never}
"""


def write_zoomed(folder: Path) -> Path:
    """The scenario file; its fault slows the store from 10 min to 11 min."""
    path = folder / "shop.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    return path
