"""What a run shows on its terminal, as its log has it."""

from __future__ import annotations

import pytest

from queuectl.worker.runs.console_log import ConsoleLog

TEXTS = {
    "lines end as in a file": (b"a\r\nb\r\r\nc", b"a\nb\nc"),
    "colours stay": (b"\x1b[1;31mred\x1b[0m\r\n", b"\x1b[1;31mred\x1b[0m\n"),
    "progress stays": (b"10%\r\x1b[K20%\r\n", b"10%\r\x1b[K20%\n"),
    "a title goes": (b"\x1b]0;make\x07go\x1b]2;x\x1b\\on\r\n", b"goon\n"),
    "another screen goes": (b"\x1b[?1049h\x1b[?25lbody\x1b[?1049l\r\n", b"body\n"),
    "questions and bells go": (b"\x1b[6n\x1b[c\x1b7\x07x\x1b8\x1b(B\r\n", b"x\n"),
    "modes of one kind of terminal go": (
        b"\x1b[>4;2m\x1b[?u\x1b[>1u\x1b[!p\x1b[?25$pa\x1b[<u\x1b[=0;1ub\x1b[2 qc\x1b[s\r\n",
        b"abc\n",
    ),
    "another line is a line": (b"\x1b[2J\x1b[Hone\x1b[5;1Htwo\x1b[Hthree", b"one\ntwo\nthree"),
    "columns are apart": (b"a\x1b[20Gb\r\n", b"a b\n"),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_a_log_has_text_and_colours_however_it_arrives(name: str, size: int) -> None:
    shown, wanted = TEXTS[name]
    log = ConsoleLog()
    pieces = [log.feed(shown[at : at + size]) for at in range(0, len(shown), size)]
    assert b"".join(pieces) + log.rest() == wanted


def test_what_never_ends_is_not_kept_for_ever() -> None:
    log = ConsoleLog()
    assert len(log.feed(b"\x1b]0;" + b"x" * 100_000)) > 90_000
