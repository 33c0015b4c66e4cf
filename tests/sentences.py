"""What every refusal owes its reader: one sentence that names what is wrong; and files to be refused."""

import pytest

HTML = b"<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not found</body></html>"


def one_sentence(error: BaseException, *words: str, most: int = 400) -> None:
    """The error's text is one line, not long, and holds the words."""
    text = str(error)
    assert "\n" not in text and len(text) < most, text
    for word in words:
        assert word in text, f"{word!r} is not in {text!r}"


def refused(call, *words: str) -> None:
    """The call fails, for its input or for the disk, and says so in one sentence."""
    with pytest.raises((ValueError, OSError)) as caught:
        call()
    one_sentence(caught.value, *words, most=700)


class Calls:
    """Pickles to a call of any function with any arguments."""

    def __init__(self, function, *args):
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced
