"""The page: self-contained, escaped, built for keyboards and screen readers."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
from report_fixture import ONE, make_result, make_scenario, make_trial

from sim.measures import measure_trial
from sim.report import build_replay_report, build_report
from sim.report.html import POLICY, cell
from sim.report.style import GREY, INK
from sim.study.result import RunResult

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
SIZE_MAX = 8_000_000


class Document(HTMLParser):
    """Elements of a page as (tag, attributes, depth of open tags), and the text of its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.parents: list[list[str]] = []
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.parents.append(list(self.open))
        if tag not in ("meta", "br", "img", "link", "input"):
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def result() -> RunResult:
    return make_result(40)


@pytest.fixture(scope="module")
def html(result: RunResult) -> str:
    return build_report(result)


@pytest.fixture(scope="module")
def page(html: str) -> Document:
    return Document(html)


def evil_result() -> RunResult:
    """A run in which every text that a user can choose is an attack."""
    result = make_result(10, name=EVIL)
    name = f"single{EVIL}"
    tables = {
        table: {c: [name if x == "single" else x for x in v] if c == "architecture" else v for c, v in columns.items()}
        for table, columns in result.tables.items()
    }
    scenarios = {name if a == "single" else a: s for a, s in result.experiment.scenarios.items()}
    record = make_trial(name)
    record.records = [r._replace(what=EVIL, fault=r.fault and f"{EVIL}#0@x") for r in record.records]
    record.populations = (EVIL,)
    estimates = {name if a == "single" else a: e for a, e in result.estimates.items()}
    arrays: Any = {t: {c: _array(v) for c, v in columns.items()} for t, columns in tables.items()}
    return replace(
        result,
        experiment=replace(result.experiment, scenarios=scenarios),
        tables=arrays,
        estimates=estimates,
        warnings=[EVIL],
        kept={name: record},
        meta={**result.meta, "command": EVIL},
    )


def _array(values: Any) -> Any:
    import numpy as np

    return np.array(values, dtype=object) if isinstance(values, list) else values


class TestSelfContained:
    def test_plotly_is_there_once_and_the_page_is_small_enough(self, html: str) -> None:
        assert html.count("plotly.js v") == 1
        assert len(html.encode()) < SIZE_MAX

    def test_nothing_is_loaded(self, page: Document) -> None:
        assert not page.all("link") + page.all("img") + page.all("iframe")
        for tag, attributes in page.elements:
            assert "src" not in attributes, tag
            assert tag != "a" or (attributes["href"] or "").startswith("#"), attributes

    def test_the_policy_forbids_all_but_inline(self, page: Document) -> None:
        policies = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
        assert policies == [POLICY]
        assert "default-src 'none'" in POLICY
        assert "http" not in POLICY

    def test_figures_read_back_and_belong_to_a_box(self, page: Document) -> None:
        boxes = {d["id"] for d in page.all("div") if d.get("class") == "plot"}
        blocks = [s for s in page.all("script") if "data-plot" in s]
        assert {s["data-plot"] for s in blocks} == boxes
        for text, attributes in zip(page.scripts, page.all("script"), strict=True):
            if "data-plot" in attributes:
                figure = json.loads(text)
                assert figure["data"], attributes
                assert "NaN" not in text.split('"text"')[0]


class TestEscaping:
    def test_no_text_of_a_scenario_becomes_markup(self) -> None:
        html = build_report(evil_result())
        clean = build_report(make_result(10))
        document = Document(html)
        assert "<script>alert" not in html
        assert not document.all("img")
        assert len(document.all("script")) <= len(Document(clean).all("script"))

    def test_the_check_would_see_an_unescaped_name(self) -> None:
        assert Document(f"<p>{EVIL}</p>".replace("</script><script>", "<script>")).all("img")

    def test_labels_of_figures_hold_no_tags_of_others(self) -> None:
        document = Document(build_report(evil_result()))
        own = re.compile(r"</?(br|b|extra)>")
        for text, attributes in zip(document.scripts, document.all("script"), strict=True):
            if "data-plot" in attributes:
                for label in _strings(json.loads(text)):
                    assert "<" not in own.sub("", label), (attributes, label)

    def test_cells_are_escaped(self) -> None:
        assert str(cell("<b> [1, 2]\n<i>")) == "&lt;b&gt; <small>[1, 2]</small> <small>&lt;i&gt;</small>"


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in _strings(item)]


class TestAccessible:
    def test_language_title_and_landmarks(self, page: Document) -> None:
        assert page.all("html")[0]["lang"] == "en"
        assert [len(page.all(tag)) for tag in ("title", "header", "main", "nav", "footer", "h1")] == [1] * 6
        assert page.all("a")[0] == {"class": "skip", "href": "#main"}

    def test_headings_do_not_skip_a_level(self, page: Document) -> None:
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))

    def test_ids_are_unique_and_references_exist(self, page: Document) -> None:
        ids = [a["id"] for _, a in page.elements if "id" in a]
        assert len(ids) == len(set(ids))
        for _, attributes in page.elements:
            for name in ("aria-labelledby",):
                assert attributes.get(name) is None or attributes[name] in ids
            if (attributes.get("href") or "").startswith("#"):
                assert str(attributes["href"])[1:] in ids

    def test_every_figure_has_a_name_a_summary_and_a_table(self, page: Document) -> None:
        plots = [d for d in page.all("div") if d.get("class") == "plot"]
        assert len(plots) == len(page.all("figure")) == len(page.all("details")) == len(page.all("summary"))
        for plot in plots:
            assert plot["role"] == "img"
            assert len(plot["aria-label"] or "") > 20

    def test_tables_have_captions_scopes_and_can_be_scrolled_by_keyboard(self, page: Document) -> None:
        assert len(page.all("table")) == len(page.all("caption")) > 10
        assert all(cell.get("scope") in ("row", "col") for cell in page.all("th"))
        regions = [d for d in page.all("div") if d.get("class") == "scroll"]
        assert len(regions) == len(page.all("table"))
        assert all(d["tabindex"] == "0" and d["role"] == "region" and d["aria-labelledby"] for d in regions)

    def test_warnings_come_before_any_figure(self, page: Document) -> None:
        order = [a.get("id") or tag for tag, a in page.elements if a.get("id") == "warnings" or tag == "figure"]
        assert order[0] == "warnings"

    @pytest.mark.parametrize(
        ("ink", "paper"),
        [(INK, "#ffffff"), (GREY, "#ffffff"), ("#4a4a4a", "#ffffff"), ("#005a8c", "#ffffff"), ("#1a1a1a", "#fff4e0"),
         ("#00593f", "#ffffff"), ("#9c3d00", "#ffffff")],
    )  # fmt: skip
    def test_text_has_contrast(self, html: str, ink: str, paper: str) -> None:
        assert ink in html
        assert contrast(ink, paper) >= 4.5


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours (WCAG 2.2)."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_of_black_on_white_and_of_a_pale_grey() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#bbbbbb", "#ffffff") < 4.5


class TestReplay:
    def test_a_replay_has_its_timeline_outages_and_events(self) -> None:
        record = make_trial("single", ONE, 28 * 3600.0)
        outages = {name: column[:1].copy() for name, column in make_result(20).tables["outages"].items()}
        outages["start_s"][0], outages["end_s"][0] = 9 * 3600.0, 16 * 3600.0
        html = build_replay_report(record, {"outages": outages}, make_scenario(), "A day <b>")
        page = Document(html)
        assert len(page.all("figure")) == 1
        assert "<h1>A day &lt;b&gt;</h1>" in html
        kills = re.findall(r"<td>OOM kill</td>.*?<td>(\d+) times until", html)
        assert sum(map(int, kills)) == 303

    def test_a_trial_without_outage_or_trace_says_so(self) -> None:
        record = make_trial("single", ONE, 28 * 3600.0)
        record.trace = None
        html = build_replay_report(record, {"outages": {}}, make_scenario(), "A quiet day")
        assert "No outage" in html
        assert not Document(html).all("figure")


def test_measured_tables_fit_the_replay() -> None:
    """The columns that the report reads are those that `sim.measures` makes."""
    record = make_trial("single", ONE, 28 * 3600.0)
    record.records = [r for r in record.records if r.kind not in ("sli_below", "sli_above")]
    import numpy as np

    record.totals = np.array([[100.0, 90.0, 110.0, 90.0, 90.0, 0.0, 10.0]])
    record.month_start_s = np.array([0.0])
    record.month_totals = record.totals[None]
    record.node_hours, record.pod_hours = {"sweden-central": 336.0}, {"gpt": 224.0}
    html = build_replay_report(record, measure_trial(record, make_scenario()), make_scenario(), "Measured")
    assert "Requests served" in html
