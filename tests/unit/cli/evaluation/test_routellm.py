"""RouteLLM's files are read without repeated and contaminated prompts."""

from pathlib import Path

import pytest

from pilotage_cli.evaluation.routellm import STRONG, WEAK, gsm8k, mmlu
from pilotage_cli.failure import CommandError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mmlu").mkdir()
    header = f"prompt,{WEAK},{STRONG}\n"
    (tmp_path / "mmlu/mmlu_astronomy.csv").write_text(
        header + '"Which star?\nA. a\nB. b\nAnswer:",True,False\n"Seen before",True,True\n'
    )
    (tmp_path / "mmlu/mmlu_virology.csv").write_text(
        header + 'Which virus?,False,True\n"Which star?\nA. a\nB. b\nAnswer:",False,False\n'
    )
    (tmp_path / "mmlu_contaminated_prompts.jsonl").write_text('{"eval_prompt": "Seen before"}\n\n')
    (tmp_path / "gsm8k_responses.csv").write_text(header + "Two plus two?,True,True\n")
    return tmp_path


def test_a_prompt_counts_once_and_contaminated_ones_not_at_all(folder):
    found = mmlu(folder)
    assert found.groups == ("astronomy", "virology")
    assert found.weak.tolist() == [1.0, 0.0]
    assert found.strong.tolist() == [0.0, 1.0]
    assert found.gap.tolist() == [-1.0, 1.0]


def test_word_problems_are_one_group(folder):
    assert gsm8k(folder).groups == ("gsm8k",)


def test_a_folder_without_the_data_is_told(tmp_path):
    with pytest.raises(CommandError, match="RouteLLM"):
        mmlu(tmp_path)
