"""The page in a real browser: it draws, says nothing on the console, asks nothing of the network, cuts no text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from headless import find_browser, tab
from report_fixture import ONE, make_result, make_scenario, make_sweep, make_trial
from sensitivity_fixture import make_sensitivity
from stability_fixture import make_stabilities

from sim.report import build_replay_report, build_report
from sim.report.html import render
from sim.report.sensitivity import page_of_sensitivity
from sim.report.stability import page_of_stability

DRAWN = "document.documentElement.getAttribute('data-plots') === 'drawn'"
PROBE = """
(function () {
  var found = { overflow: document.documentElement.scrollWidth - window.innerWidth, cut: [], empty: [], focusable: 0,
                boxes: 0, texts: 0 };
  document.querySelectorAll(".plot").forEach(function (plot) {
    var box = plot.getBoundingClientRect();
    found.boxes += 1;
    if (!plot.querySelector("svg.main-svg")) { found.empty.push(plot.id); }
    found.focusable += plot.querySelectorAll("a[href], button, input, [tabindex]").length;
    plot.querySelectorAll("svg text").forEach(function (text) {
      var at = text.getBoundingClientRect();
      if (!at.width) { return; }
      found.texts += 1;
      if (at.left < box.left - 1 || at.right > box.right + 1 || at.top < box.top - 1 || at.bottom > box.bottom + 1) {
        found.cut.push(plot.id + ": " + text.textContent);
      }
    });
  });
  return found;
})()
"""


@dataclass(frozen=True)
class Visit:
    """What a browser made of a page."""

    probe: dict[str, Any]
    requests: list[str]
    complaints: list[str]


@pytest.fixture(scope="module")
def browser() -> str:
    return find_browser()


def visit(browser: str, html: str, folder: Path, width: int = 1280) -> Visit:
    """Load a page from disk, wait until all is drawn, and look."""
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    with tab(browser, folder) as page:
        page.open(path.as_uri(), width)
        if "data-plot=" in html:
            page.wait(DRAWN)
        probe = page.evaluate(PROBE)
        return Visit(probe, [url for url in page.requests() if url != path.as_uri()], page.complaints())


@pytest.fixture(scope="module")
def reports() -> dict[str, str]:
    day = make_trial("single", ONE, 28 * 3600.0)
    two = {"services.irm.queue": ("10", "40"), "failover.ttl": ("30s", "60s", "300s")}
    return {
        "run": build_report(make_result(20, name="<img src=x onerror=alert(1)> & a very long title " * 4)),
        "sweep": build_report(make_sweep({"services.irm.queue": ("10", "20", "40")}, 10)),
        "heat-map": build_report(make_sweep(two, 10)),
        "replay": build_replay_report(day, {"outages": {}}, make_scenario(), "A day"),
    }


@pytest.mark.parametrize(
    ("name", "width"), [("run", 1280), ("run", 800), ("sweep", 1280), ("heat-map", 800), ("replay", 800)]
)
def test_a_report_draws_alone_and_whole(
    name: str, width: int, browser: str, reports: dict[str, str], tmp_path: Path
) -> None:
    seen = visit(browser, reports[name], tmp_path, width)
    assert seen.requests == []
    assert seen.complaints == []
    assert seen.probe["boxes"] == reports[name].count('<div class="plot"') > 0
    assert seen.probe["empty"] == []
    assert seen.probe["texts"] > 20
    assert seen.probe["cut"] == []
    assert seen.probe["overflow"] <= 0
    assert seen.probe["focusable"] == 0, "something inside a figure that is announced as one picture takes the focus"


def test_a_figure_comes_to_its_paper_width_and_back(browser: str, reports: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(reports["replay"], encoding="utf-8")
    width = "document.querySelector('.plot svg.main-svg').getBoundingClientRect().width"
    with tab(browser, tmp_path) as page:
        page.open(path.as_uri())
        page.wait(DRAWN)
        on_screen = page.evaluate(width)
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        page.wait(f"{width} === 680")
        page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        page.wait(f"{width} === {on_screen}")
        assert on_screen > 1000


def test_an_outside_image_would_be_noticed(browser: str, tmp_path: Path) -> None:
    html = "<!doctype html><title>x</title><img src='http://outside.invalid/x.png'>"
    assert visit(browser, html, tmp_path).requests == ["http://outside.invalid/x.png"]


def test_the_policy_stops_an_outside_image(browser: str, reports: dict[str, str], tmp_path: Path) -> None:
    html = reports["replay"].replace("</main>", "<img src='http://outside.invalid/x.png'></main>")
    seen = visit(browser, html, tmp_path)
    assert seen.requests == []
    assert any("Content Security Policy" in line for line in seen.complaints)


def test_a_complaint_a_cut_label_and_an_empty_box_would_be_noticed(
    browser: str, reports: dict[str, str], tmp_path: Path
) -> None:
    broken = (
        "<style>.plot svg text { transform: translateX(-900px); }</style><script>console.error('boo')</script>"
        "<div class='plot' id='plot-of-nothing'></div>"
    )
    seen = visit(browser, reports["replay"].replace("<main", broken + "<main"), tmp_path)
    assert any("boo" in line for line in seen.complaints)
    assert seen.probe["cut"]
    assert seen.probe["empty"] == ["plot-of-nothing"]


@pytest.mark.parametrize("width", [1280, 700])
def test_the_stability_page(browser: str, tmp_path: Path, width: int):
    checks = [(1.0, 0.3, 1.0), (0.7, 0.5, 0.0)]
    page = page_of_stability("x", make_stabilities(), warnings=["read"], verdicts={"single <b>": checks})
    seen = visit(browser, render(page), tmp_path, width)
    assert seen.probe["boxes"] == len(page.panels)
    assert seen.probe["empty"] == []
    assert seen.probe["cut"] == []
    assert seen.probe["overflow"] <= 0
    assert seen.requests == []
    assert seen.complaints == []


@pytest.mark.parametrize("width", [1280, 800])
def test_the_page_of_a_sensitivity_study_draws_alone_and_whole(width: int, browser: str, tmp_path: Path) -> None:
    html = render(page_of_sensitivity(make_sensitivity(tmp_path), "What matters"))
    seen = visit(browser, html, tmp_path, width)
    assert seen.requests == []
    assert seen.complaints == []
    assert seen.probe["boxes"] == html.count('<div class="plot"') == 7
    assert seen.probe["empty"] == []
    assert seen.probe["cut"] == []
    assert seen.probe["overflow"] <= 0
