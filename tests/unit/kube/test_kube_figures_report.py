"""Reports of tenants' figures fit into one object."""

import orjson

from pilotage_api.tenant_spending import PartyFigures
from pilotage_kube.figures_report import (
    MOST_BYTES,
    TenantFigures,
    bounded,
    figures_annotations,
    read_figures,
)


def figures(number: int) -> TenantFigures:
    return TenantFigures(
        f"tenant-{number:05d}", PartyFigures("team", "month", "Europe/Berlin", "search", 0, number, 0)
    )


def test_a_report_is_read_as_it_was_written():
    report = bounded("pod-a", [figures(2), figures(1)], shared=True, at=12.5)
    lease = orjson.dumps({"metadata": {"annotations": figures_annotations(report)}})
    assert read_figures(memoryview(lease)) == report
    assert [one.tenant for one in report.budgets] == ["tenant-00001", "tenant-00002"]


def test_of_too_many_what_was_spent_most_of_is_kept_and_the_rest_counted():
    report = bounded("pod-a", map(figures, range(10_000)), shared=False)
    [text] = figures_annotations(report).values()
    assert len(text) < MOST_BYTES + 1000
    assert len(report.budgets) + report.left_out == 10_000
    assert report.budgets[-1].tenant == "tenant-09999"
    assert report.budgets[0].tenant == f"tenant-{report.left_out:05d}"
    assert len(report.budgets) > 2000
