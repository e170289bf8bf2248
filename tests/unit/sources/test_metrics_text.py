"""Engine metrics out of real and made-up pages."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_api.snapshot import Engine
from pilotage_extproc.sources.engines import ENGINE_METRICS
from pilotage_extproc.sources.metrics_text import NO_CACHE, Adapters, Load, PageReader
from pilotage_extproc.sources.sample_lines import PageError

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
        (Engine.VLLM, b'vllm:cache_config_info{block_size="16",num_gpu_blocks="None"} 1.0\n', None),
        (Engine.VLLM, b"", None),
        (
            Engine.VLLM,
            b'vllm:cache_config_info{block_size="16",kv_cache_size_tokens="463459",'
            b'num_gpu_blocks="320"} 1.0\n',
            463_459,
        ),
        (
            Engine.VLLM,
            b'vllm:cache_config_info{block_size="16",kv_cache_size_tokens="None",'
            b'num_gpu_blocks="1000"} 1.0\n',
            16_000,
        ),
        (
            Engine.VLLM,
            b'vllm:cache_config_info{block_size="16",enable_prefix_caching="False",'
            b'num_gpu_blocks="1000"} 1.0\n',
            NO_CACHE,
        ),
        (
            Engine.VLLM,
            b'vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="1000"} 1.0\n'
            b'vllm:cache_config_info{block_size="16",engine="1",num_gpu_blocks="None"} 1.0\n',
            None,
        ),
        (
            Engine.SGLANG,
            b'sglang:page_size{model_name="m",tp_rank="0"} 64.0\n'
            b'sglang:page_size{model_name="m",tp_rank="1"} 64.0\n'
            b'sglang:num_pages{model_name="m",tp_rank="0"} 200.0\n'
            b'sglang:num_pages{model_name="m",tp_rank="1"} 200.0\n',
            12_800,
        ),
        (
            Engine.SGLANG,
            b'sglang:page_size{dp_rank="0"} 64.0\nsglang:page_size{dp_rank="1"} 64.0\n'
            b'sglang:num_pages{dp_rank="0"} 200.0\nsglang:num_pages{dp_rank="1"} 100.0\n',
            19_200,
        ),
        (Engine.SGLANG, b"sglang:page_size NaN\nsglang:num_pages 200.0\n", None),
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


@pytest.mark.parametrize("count", [1100, 20_000])
def test_the_adapters_of_a_long_lived_server_are_those_of_the_latest_of_its_lines(count):
    lines = [
        b'vllm:lora_requests_info{max_lora="2",running_lora_adapters="a%d",waiting_lora_adapters=""} %d.5\n'
        % (number, 1_795_434_513 + (number * 7919) % count)
        for number in range(count)
    ]
    latest = next(number for number in range(count) if (number * 7919) % count == count - 1)
    page = b"vllm:num_requests_running 2\n" + b"".join(lines) + b"vllm:num_requests_waiting 1\n"
    reader = PageReader(VLLM)
    assert (reader.load(page).waiting, reader.load(page).running) == (1, 2)
    found = reader.adapters(page)
    assert found is not None
    assert found.running == (f"a{latest}",)


def test_nonsense_in_an_optional_part_leaves_the_others():
    page = (
        b'vllm:lora_requests_info{max_lora="2",running_lora_adapters="a",waiting_lora_adapters=""} 5\n'
        b'vllm:lora_requests_info{max_lora="2",running_lora_adapters="b",waiting_lora_adapters=""} NaN\n'
        b"process_start_time_seconds soon\n"
        b"vllm:cache_config_info{ 1\n"
        b"vllm:num_requests_running 2\nvllm:num_requests_waiting 1\n"
    )
    reader = PageReader(VLLM)
    assert reader.load(page).running == 2
    assert reader.started_at(page) is None
    assert reader.cache_tokens(page) is None
    found = reader.adapters(page)
    assert found is not None
    assert found.running == ("a",)


SGLANG_LINES = [
    ([(b'{priority=""}', 5), (b'{priority="0"}', 3), (b'{priority="10"}', 2)], 5),
    ([(b'{priority="0"}', 3), (b'{priority="10"}', 2)], 5),
    ([(b'{tp_rank="%d"}' % rank, 4) for rank in range(8)], 4),
    ([(b'{tp_rank="0"}', 4), (b'{tp_rank="1"}', 5)], 5),
    (
        [
            (b'{dp_rank="%d",priority="%b",tp_rank="%d"}' % (dp, priority, tp), value)
            for dp in range(2)
            for tp in range(2)
            for priority, value in ((b"", 3 + dp), (b"0", 1 + dp), (b"9", 2))
        ],
        7,
    ),
    ([(b"", 6)], 6),
]


@pytest.mark.parametrize(("lines", "total"), SGLANG_LINES)
def test_sglang_lines_are_summed_over_data_parallel_ranks_only(lines, total):
    page = b"".join(
        b"sglang:%b%b %d.0\n" % (name, labels, value)
        for name in (b"num_running_reqs", b"num_queue_reqs")
        for labels, value in lines
    )
    load = PageReader(ENGINE_METRICS[Engine.SGLANG]).load(page)
    assert (load.running, load.waiting) == (total, total)


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
