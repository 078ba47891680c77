"""Every unit that the language knows, what it refuses, and what it says then."""

import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest

from sim import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("300ms", 0.3),
        ("0.5ms", 0.0005),
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("3.5h", 12_600),
        ("7d", 7 * 86_400),
        ("1y", 365 * 86_400),
        ("1y2d3h4m5s6ms", 365 * 86_400 + 2 * 86_400 + 3 * 3600 + 4 * 60 + 5.006),
        ("0s", 0),
        ("  5m ", 300),
        ("1000y", 1000 * 365 * 86_400),
    ],
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5400.0, "1h30m"),
        (0.04, "40ms"),
        (0.3, "300ms"),
        (1.5, "1.5s"),
        (0.0, "0s"),
        (90 * 86_400.0, "90d"),
        (365 * 86_400.0, "1y"),
        (1e-6, "0.001ms"),
        (3661.25, "1h1m1.25s"),
        (-60.0, "-1m"),
    ],
)
def test_durations_are_printed_as_people_write_them(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (12_345.678, "3h25m"),
        (83.4, "1m23s"),
        (59.94, "59.9s"),
        (0.012345, "12.3ms"),
        (0.0, "0s"),
        (5_000_000, "57d20h53m"),
    ],
)
def test_rounded_durations_drop_what_nobody_reads(seconds: float, text: str) -> None:
    assert units.format_duration(seconds, digits=3) == text


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        ("512Mi", 512),
        ("2Gi", 2048),
        ("4Ti", 4 * 1024**2),
        ("256Ki", 0.25),
        ("500M", 500e6 / 2**20),
        ("2G", 2e9 / 2**20),
        ("1.5Gi", 1536),
        ("0Mi", 0),
    ],
)
def test_memory_is_mebibytes(text: str, mib: float) -> None:
    assert units.parse_memory(text) == mib


@pytest.mark.parametrize(("mib", "text"), [(65_536.0, "64Gi"), (1536.0, "1.5Gi"), (1000.0, "1000Mi"), (0.0, "0Mi")])
def test_memory_is_printed_in_the_shortest_unit(mib: float, text: str) -> None:
    assert units.format_memory(mib) == text


def test_decimal_memory_is_printed_as_it_was_written() -> None:
    assert units.format_memory(units.parse_memory("500M")) == "500M"


@pytest.mark.parametrize(("mib", "text"), [(2520.0, "2.46Gi"), (300.04, "300Mi"), (3e6, "2.86Ti"), (0.1234, "0.123Mi")])
def test_rounded_memory_is_binary(mib: float, text: str) -> None:
    assert units.format_memory(mib, digits=3) == text


@pytest.mark.parametrize(("text", "share"), [("99.95%", 0.9995), ("0%", 0), ("100%", 1), ("0.001%", 1e-5)])
def test_shares_are_exact(text: str, share: float) -> None:
    assert units.parse_share(text) == share
    assert units.format_share(share) == text


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (0.999512, 2, "99.951%"),
        (0.9999987, 1, "99.9999%"),
        (0.123456, 2, "12%"),
        (1.0, 3, "100%"),
        (0.0, 3, "0%"),
        (0.74, 1, "70%"),
    ],
)
def test_rounded_shares_keep_their_nines(share: float, digits: int, text: str) -> None:
    assert units.format_share(share, digits=digits) == text


@pytest.mark.parametrize(
    ("text", "per_s"), [("120/s", 120), ("20/h", 20 / 3600), ("5/m", 5 / 60), ("100/d", 100 / 86_400), ("0/s", 0)]
)
def test_rates_are_per_second(text: str, per_s: float) -> None:
    assert units.parse_rate(text) == per_s
    assert units.format_rate(per_s) == text


def test_memory_rates_and_growth() -> None:
    assert units.parse_memory_rate("10Mi/h") == 10 / 3600
    assert units.format_memory_rate(10 / 3600) == "10Mi/h"
    assert units.parse_memory_rate("1Gi/d") == 1024 / 86_400
    assert units.parse_growth("40%/y") == 0.4
    assert units.parse_growth("-5%/y") == -0.05
    assert units.format_growth(-0.05) == "-5%/y"
    assert units.format_growth(0.0) == "0%/y"


@pytest.mark.parametrize(
    ("text", "per", "amount"),
    [("65 EUR/h", "h", 65), ("40000 SEK/month", "month", 40_000), ("0.02 USD/request", "request", 0.02)],
)
def test_prices_remember_their_currency(text: str, per: units.MoneyPer, amount: float) -> None:
    price = units.parse_money(text, per)
    assert price == amount
    assert price.currency == text.split()[1].split("/")[0]
    assert units.format_money(price, price.currency, per) == text
    again = pickle.loads(pickle.dumps(price))  # noqa: S301 - workers pickle scenarios of ours
    assert (again, again.currency) == (price, price.currency)


def test_amounts_are_grouped_when_rounded() -> None:
    assert units.format_money(1_234_567.0, "EUR", digits=3) == "1,230,000 EUR"
    assert units.format_money(0.0234, "EUR", "request", digits=2) == "0.023 EUR/request"
    assert units.format_money(-1234.5, "EUR", digits=2) == "-1,200 EUR"
    assert units.format_money(1234.5, "EUR") == "1234.5 EUR"


@pytest.mark.parametrize(
    "text", ["65", "65 EUR", "65 eur/h", "65EUR/h", "-65 EUR/h", "65 EUR/month", "1e3 EUR/h", "x" * 999]
)
def test_no_price_per_hour(text: str) -> None:
    with pytest.raises(ValueError, match=r"65 EUR/h$"):
        units.parse_money(text, "h")


def test_a_bare_price_is_told_what_to_write() -> None:
    with pytest.raises(ValueError, match=r"^got 65; a price needs a currency and a unit: write 65 EUR/h$"):
        units.parse_money(65, "h")


def test_words() -> None:
    assert units.parse_per_pod("140s per pod") == 140
    assert units.format_per_pod(140.0) == "2m20s per pod"
    assert units.parse_success("95% success") == 0.95
    assert units.format_success(0.95) == "95% success"
    assert units.parse_below("below 99.9%") == 0.999
    assert units.format_below(0.999) == "below 99.9%"
    assert [units.parse_count_change(value) for value in ("+4", "4", 4)] == [4, 4, 4]
    assert units.format_count_change(4) == "+4"


@pytest.mark.parametrize(
    ("parse", "value", "message"),
    [
        (units.parse_per_pod, "140s", r"got '140s', expected a duration per pod, such as 140s per pod"),
        (units.parse_per_pod, "140 per pod", r"got 140; a duration needs a unit"),
        (units.parse_per_pod, 140, r"got 140, expected a duration per pod"),
        (units.parse_success, "95%", r"got '95%', expected a share of successful requests, such as 95% success"),
        (units.parse_below, "99.9%", r"got '99.9%', expected a bound such as below 99.9%"),
        (units.parse_below, "below 101%", r"got '101%', expected a share from 0% to 100%"),
        (units.parse_count_change, "-4", r"got '-4', expected how many to add, from \+1 to \+10000"),
        (units.parse_count_change, 0, r"got 0, expected how many"),
        (units.parse_count_change, True, r"got true, expected how many"),
        (units.parse_count_change, "+99999", r"got '\+99999', expected how many"),
    ],
)
def test_words_that_are_not_in_the_language(parse: object, value: object, message: str) -> None:
    assert callable(parse)
    with pytest.raises(ValueError, match=message):
        parse(value)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-27T09:00:00Z", datetime(2026, 1, 27, 9, tzinfo=UTC)),
        ("2026-01-27 10:00:00+01:00", datetime(2026, 1, 27, 9, tzinfo=UTC)),
        ("2026-01-27T09:00", datetime(2026, 1, 27, 9, tzinfo=UTC)),
    ],
)
def test_moments_are_utc(text: str, moment: datetime) -> None:
    assert units.parse_moment(text) == moment
    assert units.parse_moment(text).utcoffset() == timedelta(0)


def test_moments_are_printed_in_utc() -> None:
    assert units.format_moment(datetime(2026, 1, 27, 10, tzinfo=timezone(timedelta(hours=1)))) == "2026-01-27T09:00:00Z"
    assert units.format_moment(datetime(2026, 1, 27, 10)) == "2026-01-27T10:00:00Z"


@pytest.mark.parametrize(
    "value",
    ["tomorrow", "2026-13-01", "2026-02-30", "1969-12-31", "2200-01-01", "20260101", "2026-W05", 2026, None, ""],
)
def test_no_moments(value: object) -> None:
    with pytest.raises(ValueError, match=r"expected a date or time of 1970 to 2199, such as 2026-01-27 or"):
        units.parse_moment(value)


@pytest.mark.parametrize(
    ("parse", "value", "message"),
    [
        (units.parse_duration, 300, "got 300; a duration needs a unit: write 300s, 300ms or e.g. 7d, 1y"),
        (units.parse_duration, "300", "got 300; a duration needs a unit: write 300s, 300ms or e.g. 7d, 1y"),
        (units.parse_memory, 512, "got 512; an amount of memory needs a unit: write 512Mi, 512Gi or e.g. 64Gi, 4Ti"),
        (units.parse_share, 0.999, "got 0.999; a share needs a unit: write 99.9%"),
        (units.parse_share, 95, "got 95; a share needs a unit: write 95%"),
        (units.parse_rate, 20, "got 20; a rate needs a unit: write 20/s, 20/h or e.g. 20/h, 100/d"),
        (units.parse_growth, 0.4, "got 0.4; a yearly growth needs a unit: write 40%/y"),
        (units.parse_memory_rate, 10, "got 10; a growth of memory needs a unit: write 10Mi/h or e.g. 10Mi/h, 1Gi/d"),
    ],
)
def test_a_bare_number_is_told_what_to_write(parse: object, value: object, message: str) -> None:
    assert callable(parse)
    with pytest.raises(ValueError, match=r"^got") as caught:
        parse(value)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("parse", "value", "guess"),
    [
        (units.parse_duration, "5min", "5m"),
        (units.parse_duration, "5 minutes", "5m"),
        (units.parse_duration, "30 sec", "30s"),
        (units.parse_duration, "20 msec", "20ms"),
        (units.parse_duration, "2 hours", "2h"),
        (units.parse_duration, "3days", "3d"),
        (units.parse_duration, "4 weeks", "28d"),
        (units.parse_duration, "2yrs", "2y"),
        (units.parse_duration, "1,5h", "1.5h"),
        (units.parse_memory, "2GB", "2G"),
        (units.parse_memory, "2GiB", "2Gi"),
        (units.parse_memory, "2gi", "2Gi"),
        (units.parse_memory, "512mb", "512M"),
        (units.parse_rate, "20/hour", "20/h"),
        (units.parse_rate, "20/sec", "20/s"),
        (units.parse_rate, "20/min", "20/m"),
        (units.parse_rate, "20/day", "20/d"),
        (units.parse_share, "20 percent", "20%"),
        (units.parse_growth, "40%/year", "40%/y"),
    ],
)
def test_slips_are_recognised(parse: object, value: str, guess: str) -> None:
    assert callable(parse)
    with pytest.raises(ValueError, match=r"^got") as caught:
        parse(value)
    assert str(caught.value).endswith(f"; did you mean {guess}?")
    parse(guess)


@pytest.mark.parametrize(
    "value", ["-5m", "2000y", "1e999s", "nan", "infs", "1m1h", "5m5m", "5x", "s", "", "٣s", "1" * 401 + "s"]
)
def test_absurd_durations_are_told_the_range(value: str) -> None:
    with pytest.raises(ValueError, match="expected a duration from 0s to 1000y, such as 300ms, 30s, 5m, 1h30m, 7d, 1y"):
        units.parse_duration(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, True, [1], {}, {"a": 1}, b"5m"])
def test_no_durations_at_all(value: object) -> None:
    with pytest.raises(ValueError, match="expected a duration from 0s to 1000y"):
        units.parse_duration(value)


def test_negative_numbers_are_told_the_range() -> None:
    with pytest.raises(ValueError, match=r"^got -5; a duration needs a unit: write e\.g\. .* \(from 0s to 1000y\)$"):
        units.parse_duration(-5)


@pytest.mark.parametrize(
    ("parse", "value", "bounds"),
    [
        (units.parse_memory, "2000Ti", "from 0Mi to 1024Ti"),
        (units.parse_share, "100.1%", "from 0% to 100%"),
        (units.parse_share, "-1%", "from 0% to 100%"),
        (units.parse_rate, "1000000001/s", "from 0/s to 1000000000/s"),
        (units.parse_growth, "-91%/y", "from -90%/y to 1000%/y"),
        (units.parse_memory_rate, "1Ti/s", "from 0Mi/s to 1024Gi/s"),
    ],
)
def test_ranges(parse: object, value: str, bounds: str) -> None:
    assert callable(parse)
    if value == "1Ti/s":
        assert parse(value) == 1024**2
        value = "1.001Ti/s"
    with pytest.raises(ValueError, match=f"got '{value}', expected .* {bounds}, such as"):
        parse(value)


def test_what_was_got_is_shown_short_and_safe() -> None:
    assert units.describe("x" * 1000) == "'" + "x" * 55 + "...'"
    assert units.describe("a\nb\x1b") == r"'a\nb\x1b'"
    assert [units.describe(value) for value in (None, True, False, {}, {"a": 1}, [], 3)] == [
        "nothing",
        "true",
        "false",
        "an empty block",
        "a block of keys",
        "a list",
        "3",
    ]


def test_plain_numbers_have_no_exponent() -> None:
    assert [units.plain_number(value) for value in (1e-7, 1e22, 3.0, 0.1, 1200.0)] == [
        "0.0000001",
        "10000000000000000000000",
        "3",
        "0.1",
        "1200",
    ]
