"""Reports of replicas: bounded, and counted by when they were seen."""

import msgspec
import orjson
import pytest

from pilotage_kube.replica_report import (
    MAX_CERTIFICATE,
    MAX_POOLS,
    MAX_REFUSALS,
    REPORT_ANNOTATION,
    PoolCount,
    Refusal,
    ReplicaReport,
    ReportFault,
    read_report,
    report_annotations,
)
from pilotage_kube.replica_table import ReplicaTable
from pilotage_kube.resource import ObjectKey

KEY = ObjectKey("default", "one")


def lease(report: ReplicaReport) -> memoryview:
    return memoryview(orjson.dumps({"metadata": {"annotations": report_annotations(report)}}))


def report(renewals: int = 1, **changes: object) -> ReplicaReport:
    return ReplicaReport(replica="one", boot="b", version="v", renewals=renewals, **changes)


def test_a_report_comes_back_as_it_was():
    said = report(
        ready=True,
        refusals=(Refusal("RoutePolicy a/b", "Unsupported", "why"),),
        problem="p",
        certificate="-----BEGIN CERTIFICATE-----\n",
        pools={"a/small": PoolCount(ready=2, total=3)},
    )
    assert read_report(lease(said)) == said


def test_counts_of_pools_are_plain_json_for_whoever_reads_the_lease():
    text = report_annotations(report(pools={"a/small": PoolCount(2, 3)}))[REPORT_ANNOTATION]
    assert orjson.loads(text)["pools"] == {"a/small": {"ready": 2, "total": 3}}


def test_a_flood_of_pools_is_cut_and_counted_and_fits_an_object():
    pools = {f"{'n' * 63}/{number:0>253}": PoolCount(4096, 4096) for number in range(2000)}
    found = read_report(lease(report(pools=pools)))
    assert len(found.pools) == MAX_POOLS
    assert found.pools_omitted == 2000 - MAX_POOLS
    assert len(report_annotations(found)[REPORT_ANNOTATION]) < 200 << 10


def test_a_flood_of_refusals_is_cut_and_counted():
    refusals = tuple(Refusal(f"RoutePolicy a/{number}", "x" * 500, "y" * 5000) for number in range(500))
    found = read_report(lease(report(refusals=refusals, problem="z" * 9999)))
    assert len(found.refusals) == MAX_REFUSALS
    assert found.omitted == 500 - MAX_REFUSALS
    assert len(report_annotations(found)[REPORT_ANNOTATION]) < 64 << 10


@pytest.mark.parametrize(
    "obj", [{}, {"metadata": {}}, {"metadata": {"annotations": {REPORT_ANNOTATION: "{"}}}]
)
def test_a_lease_that_is_no_report_is_a_fault(obj):
    with pytest.raises(ReportFault):
        read_report(memoryview(orjson.dumps(obj)))


def test_fields_of_a_later_version_are_passed_over():
    text = msgspec.json.encode({**msgspec.to_builtins(report()), "novelty": 1}).decode()
    obj = {"metadata": {"annotations": {REPORT_ANNOTATION: text}}}
    assert read_report(memoryview(orjson.dumps(obj))) == report()


def test_a_replica_counts_until_fifteen_seconds_after_its_last_renewal_was_seen():
    table = ReplicaTable()
    table.observe(KEY, report(1), now=100)
    table.observe(KEY, report(2), now=110)
    assert table.live(124.9) == (report(2),)
    assert table.live(125) == ()


def test_seeing_the_same_report_again_renews_nothing():
    table = ReplicaTable()
    table.observe(KEY, report(1), now=100)
    table.observe(KEY, report(1), now=114)
    assert table.live(115) == ()


def test_a_restarted_replica_counts_although_its_counter_began_anew():
    table = ReplicaTable()
    table.observe(KEY, report(7), now=100)
    table.observe(KEY, msgspec.structs.replace(report(1), boot="another"), now=120)
    assert len(table.live(130)) == 1


def test_a_withdrawn_report_counts_no_more():
    table = ReplicaTable()
    table.observe(KEY, report(1), now=100)
    table.forget(KEY)
    table.forget(KEY)
    assert table.live(100) == ()


def test_a_certificate_too_long_for_a_report_is_never_taken_for_plaintext():
    found = read_report(lease(report(certificate="x" * 100_000)))
    assert len(found.certificate) == MAX_CERTIFICATE
    assert len(report_annotations(found)[REPORT_ANNOTATION]) < 20 << 10


def test_the_longest_report_still_fits_an_object():
    pools = {f"{'n' * 63}/{number:0>253}": PoolCount(4096, 4096) for number in range(2000)}
    refusals = tuple(Refusal(f"RoutePolicy a/{number}", "x" * 500, "y" * 5000) for number in range(500))
    said = report(pools=pools, refusals=refusals, problem="z" * 9999, certificate="x\n" * 50_000)
    assert len(report_annotations(said)[REPORT_ANNOTATION]) < 256 << 10


def test_a_report_from_before_there_were_certificates_says_plaintext():
    text = '{"replica": "one", "address": "10.0.0.1:9002"}'
    old = memoryview(orjson.dumps({"metadata": {"annotations": {REPORT_ANNOTATION: text}}}))
    assert read_report(old).certificate == ""


def test_a_report_of_the_version_before_names_neither_formats_nor_contract():
    text = '{"replica": "one", "version": "v", "ready": true, "boot": "b", "renewals": 3}'
    old = read_report(memoryview(orjson.dumps({"metadata": {"annotations": {REPORT_ANNOTATION: text}}})))
    assert (old.formats, old.contract) == ((1,), "1")
