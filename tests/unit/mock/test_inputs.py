import pytest

from proxy.mock.errors import MockError
from proxy.mock.inputs import MAX_INPUTS, Inputs, read_inputs


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("x" * 40, [10]),
        (["x" * 40, ""], [10, 1]),
        ([1, 2, 3], [3]),
        ([[1, 2], [3]], [2, 1]),
    ],
)
def test_each_spelling_is_as_many_inputs_of_as_many_tokens(
    value: Inputs, tokens: list[int]
) -> None:
    assert [each.tokens for each in read_inputs(value, "input")] == tokens


@pytest.mark.parametrize("value", [[], ["a", 1], [1, [2]], ["a", [1]], ["a"] * (MAX_INPUTS + 1)])
def test_other_spellings_are_refused_by_the_name_of_the_field(value: Inputs) -> None:
    with pytest.raises(MockError, match=r"^prompt: expected") as caught:
        read_inputs(value, "prompt")
    assert (caught.value.status, caught.value.param) == (400, "prompt")
