import json

import pytest

from proxy.cli import main
from proxy.config.schema import schema


def test_the_schema_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0

    out, err = capsys.readouterr()
    assert json.loads(out) == schema()
    assert err == ""
