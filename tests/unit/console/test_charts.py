"""Charts: what they draw of few, missing, huge and hostile values."""

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from markupsafe import Markup

from agentflow_api.console.charts import (
    BYTES,
    COUNT,
    Chart,
    Place,
    Series,
    Span,
    bar_chart,
    line_chart,
    meter,
    places_in_time,
    span_bar,
)
from agentflow_api.console.charts.frame import HEIGHT, WIDTH

START = datetime(2026, 2, 27, tzinfo=UTC)
FIGURES = [bar_chart, line_chart]


def chart(*values: float | None, limit: float | None = None, title: str = "Runs") -> Chart:
    days = places_in_time((START + timedelta(days=day) for day in range(len(values))), "day")
    return Chart(title, days, [Series("runs", values)], heading="Day", limit=limit)


def parsed(markup: Markup) -> ET.Element:
    """It is well-formed, carries no style or event of its own, and stays inside its field."""
    root = ET.fromstring(f"<root>{markup}</root>")
    for one in root.iter():
        assert not {name for name in one.attrib if name == "style" or name.startswith("on")}
    for one in root.iterfind(".//svg[@class='chart-plot']//rect"):
        x, y = float(one.attrib["x"]), float(one.attrib["y"])
        assert 0 <= x <= x + float(one.attrib["width"]) <= WIDTH + 0.1
        assert -2 <= y <= y + float(one.attrib["height"]) <= HEIGHT + 0.1
    return root


def bars(markup: Markup) -> list[float]:
    """Heights of the bars, from the left."""
    return [float(one.attrib["height"]) for one in parsed(markup).iterfind(".//rect[@class='series-1']")]


def ticks(markup: Markup) -> list[str]:
    """Of the vertical axis, from the top."""
    return [str(one.text) for one in parsed(markup).iterfind(".//*[@class='chart-y']/span")]


def test_bars_are_as_high_as_their_values() -> None:
    drawn = bar_chart(chart(0, 5, 10, 20))
    assert ticks(drawn) == ["20", "15", "10", "5", "0"]
    assert bars(drawn) == pytest.approx([50, 100, 200])


def test_each_place_says_its_numbers_on_hover_and_in_a_table() -> None:
    drawn = parsed(bar_chart(chart(1234567, None)))
    titles = [one.text for one in drawn.iterfind(".//svg//title")]
    assert titles == ["27 Feb 2026\nruns: 1,234,567", "28 Feb 2026\nruns: no data"]
    cells = ["".join(one.itertext()) for one in drawn.iterfind(".//tbody//td")]
    assert cells == ["1,234,567", "no data"]
    assert [one.attrib["scope"] for one in drawn.iterfind(".//th")] == ["col", "col", "row", "row"]


@pytest.mark.parametrize("draw", FIGURES)
def test_nothing_and_zeros(draw: object) -> None:
    """No places, no values and zeros alone are charts with an axis, not errors."""
    assert callable(draw)
    for one in (chart(), chart(None, None), chart(0, 0, 0)):
        assert ticks(draw(one)) == ["1", "0"]
    assert "no data" in draw(chart(None))


def test_a_line_ends_where_nothing_is_known() -> None:
    paths = [one.attrib for one in parsed(line_chart(chart(1, 2, None, 4, None, 5, 6))).iterfind(".//path")]
    assert [path["class"] for path in paths] == [
        "chart-line series-1",
        "chart-dot series-1",
        "chart-line series-1",
    ]
    assert [path["d"].count("L") for path in paths] == [1, 1, 1]


def test_one_point_is_a_dot() -> None:
    [path] = parsed(line_chart(chart(7))).iterfind(".//path")
    begin, end = path.attrib["d"].removeprefix("M").split("L")
    assert begin == end
    assert begin.startswith("500 ")


def test_no_numbers_are_gaps() -> None:
    """Neither infinity nor NaN is drawn."""
    drawn = bar_chart(chart(float("nan"), float("inf"), 3))
    assert len(bars(drawn)) == 1
    assert "nan" not in drawn.lower()


def test_huge_numbers_stay_short() -> None:
    drawn = bar_chart(chart(10**15, 5 * 10**14))
    assert max(map(len, ticks(drawn))) <= 5
    assert max(map(len, ticks(bar_chart(chart(10**30))))) <= 8


def test_values_below_zero_hang_from_it() -> None:
    """What is kept can become less: its bars go down from 0."""
    root = parsed(bar_chart(chart(10, -10)))
    [zero] = root.iterfind(".//line[@class='chart-zero']")
    up, down = root.iterfind(".//rect[@class='series-1']")
    assert float(up.attrib["y"]) + float(up.attrib["height"]) == float(zero.attrib["y1"])
    assert down.attrib["y"] == zero.attrib["y1"]


def test_series_stand_on_each_other() -> None:
    places = [Place("a", "a")]
    root = parsed(bar_chart(Chart("Tokens", places, [Series("in", [30]), Series("out", [10])])))
    [first] = root.iterfind(".//rect[@class='series-1']")
    [second] = root.iterfind(".//rect[@class='series-2']")
    top = float(second.attrib["y"]) + float(second.attrib["height"])
    assert top == pytest.approx(float(first.attrib["y"]))
    legend = "".join("".join(one.itertext()) for one in root.iterfind(".//*[@class='chart-legend']"))
    assert legend == "inout"


def test_a_limit_is_drawn_where_it_is_near() -> None:
    def limits(of: Chart) -> int:
        return len(list(parsed(bar_chart(of)).iterfind(".//line[@class='chart-limit']")))

    assert limits(chart(50, 90, limit=100)) == 1
    assert limits(chart(1, 2, limit=1_000_000)) == 0


def test_bytes_have_ticks_of_their_own_kind() -> None:
    drawn = bar_chart(Chart("Stored", [Place("a", "a")], [Series("stored", [3 * 2**30])], BYTES))
    assert ticks(drawn) == ["3 GiB", "2 GiB", "1 GiB", "0 B"]


@pytest.mark.parametrize(
    ("value", "told"),
    [(0, "0"), (999, "999"), (999.9, "1k"), (1234, "1.2k"), (999_999, "1M"), (5 * 10**15, "5P")],
)
def test_short_numbers(value: float, told: str) -> None:
    assert COUNT.short(value) == told


def test_hostile_words_are_words() -> None:
    """Titles, series, places and names come from users."""
    evil = "</title><script>alert('x')</script>\"onload=\"y"
    place = Place(evil, evil)
    shown = Chart(evil, [place], [Series(evil, [1]), Series(evil, [2])], heading=evil)
    for markup in (
        bar_chart(shown),
        line_chart(shown),
        meter(evil, 1, 2),
        span_bar(Span(evil, "node", 0, 1), 2),
    ):
        tags = {one.tag for one in parsed(markup).iter()}
        assert "script" not in tags
        assert "alert" in "".join(parsed(markup).itertext())


@pytest.mark.parametrize("count", [5, 30, 31, 168])
def test_labels_do_not_crowd(count: int) -> None:
    root = parsed(bar_chart(chart(*range(count))))
    labels = [one.text for one in root.findall(".//*[@aria-hidden='true']/span") if one.text]
    days = [label for label in labels if re.fullmatch(r"\d+ [A-Z][a-z]{2}", label)]
    assert len(days) <= 6
    assert days[0] == "27 Feb"
    last = START + timedelta(days=count - 1)
    assert days[-1].startswith(f"{last.day} ")


@pytest.mark.parametrize(
    ("used", "limit", "state"), [(10, 100, "fine"), (80, 100, "near"), (100, 100, "full"), (1, 0, "full")]
)
def test_a_meter_says_in_words_what_its_colour_does(used: int, limit: int, state: str) -> None:
    root = parsed(meter("Threads", used, limit))
    assert len(list(root.iterfind(f".//rect[@class='meter-{state}']"))) == 1
    words = "".join("".join(one.itertext()) for one in root.iterfind(".//*[@class='meter-words']"))
    assert ("limit" in words) == (state != "fine")


def test_no_limit_no_bar() -> None:
    assert "no limit" in meter("Threads", 5, None)
    assert "<svg" not in meter("Threads", 5, None)


def test_bars_of_spans_stay_inside_the_whole() -> None:
    """Clocks of several machines may say that a part ended after the whole."""
    for offset, duration in ((0, 100), (90, 50), (-5, 10), (200, 0)):
        root = parsed(span_bar(Span("s", "tool", offset, duration), 100))
        [bar] = root.iterfind(".//rect[@class='span-tool']")
        x, width = (float(bar.attrib[name].rstrip("%")) for name in ("x", "width"))
        assert x >= 0
        assert width > 0
        assert x + width <= 100.01


def test_short_names_all_stand_below_their_bars() -> None:
    """A dozen at most; more of them, or longer ones, are thinned out."""

    def labels(*names: str) -> tuple[str | None, list[str | None]]:
        places = [Place(name, f"partition {name}") for name in names]
        drawn = parsed(bar_chart(Chart("Size", places, [Series("size", [1.0] * len(names))])))
        [axis] = [one for one in drawn.iter() if (one.get("class") or "").startswith("chart-x")]
        return axis.get("class"), [one.text for one in axis]

    ten = ["5", "3", "1", "2", "4", "6", "7", "1000", "0", "8"]
    assert labels(*ten) == ("chart-x all", ten)
    assert labels(*map(str, range(40)))[0] == "chart-x some"
    assert labels(*(f"1{one} Nov" for one in ten))[0] == "chart-x some"
