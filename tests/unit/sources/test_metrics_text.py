"""Engine metrics out of real and made-up pages."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_api.snapshot import Engine
from pilotage_extproc.sources.engines import ENGINE_METRICS
from pilotage_extproc.sources.metrics_text import Adapters, Load, PageError, PageReader

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


@pytest.mark.parametrize(
    ("engine", "page", "tokens"),
    [
        (
            Engine.VLLM,
            b'vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="1000"} 1.0\n',
            16_000,
        ),
        (
            Engine.VLLM,
            b'vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="1000"} 1.0\n'
            b'vllm:cache_config_info{block_size="16",engine="1",num_gpu_blocks="500"} 1.0\n',
            24_000,
        ),
        (Engine.VLLM, b'vllm:cache_config_info{block_size="16",num_gpu_blocks="None"} 1.0\n', 0),
        (Engine.VLLM, b"", 0),
        (Engine.SGLANG, b'sglang:cache_config_info{num_pages="200",page_size="64"} 1.0\n', 12_800),
        (
            Engine.TRTLLM,
            b"trtllm_kv_cache_max_blocks 300\ntrtllm_kv_cache_tokens_per_block 32\n",
            9_600,
        ),
        (
            Engine.TRITON,
            b'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max"} 100\n'
            b'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="tokens_per"} 64\n',
            6_400,
        ),
    ],
)
def test_how_many_tokens_each_engine_says_its_cache_holds(engine, page, tokens):
    assert PageReader(ENGINE_METRICS[engine]).cache_tokens(page) == tokens


def test_the_adapters_of_a_real_page_are_those_of_its_latest_line():
    page = (CAPTURES / "metrics_under_load_lora.prom").read_bytes()
    assert PageReader(VLLM).adapters(page) == Adapters(
        2, ("chat-lora", "sql-lora"), ("chat-lora", "sql-lora")
    )
    assert PageReader(ENGINE_METRICS[Engine.SGLANG]).adapters(page) is None


def test_the_start_of_a_real_server_is_read():
    page = (CAPTURES / "metrics_under_load_lora.prom").read_bytes()
    assert PageReader(VLLM).started_at(page) == 1.7954344874e09


@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 5000))
def test_lines_are_found_wherever_they_move_between_pages(first, second, third):
    reader = PageReader(VLLM)
    for padding in (first, second, third):
        page = b"# filler\n" * padding + b"vllm:num_requests_running 2\nvllm:num_requests_waiting 1\n"
        assert (reader.load(page).waiting, reader.load(page).running) == (1, 2)


@pytest.mark.parametrize(
    "line",
    [
        b"vllm:num_requests_waiting 1_0\n",
        b'vllm:num_requests_waiting{engine="0"} 1e308\nvllm:num_requests_waiting{engine="1"} 1e308\n',
        b"vllm:num_requests_waiting 0\n" * 2000,
        b"vllm:num_requests_waiting 1e12\n",
    ],
    ids=["underscore", "infinite sum", "too many lines", "more than any engine holds"],
)
def test_nonsense_in_a_count_is_an_error(line):
    with pytest.raises(PageError):
        PageReader(VLLM).load(line + b"vllm:num_requests_running 1\n")


def test_an_exemplar_is_not_the_value():
    page = b'vllm:num_requests_waiting{a="b"} 7 # {trace="x"} 3\nvllm:num_requests_running 1\n'
    assert PageReader(VLLM).load(page).waiting == 7


def test_counts_are_used_where_the_share_is_no_number():
    page = b"vllm:num_requests_waiting 7\nvllm:num_requests_running 1\nvllm:kv_cache_usage_perc NaN\n"
    load = PageReader(VLLM).load(page)
    assert load.waiting == 7
    assert math.isnan(load.kv_usage)


def test_thousands_of_adapters_on_a_page_are_cut_off():
    names = ",".join(f"a{number}" for number in range(16_000)).encode()
    page = b'vllm:lora_requests_info{max_lora="99999999999",running_lora_adapters="%b"} 1\n' % names
    found = PageReader(VLLM).adapters(page)
    assert found is not None
    assert found.slots == len(found.running) == 256
