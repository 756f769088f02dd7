"""What the lab's programs share: their table of parts, their result, and how they end."""

import argparse
import json

import pytest

from MeWMLib.core.errors import InputError
from MeWMLib.lab.program import Part, Tell, finish, run_program


def _double(args: argparse.Namespace, tell: Tell) -> dict[str, float]:
    tell("doubling, slowly", 0.5)
    tell("doubling, slowly", 1.0)
    return {"twice": 2 * args.number}


PARTS: dict[str, Part] = {
    "double": (_double, "twice a number", {"--number": {"type": float, "required": True}}),
    "nothing": (lambda args, tell: {}, "no result", {}),
}


def test_a_part_gets_its_options_and_its_result_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[int] = []
    shared = {"--threads": {"type": int, "default": 0}}
    argv = ["--threads", "3", "double", "--number", "4"]
    assert run_program("lab", "about", PARTS, argv, shared, lambda args: seen.append(args.threads)) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == {"twice": 8.0} and seen == [3]
    assert "doubling: 50%  slowly" in said.err and "doubling: 100%" in said.err


def test_an_empty_result_writes_nothing_and_a_text_is_written_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program("lab", None, PARTS, ["nothing"]) == 0 and capsys.readouterr().out == ""
    assert finish(lambda tell: "two\nlines", quiet=True) == 0 and capsys.readouterr().out == "two\nlines\n"


@pytest.mark.parametrize("argv", [[], ["triple"], ["double"], ["double", "--number", "many"]])
def test_wrong_arguments_end_with_two(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_program("lab", None, PARTS, argv)
    assert ended.value.code == 2


def test_errors_and_ctrl_c_become_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(tell: Tell) -> None:
        raise InputError(what="It is blue", given="blue", remedy="Paint it")

    def stopped(tell: Tell) -> None:
        raise KeyboardInterrupt

    assert finish(fails) == 2
    assert "It is blue. Given: blue. Paint it" in capsys.readouterr().err
    assert finish(stopped) == 130 and "goes on" in capsys.readouterr().err
