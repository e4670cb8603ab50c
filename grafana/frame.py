"""What all dashboards share around their panels: variables, links, annotations, and the places on the grid."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from grafana.panels import FULL_WIDTH, SOURCE, Link
from grafana.promql import WINDOW, increase, latest

DIRECTORY = Path(__file__).parent / "dashboards"
AGENT_ADDRESS = "http://localhost:19323"

OVERVIEW = "buildprof-overview"
PROJECT = "buildprof-project"
CACHE = "buildprof-cache"

_KEPT = "${datasource:queryparam}&${builder:queryparam}"
"""The variables that mean the same on every dashboard, as they stand."""

Row = Sequence[model.Panel]
"""Panels side by side, of one height and 24 columns together."""


@dataclass(frozen=True, slots=True)
class Detail:
    """Rows of panels behind a heading, closed until somebody clicks."""

    title: str
    rows: Sequence[Row]


def dashboard(
    uid: str,
    title: str,
    description: str,
    *,
    since: str,
    variables: Sequence[model.VariableModel],
    annotations: Sequence[model.AnnotationQuery],
    agent_page: str,
    rows: Sequence[Row],
    details: Sequence[Detail],
) -> model.Dashboard:
    """Put a dashboard together. `since` is how far it looks back at first; `agent_page` the path of the agent's page."""
    return model.Dashboard(
        uid=uid,
        title=title,
        description=description,
        tags=["buildprof"],
        editable=False,
        graph_tooltip=model.DashboardCursorSync.CROSSHAIR,
        time=model.DashboardDashboardTime(f"now-{since}", "now"),
        refresh="1m",
        panels=list(_numbered(_placed(rows, details))),
        templating=model.DashboardDashboardTemplating(list(variables)),
        annotations=model.AnnotationContainer(list(annotations)),
        links=_dashboard_links(uid, agent_page),
    )


def as_json(dashboard: model.Dashboard) -> str:
    """Write a dashboard as the text of its file."""
    document = json.loads(json.dumps(dashboard, cls=JSONEncoder))
    for one in (*document["links"], *document["annotations"]["list"]):
        one.pop("placement", None)  # the SDK puts every one into a menu; ours are to be seen
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def data_source() -> model.VariableModel:
    """The choice of the Prometheus that is asked."""
    return build.DatasourceVariable("datasource").label("Data source").type("prometheus").build()


def choice(name: str, label: str, metric: str, where: str = "", *, all_value: str | None = ".+") -> model.VariableModel:
    """Choose any number of a label's values, or all. Without `all_value`, all means those in the list."""
    variable = _label_values(name, label, metric, where).multi(multi=True).include_all(include_all=True)
    if all_value is not None:
        variable.all_value(all_value)
    return variable.current(model.VariableOption(selected=True, text="All", value="$__all")).build()


def single_choice(name: str, label: str, metric: str, where: str) -> model.VariableModel:
    """Choose one value of a label."""
    return _label_values(name, label, metric, where).build()


def agent() -> model.VariableModel:
    """The address under which the reader's browser finds the agent."""
    option = model.VariableOption(selected=True, text=AGENT_ADDRESS, value=AGENT_ADDRESS)
    return (
        build.TextBoxVariable("agent")
        .label("Agent's address")
        .description("Where the links to the agent's pages lead.")
        .default_value(AGENT_ADDRESS)
        .current(option)
        .options([option])
        .build()
    )


def regressions(where: str) -> model.AnnotationQuery:
    """Mark when something began to be a regression."""
    active = f"{latest('regression_active', where, 'project, target, signal')} == 1"
    before = f"max by (project, target, signal) (buildprof_regression_active{{{where}}} offset $__interval) == 1"
    return _annotation("Regressions", "red", f"{active} unless {before}", "{{project}}/{{target}}: {{signal}}")


def prunes(where: str) -> model.AnnotationQuery:
    """Mark when records left the build cache: somebody pruned, or the engine's garbage collection did."""
    lost = increase("build_cache_evicted_records_total", where, WINDOW, "builder")
    return _annotation("Prunes and evictions", "orange", f"{lost} > 0", "{{builder}}: records left the build cache")


def project_links(project: str, target: str = "") -> list[Link]:
    """Lead from a row or a bar to its project. The arguments say where its labels stand, as Grafana's variables."""
    chosen = f"var-project={project}" + (f"&var-target={target}" if target else "")
    return [
        Link("Project", f"/d/{PROJECT}?{chosen}&{_KEPT}&${{__url_time_range}}"),
        Link("Project on the agent's page", f"${{agent:raw}}/projects/{project}", new_tab=True),
    ]


def _label_values(name: str, label: str, metric: str, where: str) -> build.QueryVariable:
    query = (
        f"label_values(buildprof_{metric}{{{where}}}, {name})" if where else f"label_values(buildprof_{metric}, {name})"
    )
    return (
        build.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .definition(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
    )


def _annotation(name: str, colour: str, expr: str, title: str) -> model.AnnotationQuery:
    return (
        build.AnnotationQuery()
        .name(name)
        .datasource(SOURCE)
        .enable(enable=True)
        .icon_color(colour)
        .target(prometheus.Dataquery().expr(expr).ref_id("Anno").range().legend_format(title))
        .title_format(title)
        .build()
    )


def _dashboard_links(uid: str, agent_page: str) -> list[model.DashboardLink]:
    others = [
        (title, f"/d/{other}?{_KEPT}", False, "dashboard")
        for other, title in ((OVERVIEW, "Overview"), (PROJECT, "Project"), (CACHE, "Cache and storage"))
        if other != uid
    ]
    links = [*others, ("Agent's page", f"${{agent:raw}}{agent_page}", True, "external link")]
    return [
        build.DashboardLink(title)
        .type(model.DashboardLinkType.LINK)
        .url(url)
        .icon(icon)
        .keep_time(keep_time=not new_tab)
        .target_blank(target_blank=new_tab)
        .build()
        for title, url, new_tab, icon in links
    ]


def _placed(rows: Iterable[Row], details: Iterable[Detail]) -> Iterator[model.Panel | model.RowPanel]:
    """Give every panel its place. A closed row takes one line; what is in it is placed as if it were open alone."""
    y = 0
    for row in rows:
        yield from _side_by_side(row, y)
        y += _height(row)
    for detail in details:
        inside: list[model.Panel] = []
        inner_y = y + 1
        for row in detail.rows:
            inside.extend(_side_by_side(row, inner_y))
            inner_y += _height(row)
        place = model.GridPos(h=1, w=FULL_WIDTH, x=0, y=y)
        yield model.RowPanel(title=detail.title, collapsed=True, grid_pos=place, panels=inside)
        y += 1


def _side_by_side(row: Row, y: int) -> Iterator[model.Panel]:
    x = 0
    for panel in row:
        place = _place(panel)
        place.x, place.y = x, y
        x += place.w
        yield panel
    if x != FULL_WIDTH:
        raise ValueError(f"the row of {row[0].title!r} takes {x} columns, not {FULL_WIDTH}")


def _height(row: Row) -> int:
    heights = {_place(panel).h for panel in row}
    if len(heights) != 1:
        raise ValueError(f"the panels beside {row[0].title!r} are not of one height")
    return heights.pop()


def _place(panel: model.Panel) -> model.GridPos:
    if panel.grid_pos is None:
        raise ValueError(f"{panel.title!r} has no size")
    return panel.grid_pos


def _numbered(panels: Iterable[model.Panel | model.RowPanel]) -> Iterator[model.Panel | model.RowPanel]:
    number = 0
    for panel in panels:
        for one in (panel, *(panel.panels if isinstance(panel, model.RowPanel) else ())):
            number += 1
            one.id_val = number
        yield panel
