from __future__ import annotations

import pytest

from seqexpr.errors import InputError
from seqexpr.finished import DONE, check_result, is_done, mark_done


def test_a_result_that_was_changed_is_an_error(tmp_path):
    path = tmp_path / "predictions.tsv"
    path.write_text("as measured")
    check_result(path)
    mark_done(tmp_path, ("predictions.tsv", "baselines.tsv"))
    assert is_done(tmp_path)
    check_result(path)
    path.write_text("as wished")
    with pytest.raises(InputError, match=r"predictions.tsv: found SHA-256 .* as it was written by the run"):
        check_result(path)


def test_a_run_of_the_first_version_has_no_checksums(tmp_path):
    (tmp_path / DONE).touch()
    (tmp_path / "predictions.tsv").write_text("as measured")
    check_result(tmp_path / "predictions.tsv")


@pytest.mark.parametrize("content", ["[]", "{}", '{"sha256": {"predictions.tsv": 5}}', "x", "[" * 100_000])
def test_a_damaged_last_file_is_named(content, tmp_path):
    (tmp_path / DONE).write_text(content)
    with pytest.raises(InputError, match=r"\.done"):
        check_result(tmp_path / "predictions.tsv")
