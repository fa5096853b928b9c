from __future__ import annotations

from pathlib import Path

import numpy as np
from benchmarks.made_inputs import write_genome, write_sites
from benchmarks.window_work import text_of_pyfaidx, tokens_letter_by_letter, tokens_of_records

from seqexpr.sequences.alphabet import DNA
from seqexpr.sequences.annotation import read_tss


def test_all_ways_read_the_same_windows(tmp_path: Path) -> None:
    genome, sites = tmp_path / "genome.fa", tmp_path / "sites.bed"
    write_genome(genome, 2, 2_000)
    write_sites(sites, 12, 2, 2_000, margin=300)
    settings = {"genome": str(genome), "sites": str(sites), "upstream": 200, "downstream": 77}
    shipped = list(tokens_of_records(settings))
    assert len(shipped) == 12 and {len(window) for window in shipped} == {277}
    letters, tokens = text_of_pyfaidx(settings), tokens_letter_by_letter(settings)
    for site, window in zip(read_tss(sites), shipped, strict=True):
        np.testing.assert_array_equal(DNA.encode(letters(site).tobytes()), window)
        np.testing.assert_array_equal(tokens(site), window)
