from __future__ import annotations

import json

import pytest

from seqexpr import __version__
from seqexpr.errors import InputError
from seqexpr.files import write_json
from seqexpr.manifest import describe_run, read_manifest


def test_it_says_what_ran(tmp_path):
    manifest = describe_run("cv", {"seed": 3})
    assert (manifest["kind"], manifest["options"]) == ("cv", {"seed": 3})
    assert manifest["command"][0] == "seqexpr"
    assert manifest["versions"]["seqexpr"] == __version__
    write_json(tmp_path / "manifest.json", manifest)
    assert read_manifest(tmp_path, "cv") == json.loads(json.dumps(manifest))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no readable manifest.json; expected a seqexpr cv folder"),
        ("{", "text that is not JSON"),
        ("[]", "a manifest of kind 'list'"),
        ('{"kind": "train"}', "a manifest of kind 'train'; expected a seqexpr cv folder"),
    ],
)
def test_other_folders_are_refused(tmp_path, content, said):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InputError, match=said):
        read_manifest(tmp_path, "cv")
