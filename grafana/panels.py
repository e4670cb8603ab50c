"""The kinds of panels that all dashboards are made of, so that they look and read alike.

No colour is fixed that only one theme can show: colours have Grafana's names, backgrounds are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as kind
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

SOURCE = kind.DataSourceRef(type_val="prometheus", uid="${datasource}")
"""The data source that the reader chose."""

STRIP_HEIGHT = 4
GRAPH_HEIGHT = 8
FULL_WIDTH = 24

_MAX_BARS = 100
"""Few enough that a bar of sparse builds can be seen and clicked."""


@dataclass(frozen=True, slots=True)
class About:
    """What a panel's description says: what is shown, how a bad value looks, what to do about one."""

    what: str
    bad: str
    then: str

    def __str__(self) -> str:
        return f"{self.what}\n\n**Bad:** {self.bad}\n\n**Then:** {self.then}"


@dataclass(frozen=True, slots=True)
class Query:
    """A query and the name of its series, in which `{{label}}` is filled in. Exemplars link to builds."""

    expr: str
    legend: str = "__auto"
    exemplars: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One value column of a table. `words` name its values 0 and 1, where 0 is bad."""

    name: str
    expr: str
    unit: str
    decimals: int | None = None
    words: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """Where a click leads."""

    title: str
    url: str
    new_tab: bool = False


def figure(
    title: str, about: About, expr: str, unit: str, *, decimals: int | None = None, alarm: bool = False, width: int = 4
) -> model.Panel:
    """One figure of the strip. With `alarm` it is a count of verdicts, red unless it is 0."""
    panel = (
        stat.Panel()
        .title(title)
        .description(str(about))
        .datasource(SOURCE)
        .with_target(_target(Query(expr), "A", instant=True))
        .unit(unit)
        .no_value("none")
        .thresholds(_verdict_steps(bad_from=1) if alarm else _no_steps())
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .graph_mode(kind.BigValueGraphMode.NONE)
        .color_mode(kind.BigValueColorMode.VALUE)
        .text_mode(kind.BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(values=False))
        .height(STRIP_HEIGHT)
        .span(width)
    )
    if decimals is not None:
        panel.decimals(decimals)
    return panel.build()


def lines(
    title: str,
    about: About,
    queries: Sequence[Query],
    unit: str,
    *,
    width: int = 12,
    ceiling: float | None = None,
    stacked: bool = False,
    windowed: bool = False,
) -> model.Panel:
    """A graph of values. With `windowed` each point sums up a window, and empty windows are bridged."""
    panel = _graph(title, about, queries, unit, width).min(0).legend(_legend("lastNotNull", "max"))
    if ceiling is not None:
        panel.max(ceiling)
    if stacked:
        panel.stacking(common.StackingConfig().mode(kind.StackingMode.NORMAL)).fill_opacity(30)
    if windowed:
        panel.max_data_points(_MAX_BARS).interval("1m")
        panel.show_points(kind.VisibilityMode.ALWAYS).span_nulls(span_nulls=True)
    else:
        panel.line_interpolation(kind.LineInterpolation.STEP_AFTER)
    for word, colour in (("usual", "text"), ("limit", "red")):
        if not any(query.legend.startswith(word) for query in queries):
            continue
        panel.override_by_regexp(
            f"/^{word} /",
            [
                _set("color", {"mode": "fixed", "fixedColor": colour}),
                _set("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
                _set("custom.showPoints", "never"),
                _set("custom.fillOpacity", 0),
            ],
        )
    return panel.build()


def bars(
    title: str,
    about: About,
    queries: Sequence[Query],
    unit: str,
    *,
    width: int = 12,
    colours: dict[str, str] | None = None,
    below: Sequence[str] = (),
) -> model.Panel:
    """A graph of sums, each bar those of one window. `colours` are for series whose names mean good or bad.

    Bars are stacked; those of the series `below` hang down from the axis, to be compared with those above.
    """
    panel = (
        _graph(title, about, queries, unit, width)
        .legend(_legend())
        .draw_style(kind.GraphDrawStyle.BARS)
        .bar_alignment(kind.BarAlignment.BEFORE)  # a point stands at the end of its window
        .stacking(common.StackingConfig().mode(kind.StackingMode.NORMAL))
        .fill_opacity(80)
        .line_width(0)
        .max_data_points(_MAX_BARS)
        .interval("1m")
    )
    if not below:
        panel.min(0)
    if unit == "short":
        panel.decimals(0)
    for name, colour in (colours or {}).items():
        properties = [_set("color", {"mode": "fixed", "fixedColor": colour})]
        if name in below:
            properties.append(_set("custom.transform", "negative-Y"))
        panel.override_by_name(name, properties)
    return panel.build()


def ranking(
    title: str,
    about: About,
    query: Query,
    unit: str,
    *,
    width: int = 12,
    ceiling: float | None = None,
    links: Sequence[Link] = (),
) -> model.Panel:
    """The largest of something over the whole time, as bars side by side."""
    panel = (
        bargauge.Panel()
        .title(title)
        .description(str(about))
        .datasource(SOURCE)
        .with_target(_target(query, "A", instant=True))
        .unit(unit)
        .min(0)
        .thresholds(_no_steps())
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .display_mode(kind.BarGaugeDisplayMode.BASIC)
        .orientation(kind.VizOrientation.HORIZONTAL)
        .value_mode(kind.BarGaugeValueMode.TEXT)
        .name_placement(kind.BarGaugeNamePlacement.LEFT)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(values=False))
        .height(GRAPH_HEIGHT)
        .span(width)
    )
    if ceiling is not None:
        panel.max(ceiling)
    if links:
        panel.override_by_regexp("/.*/", [_links(links)])
    return panel.build()


def rows(
    title: str,
    about: About,
    labels: dict[str, str],
    columns: Sequence[Column],
    *,
    width: int = 12,
    height: int = GRAPH_HEIGHT,
    keep: str = "",
    links: Sequence[Link] = (),
    empty: str = "no builds in this time",
    descending: bool = True,
) -> model.Panel:
    """A table with a row for each set of labels. `labels` are the labels and their headings; the links are on the first.

    All columns must be by the same labels. It is sorted by its first value column. `keep` is a query, by these labels
    too, whose rows are there even where no column has a value.
    """
    panel = (
        table.Panel()
        .title(title)
        .description(str(about))
        .datasource(SOURCE)
        .unit(columns[0].unit)
        .no_value(empty)
        .thresholds(_no_steps())
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color("text"))
        .filterable(filterable=True)
        .sort_by([common.TableSortByFieldState().display_name(columns[0].name).desc(desc=descending)])
        .height(height)
        .span(width)
    )
    named: dict[str, str] = {}
    for index, column in enumerate(columns):
        ref = chr(ord("A") + index)
        named[f"Value #{ref}"] = column.name
        panel.with_target(_target(Query(column.expr), ref, instant=True, as_table=True))
        panel.override_by_name(column.name, _column_properties(column))
    if links:
        panel.override_by_name(next(iter(labels.values())), [_links(links)])
    hidden = ["Time"]
    if keep:
        panel.with_target(_target(Query(keep), "Z", instant=True, as_table=True))
        hidden += ["Value #Z", "Value"]
    else:
        named["Value"] = columns[0].name  # Grafana's name where only one query has an answer
    panel.with_transformation(model.DataTransformerConfig("merge", options={}))
    panel.with_transformation(
        model.DataTransformerConfig(
            "organize",
            options={
                "excludeByName": dict.fromkeys(hidden, True),
                "indexByName": {name: index for index, name in enumerate([*labels, *named])},
                "renameByName": {**labels, **named},
            },
        )
    )
    return panel.build()


def verdicts(
    title: str,
    about: About,
    query: Query,
    words: tuple[str, str],
    *,
    bad: int = 0,
    width: int = 12,
    height: int = GRAPH_HEIGHT,
    empty: str = "nothing is known",
) -> model.Panel:
    """A line of time for each series whose values are 0 and 1. `words` name them; `bad` is the one that is red."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(str(about))
        .datasource(SOURCE)
        .with_target(_target(query, "A"))
        .unit("none")
        .no_value(empty)
        .mappings(_named(words, bad))
        .thresholds(_no_steps())
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .show_value(kind.VisibilityMode.NEVER)
        .row_height(0.8)
        .legend(common.VizLegendOptions().show_legend(show_legend=False))
        .tooltip(common.VizTooltipOptions().mode(kind.TooltipDisplayMode.SINGLE))
        .height(height)
        .span(width)
        .build()
    )


def _named(words: tuple[str, str], bad: int = 0) -> list[model.ValueMapping]:
    """Show 0 as the first word and 1 as the second, the bad one in red, the other in green."""
    names = {
        str(value): model.ValueMappingResult(text=word, color="red" if value == bad else "green", index=value)
        for value, word in enumerate(words)
    }
    return [model.ValueMap(names)]


def _graph(title: str, about: About, queries: Sequence[Query], unit: str, width: int) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .title(title)
        .description(str(about))
        .datasource(SOURCE)
        .unit(unit)
        .thresholds(_no_steps())
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .tooltip(common.VizTooltipOptions().mode(kind.TooltipDisplayMode.MULTI).sort(kind.SortOrder.DESCENDING))
        .height(GRAPH_HEIGHT)
        .span(width)
    )
    for index, query in enumerate(queries):
        panel.with_target(_target(query, chr(ord("A") + index)))
    return panel


def _target(query: Query, ref: str, *, instant: bool = False, as_table: bool = False) -> prometheus.Dataquery:
    target = prometheus.Dataquery().datasource(SOURCE).expr(query.expr).ref_id(ref).legend_format(query.legend)
    target.format(PromQueryFormat.TABLE if as_table else PromQueryFormat.TIME_SERIES)
    target.editor_mode(QueryEditorMode.CODE).exemplar(query.exemplars)
    return target.instant() if instant else target.range()


def _legend(*calculations: str) -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(show_legend=True).placement(kind.LegendPlacement.BOTTOM)
    mode = kind.LegendDisplayMode.TABLE if calculations else kind.LegendDisplayMode.LIST
    return legend.display_mode(mode).calcs(list(calculations))


def _no_steps() -> build.ThresholdsConfig:
    """One step: without it Grafana would colour what is above 80 red."""
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps([model.Threshold(None, "text")])


def _verdict_steps(bad_from: float) -> build.ThresholdsConfig:
    steps = [model.Threshold(None, "text"), model.Threshold(bad_from, "red")]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _column_properties(column: Column) -> list[model.DynamicConfigValue]:
    properties = [_set("unit", column.unit)]
    if column.decimals is not None:
        properties.append(_set("decimals", column.decimals))
    if column.words is not None:
        properties.append(_set("mappings", _named(column.words)))
        properties.append(_set("custom.cellOptions", {"type": "color-text"}))
        properties.append(_set("color", {"mode": "thresholds"}))
    return properties


def _links(links: Sequence[Link]) -> model.DynamicConfigValue:
    return _set("links", [{"title": link.title, "url": link.url, "targetBlank": link.new_tab} for link in links])


def _set(option: str, value: object) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(option, value)
