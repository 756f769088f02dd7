"""How programs end: a summary as JSON, a typed error, or Ctrl-C."""

import argparse
import json

from MeWMLib.core.errors import InputError
from MeWMLib.core.terminal import run_with_summary


def test_the_summary_is_json_and_errors_have_their_own_exit_codes(capsys):
    def refuse(_):
        raise InputError(what="It is not there", given="x", remedy="Look elsewhere")

    def stop(_):
        raise KeyboardInterrupt

    assert run_with_summary(argparse.Namespace(run=lambda args: {"n": args.n}, n=3)) == 0
    assert json.loads(capsys.readouterr().out) == {"n": 3}
    assert run_with_summary(argparse.Namespace(run=refuse)) == InputError.exit_code
    captured = capsys.readouterr()
    assert "It is not there" in captured.err and not captured.out
    assert run_with_summary(argparse.Namespace(run=stop)) == 130
    assert "finished patients are kept" in capsys.readouterr().err
