from __future__ import annotations

from seqexpr import errors


def test_each_documented_exit_code_has_its_class():
    codes = {
        errors.UsageError: 2,
        errors.InputError: 3,
        errors.MissingDataError: 4,
        errors.DeviceError: 5,
        errors.NetworkError: 6,
    }
    assert {kind: kind.exit_code for kind in codes} == codes
    assert all(issubclass(kind, errors.SeqexprError) for kind in codes)


def test_an_input_error_is_one_line_with_all_four_parts():
    problem = errors.InputError("w.fa", record="record 'g1'", found="9 letters", expected="10,500")
    assert str(problem) == "w.fa, record 'g1': found 9 letters; expected 10,500"
    assert str(errors.InputError("-", found="nothing", expected="FASTA")) == (
        "standard input: found nothing; expected FASTA"
    )
