"""Files to an experiment: read, merge, set, resolve, validate, check; every mistake at once.

The only entry point for what users write. Knows nothing of the engine.
"""

import os
from collections.abc import Iterable, Sequence

from pydantic import ValidationError

from sim.errors import Issue, ScenarioError, UsageError
from sim.scenario.check import findings_of, unknown_names_of
from sim.scenario.document import Experiment
from sim.scenario.finding import Finding
from sim.scenario.mending import block_of, mended
from sim.scenario.quantities import FROM_FILE
from sim.scenario.reader import read_file
from sim.scenario.reliability import scenario_model
from sim.scenario.samples import with_samples
from sim.scenario.schema import Scenario
from sim.scenario.tree import Node, descend, merged, plain
from sim.scenario.variants import Variant, apply_sets, read_axes, variants_of
from sim.scenario.wording import issues_of

PathLike = str | os.PathLike[str]


def load_experiment(
    paths: PathLike | Sequence[PathLike], *, sets: Iterable[str] = (), sweep: Iterable[str] = ()
) -> Experiment:
    """Load one experiment.

    Parameters
    ----------
    paths : path or sequence of paths
        Scenario file and overlays; a later one wins, `null` in it deletes a key.
    sets : iterable of str
        `a.b=value`, after the files.
    sweep : iterable of str
        `a.b=value,value,...`, beside the file's own `sweep`.

    Returns
    -------
    Experiment
        With one scenario per architecture and combination of swept values.

    Raises
    ------
    ScenarioError
        With every mistake found, each with file, line and column.
    UsageError
        If no path is given.
    """
    names = [os.fspath(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    if not names:
        raise UsageError("expected at least one scenario file")
    root, issues = _read(names)
    root, found = apply_sets(root, sets)
    issues += found
    root, found = with_samples(root, os.path.dirname(names[0]))
    issues += found
    axes, found = read_axes(root, sweep)
    issues += found
    variants, found = variants_of(root, axes)
    issues += found
    scenarios, found = _validated(variants)
    issues = _in_order([*issues, *found], names)
    if any(issue.severity == "error" for issue in issues):
        raise ScenarioError(issues)
    return Experiment(
        name=next(iter(scenarios.values())).name,
        scenarios=scenarios,
        sweep_axes={key: tuple(dict.fromkeys(dict(v.settings)[key] for v in variants)) for key in axes},
        settings={variant.name: dict(variant.settings) for variant in variants},
        architectures={variant.name: variant.architecture for variant in variants},
        warnings=tuple(issues),
    )


def _read(names: list[str]) -> tuple[Node, list[Issue]]:
    """The merged tree of all files, and issues that did not hinder reading on.

    Raises
    ------
    ScenarioError
        If a file could not be read; with the issues of all files.
    """
    roots: list[Node] = []
    issues: list[Issue] = []
    for name in names:
        try:
            root, found = read_file(name)
            roots.append(root)
            issues += found
        except ScenarioError as error:
            issues += error.issues
    if len(roots) < len(names):
        raise ScenarioError(issues)
    root = roots[0]
    for above in roots[1:]:
        root = merged(root, above)
    return root, issues


def _validated(variants: list[Variant]) -> tuple[dict[str, Scenario], list[Issue]]:
    """Scenarios by variant name, and the issues of all of them."""
    scenarios: dict[str, Scenario] = {}
    issues: list[Issue] = []
    everywhere: list[set[Issue]] = []
    for variant in variants:
        try:
            scenario = scenario_model(variant.tree.mapping).model_validate(plain(variant.tree), context=FROM_FILE)
        except ValidationError as error:
            issues += issues_of(error, variant.tree)
            issues += _further_mistakes(variant.tree)
            continue
        scenarios[variant.name] = scenario
        findings = findings_of(scenario)
        issues += [_located(finding, variant.tree) for finding in findings if not finding.everywhere]
        everywhere.append({_located(finding, variant.tree) for finding in findings if finding.everywhere})
    if everywhere and len(everywhere) == len(variants):
        # What concerns an element that only some architectures have is no mistake in the others.
        issues += set.intersection(*everywhere)
    return scenarios, issues


def _further_mistakes(tree: Node) -> list[Issue]:
    """Unknown names in a scenario that the models refuse, outside the blocks that they refuse."""
    stand_in = mended(tree)
    if stand_in is None:
        return []
    scenario, touched = stand_in
    return [_located(finding, tree) for finding in unknown_names_of(scenario) if block_of(finding.path) not in touched]


def _located(finding: Finding, tree: Node) -> Issue:
    """A finding at the place where its value was written, or nearest above it."""
    node, rest = descend(tree, finding.path)
    if not isinstance(node.value, dict | tuple):
        rest = ()  # a short form, such as `failover: none`, stands for the block below it
    at = node.name_at if finding.about == "key" or rest or isinstance(node.value, dict) else node.at
    return at.issue(finding.message, below=rest, severity=finding.severity)


def _in_order(issues: list[Issue], names: list[str]) -> list[Issue]:
    """Without repetition (architectures share most of the file), in the order of files and lines."""
    order = {name: number for number, name in enumerate(names)}
    return sorted(
        dict.fromkeys(issues), key=lambda issue: (order.get(issue.file, len(order)), issue.line, issue.column)
    )
