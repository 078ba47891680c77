"""`validate` and `schema`: the scenario language without the simulator."""

import json
from collections.abc import Sequence

import typer

from sim.commands.documents import issue_document, print_document
from sim.commands.exits import EXIT_USAGE, print_error
from sim.commands.request import OutputChoice, ScenarioChoice
from sim.errors import Issue, ScenarioError


def validate_files(choices: Sequence[ScenarioChoice], output: OutputChoice) -> None:
    """Check each file (with the overlays) and show all issues; exit code 2 if one is an error."""
    issues: list[Issue] = []
    for choice in choices:
        found = issues_of(choice)
        issues += found
        if not output.json and not _errors(found):
            typer.echo(f"{choice.paths[0]}: valid")
    valid = not _errors(issues)
    if output.json:
        print_document({"valid": valid, "issues": [issue_document(issue) for issue in issues]})
    else:
        for issue in issues:
            print_error(str(issue))
    if not valid:
        raise typer.Exit(EXIT_USAGE)


def issues_of(choice: ScenarioChoice) -> list[Issue]:
    """Errors and warnings of one scenario."""
    try:
        return list(choice.load().warnings)
    except ScenarioError as error:
        return list(error.issues)


def print_schema() -> None:
    """The JSON Schema of a scenario file on stdout."""
    from sim.scenario.jsonschema import scenario_schema

    typer.echo(json.dumps(scenario_schema(), indent=2, ensure_ascii=False))


def _errors(issues: Sequence[Issue]) -> list[Issue]:
    return [issue for issue in issues if issue.severity == "error"]
