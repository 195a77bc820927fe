import pytest

from mrsikit.io import InputError
from mrsikit.runtime.shards import Shard, read_shard


@pytest.mark.parametrize("cases", [0, 1, 3, 12, 41])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_shards_hold_every_case_once(count: int, cases: int) -> None:
    parts = [Shard(place, count).of(range(cases)) for place in range(1, count + 1)]
    assert sorted(case for part in parts for case in part) == list(range(cases))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_shard_is_read_from_text() -> None:
    assert read_shard(" 2/40 ") == (2, 40)
    assert read_shard("1/1") == (1, 1)
    assert read_shard(None) is None


@pytest.mark.parametrize("text", ["a/b", "2", 2, 0.5, "1/2/3", "", "1.5/3", "-1/3", "1/-3", "²/3", True])
def test_what_is_no_shard_is_refused(text: object) -> None:
    with pytest.raises(InputError, match=rf"--shard {text}: is not of the form i/n; give for example --shard 2/40"):
        read_shard(text)


@pytest.mark.parametrize(
    ("text", "right"), [("0/3", "from 1 to 3"), ("4/3", "from 1 to 3"), ("1/0", "n from 1 on"), ("0/0", "n from 1 on")]
)
def test_a_shard_that_is_not_there_is_refused(text: str, right: str) -> None:
    with pytest.raises(InputError, match=f"--shard {text}: there is no shard .*{right}"):
        read_shard(text)
