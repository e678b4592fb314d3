"""The tables of docs/pricing.md: pricing rules compared, in Markdown."""

from collections.abc import Iterable, Sequence
from typing import Final

from bench.pricing.demand import (
    FORGOTTEN,
    HOUR,
    NOISE,
    RESERVE_MICROS,
    SEASON,
    SLUMP,
    STEP,
    WRONG,
    demand_step,
    noise,
    random_market,
    season,
    several,
    wrong_start,
)
from bench.pricing.simulation import Run, Setting, simulate
from operators.pricing_rules import Controller, Eip1559, Ewma, Fixed, Tatonnement, Vwap
from state.market import PPM

Row = Sequence[str]

BEFORE: Final = (Setting(Vwap(), before=True), Setting(Eip1559(), before=True))
AFTER: Final = tuple(Setting(rule) for rule in (Tatonnement(), Vwap(), Ewma(), Eip1559()))
RATES: Final = tuple(Tatonnement(rate_ppm=rate) for rate in (62_500, 250_000, 500_000))
BUNDLED: Final = (0.0, 0.1, 0.5)
SINCE: Final = 60
"""By this window a wrong start should be forgotten."""


def tables() -> dict[str, str]:
    """Every table, by the name under which the page has it."""
    return {
        "start": _start(),
        "several": _several(),
        "levels": _levels(),
        "hour": _hour(),
        "one": _one(),
        "floors": _floors(),
    }


def line(cells: Row) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def start_row(setting: Setting, bundled: float) -> Row:
    """A wrong start by a factor of 100, up and down."""
    high = simulate(wrong_start(bundled, WRONG), setting)
    low = simulate(wrong_start(bundled, 1 / WRONG), setting)
    return (
        *_named(setting, bundled),
        *(_signed(run.mean_error("scarce", since=SINCE)) for run in (high, low)),
        _signed(high.clearing_error("scarce", since=SINCE)),
        *(_times(run.prices("idle")[SINCE] / RESERVE_MICROS) for run in (high, low)),
        _percents(high.served()),
        _percents(high.lost()),
    )


def _start() -> str:
    """Three resources from a start that is wrong by a factor of 100."""
    headings = (
        "controller",
        "bundles",
        "scarce: reference, from 100 times",
        "from 1/100",
        "scarce: clearing price",
        "idle: reference / reserve, from 100 times",
        "from 1/100",
        "value served",
        "lost value",
    )
    rows = (start_row(s, share) for share in BUNDLED for s in (*BEFORE, *AFTER))
    return _table(headings, rows)


def _several() -> str:
    """The scarce one of three resources while demand and valuations move."""

    def row(setting: Setting, bundled: float) -> Row:
        step = simulate(demand_step(bundled), setting)
        moving = [simulate(several(each, bundled), setting) for each in (season, noise)]
        runs = (step, *moving)
        return (
            *_named(setting, bundled),
            *_settling(step, "scarce"),
            _percents(*(run.volatility("scarce") for run in runs)),
            _percents(*(run.distance("scarce") for run in runs)),
            _percents(*(step.utilisation(name) for name in step.rows)),
            _percents(*(run.served() for run in runs)),
            _percents(*(run.lost() for run in runs)),
        )

    headings = (
        "controller",
        "bundles",
        "settling time up",
        "down",
        "overshoot",
        "volatility",
        "distance",
        "utilisation",
        "value served",
        "lost value",
    )
    rates = (row(Setting(rule), 0.1) for rule in RATES)
    rows = (row(s, share) for share in BUNDLED for s in (*BEFORE, *AFTER))
    return _table(headings, (*rows, *rates))


def _levels() -> str:
    """One level for all resources against one for each, in markets of four resources."""

    def row(setting: Setting, bundled: float) -> Row:
        run = simulate(random_market(bundled), setting)
        return (
            *_named(setting, bundled),
            _percents(run.revenue()),
            _percents(run.served()),
            _percents(run.lost()),
            _percents(run.free_though_sold_out()),
        )

    headings = (
        "controller",
        "bundles",
        "revenue / value served",
        "value served",
        "lost value",
        "sold out at price 0",
    )
    settings = (BEFORE[0], Setting(Vwap()), Setting(Tatonnement()))
    return _table(headings, (row(s, share) for share in (0.0, 0.5) for s in settings))


def _hour() -> str:
    """A resource that nobody wants for an hour and then everybody."""

    def row(setting: Setting) -> Row:
        run = simulate(FORGOTTEN, setting)
        back = FORGOTTEN.changes[1]
        first = run.rows["forgotten"][back : back + 20]
        settled, _ = run.settling("forgotten", back)
        return (
            _label(setting),
            _floor(setting),
            _times(run.prices("forgotten")[back] / RESERVE_MICROS),
            _percents(sum(each.sold for each in first) / sum(each.supply for each in first)),
            _windows(settled),
            _signed(run.mean_error("forgotten", since=HOUR + 100)),
        )

    headings = (
        "controller",
        "floor",
        "reference / reserve after the hour",
        "sold in the next 20 windows",
        "settling time",
        "reference at the end",
    )
    floored = [Setting(rule, ratio_ppm=PPM // 2) for rule in (Tatonnement(), Vwap(), Eip1559())]
    return _table(headings, map(row, (*AFTER, *floored)))


def _one() -> str:
    """One resource without a floor."""
    rules: Sequence[Controller] = (
        Tatonnement(),
        *(Vwap(windows=windows) for windows in (5, 20, 60)),
        *(Ewma(half_life_windows=windows) for windows in (2, 5, 10)),
        Eip1559(),
    )
    return _table(_ONE_HEADINGS, (_row_of_one(Setting(rule)) for rule in rules))


def _floors() -> str:
    """One resource whose price is the floor of the next windows."""
    settings = [
        Setting(rule, ratio_ppm=ratio)
        for ratio in (PPM // 2, PPM * 4 // 5, PPM)
        for rule in (Tatonnement(), Vwap(), Ewma(), Eip1559())
        if not (ratio == PPM and isinstance(rule, Vwap | Ewma))
    ]
    targets = (500_000, 700_000, 900_000)
    settings += [Setting(rule, ratio_ppm=PPM) for rule in RATES]
    settings += [Setting(Eip1559(target_ppm=target), ratio_ppm=PPM) for target in targets]
    headings = (*_ONE_HEADINGS[:1], "floor", *_ONE_HEADINGS[1:], "sold after a slump")

    def row(setting: Setting) -> Row:
        sold = simulate(SLUMP, setting).rows["r"][SLUMP.changes[0] :]
        name, *measured = _row_of_one(setting)
        share = sum(each.sold for each in sold) / sum(each.supply for each in sold)
        return (name, _floor(setting), *measured, _percents(share))

    return _table(headings, map(row, settings))


_ONE_HEADINGS: Final = (
    "controller",
    "settling time up",
    "down",
    "overshoot",
    "volatility",
    "distance",
    "utilisation",
    "value served",
    "reference / clearing",
)


def _row_of_one(setting: Setting) -> Row:
    runs = [simulate(scenario, setting) for scenario in (STEP, SEASON, NOISE)]
    return (
        _label(setting),
        *_settling(runs[0], "r"),
        _percents(*(run.volatility("r") for run in runs)),
        _percents(*(run.distance("r") for run in runs)),
        _percents(*(run.utilisation("r") for run in runs)),
        _percents(*(run.served() for run in runs)),
        f"{runs[0].reference_to_clearing('r'):.2f}",
    )


# --- cells ----------------------------------------------------------------------------------------


def _table(headings: Sequence[str], rows: Iterable[Row]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(map(line, lines))


def _named(setting: Setting, bundled: float) -> Row:
    return _label(setting), f"{bundled:.0%}".replace("%", " %")


def _settling(run: Run, resource: str) -> Row:
    (up, over), (down, under) = (run.settling(resource, change) for change in run.scenario.changes)
    return _windows(up), _windows(down), _percents(over, under)


def _floor(setting: Setting) -> str:
    return f"{100 * setting.ratio_ppm // PPM} %" if setting.ratio_ppm else ""


def _windows(settled: int | None) -> str:
    return "never" if settled is None else str(settled)


def _percents(*shares: float) -> str:
    return " / ".join(_percent(share) for share in shares)


def _percent(share: float) -> str:
    digits = 0 if share >= 0.9995 or 0.1 <= share < 0.9 else 1
    return f"{100 * share:.{digits}f} %"


def _signed(share: float) -> str:
    return _times(1 + share) if share > 1 else f"{100 * share:+.1f} %"


def _times(factor: float) -> str:
    return f"{factor:.2f}" if factor < 10 else f"{factor:,.0f} times"


def _label(setting: Setting) -> str:
    label = _rule(setting.controller)
    return f"before: one level, {label}" if setting.before else label


def _rule(controller: Controller) -> str:
    """The rule and the one parameter that distinguishes it from others of its kind."""
    match controller:
        case Tatonnement(rate_ppm=rate):
            return f"`tatonnement`, rate 1/{PPM // rate}"
        case Vwap(windows=windows):
            return f"`vwap`, {windows} windows"
        case Ewma(half_life_windows=half_life):
            return f"`ewma`, half-life {half_life}"
        case Eip1559(target_ppm=target):
            return f"`eip1559`, target {100 * target // PPM} %"
        case Fixed():
            return "`fixed`"
