from __future__ import annotations

import pytest

from seqexpr.errors import InputError
from seqexpr.toml_files import packaged_toml, read_toml


def test_packaged_settings():
    assert packaged_toml("seqexpr.models", "presets/dna-perceiver.toml")["upstream"] == 7_000


@pytest.mark.parametrize(
    ("content", "said"), [(b"a = ", "not TOML"), (b"a = '\xff'", "not TOML"), (None, "No such file")]
)
def test_files_that_are_not_toml(tmp_path, content, said):
    path = tmp_path / "x.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_toml(path)
