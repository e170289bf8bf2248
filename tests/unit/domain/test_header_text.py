"""What a name may do to the header it is written into: nothing."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.domain.header_text import quoted


@given(st.text())
def test_no_name_ends_a_header_or_a_part_of_one(name):
    text = quoted(name)
    assert text.isascii()
    assert all("!" <= char <= "~" for char in text)
    assert not set(text) & set(';,"\\')
    assert unquote(text) == name


@pytest.mark.parametrize("name", ["meta-llama/Llama-3.1-8B-Instruct", "rules[0]", "org/model:tag@main"])
def test_names_as_they_are_stay_readable(name):
    assert quoted(name) == name
