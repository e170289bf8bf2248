"""Engine metrics out of real and made-up pages."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_api.snapshot import Engine
from pilotage_extproc.sources.engines import ENGINE_METRICS
from pilotage_extproc.sources.metrics_text import Load, PageError, PageReader

CAPTURES = Path(__file__).parents[2] / "fixtures" / "vllm-0.32"
VLLM = ENGINE_METRICS[Engine.VLLM]


def test_a_real_idle_page():
    assert PageReader(VLLM).load((CAPTURES / "metrics.prom").read_bytes()) == Load(0, 0, 0)


def test_a_real_page_under_load():
    load = PageReader(VLLM).load((CAPTURES / "metrics_under_load_lora.prom").read_bytes())
    assert (load.waiting, load.running) == (8, 4)
    assert load.kv_usage == pytest.approx(0.0019533634476864847)


def test_data_parallel_ranks_are_summed_and_their_cache_use_averaged():
    page = b"".join(
        b'vllm:%b{engine="%d"} %b\n' % (name, rank, value % number)
        for name, value, step in (
            (b"num_requests_waiting", b"%d", lambda rank: rank + 1),
            (b"num_requests_running", b"%d.0", lambda rank: 1),
            (b"kv_cache_usage_perc", b"0.%d", lambda rank: 2 * rank),
        )
        for rank in range(3)
        for number in [step(rank)]
    )
    load = PageReader(VLLM).load(page)
    assert (load.waiting, load.running) == (6, 3)
    assert load.kv_usage == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("engine", "page"),
    [
        (
            Engine.SGLANG,
            b'sglang:num_queue_reqs{m="x"} 3.0\nsglang:num_running_reqs{m="x"} 4.0\n'
            b'sglang:token_usage{m="x"} 0.5\n',
        ),
        (
            Engine.TRTLLM,
            b"trtllm_num_requests_waiting 3\ntrtllm_num_requests_running 4\n"
            b"trtllm_kv_cache_utilization 0.5\n",
        ),
        (
            Engine.TRITON,
            b'nv_trt_llm_request_metrics{model="m",request_type="waiting"} 3\n'
            b'nv_trt_llm_request_metrics{model="m",request_type="scheduled"} 4\n'
            b'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction"} 0.5\n'
            b'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max"} 99\n',
        ),
    ],
)
def test_other_engines(engine, page):
    assert PageReader(ENGINE_METRICS[engine]).load(page) == Load(3, 4, 0.5)


def test_a_longer_name_is_another_metric():
    page = b"vllm:num_requests_waiting_by_reason 9\nvllm:num_requests_waiting 1\n"
    page += b"vllm:num_requests_running 2\n"
    load = PageReader(VLLM).load(page)
    assert (load.waiting, load.running) == (1, 2)
    assert math.isnan(load.kv_usage)


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"vllm:num_requests_waiting 1\n",
        b"vllm:num_requests_waiting NaN\nvllm:num_requests_running 1\n",
        b"vllm:num_requests_waiting -3\nvllm:num_requests_running 1\n",
        b"vllm:num_requests_waiting{\nvllm:num_requests_running 1\n",
    ],
)
def test_a_page_without_usable_figures_is_an_error(page):
    with pytest.raises(PageError):
        PageReader(VLLM).load(page)


@given(
    st.binary(max_size=500)
    | st.text(alphabet="vllm:num_requests_waiting{} 0.1\n", max_size=300).map(str.encode)
)
def test_garbage_is_an_error_or_figures_and_never_anything_else(page):
    try:
        load = PageReader(VLLM).load(page)
    except PageError:
        return
    assert load.waiting >= 0
