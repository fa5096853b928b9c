"""What human-mrna starts from: the stage with the published networks as teachers, and the file that is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tools.weights import __main__ as weights
from tools.weights import pretrain, xpresso_towers

from seqexpr.api.datasets import prepare
from seqexpr.models.trained import load_model, read_metadata

from .test_weights import published_networks

KEPT = Path(pretrain.__file__).with_name("pretrained.safetensors")


@pytest.mark.slow
def test_the_command_learns_goes_on_and_starts_from_weights(tmp_path, monkeypatch, capsys):
    networks = {
        f"{species}_median.h5": network for species, network in zip(pretrain.SPECIES, published_networks(), strict=True)
    }
    monkeypatch.setattr(xpresso_towers, "Xpresso", lambda file: networks[file.name])
    generator = np.random.default_rng(0)

    def letters(length: int) -> str:
        return "".join(generator.choice(list("ACGT"), length))

    (tmp_path / "w.fa").write_text("".join(f">g{gene}\n{letters(10_600)}\n" for gene in range(3)))
    (tmp_path / "dna.fa").write_text(f">c\n{letters(5_000)}{'CG' * 500}{letters(8_000)}\n")
    dataset = prepare(out=tmp_path / "set", fasta=tmp_path / "w.fa", tss_at=7_050)
    command = ["pretrain", "--dna", dataset.folder, "--unlabelled", tmp_path / "dna.fa", "--xpresso", tmp_path]
    command += ["--steps", "2", "--threads", "2", "--out"]
    weights.main([str(word) for word in [*command, tmp_path / "one"]])
    said = capsys.readouterr()
    assert "(0 of 2 steps)" in said.err
    weights.main([str(word) for word in [*command, tmp_path / "one"]])
    assert "steps)" not in capsys.readouterr().err  # nothing is left to do
    made = tmp_path / "one" / "weights.safetensors"
    assert [output.name for output in read_metadata(made).outputs] == ["xpresso_human", "xpresso_mouse"]
    weights.main([str(word) for word in [*command, tmp_path / "two", "--from", made, "--seed", "1"]])
    first, second = (load_model(tmp_path / name / "weights.safetensors").network for name in ("one", "two"))
    moved = (first.latents - second.latents).abs()
    assert 0 < float(moved.detach().max()) < 0.1  # a start from random weights would be far from it


def test_what_is_kept_is_a_network_that_human_mrna_can_start_from():
    metadata = read_metadata(KEPT)
    assert [output.name for output in metadata.outputs] == ["xpresso_human", "xpresso_mouse"]
    assert (metadata.config.preset, metadata.config.upstream, metadata.half_life) == ("dna-perceiver", 7_000, None)
    windows = np.random.default_rng(0).integers(1, 5, (2, 10_500), np.uint8)
    predicted = load_model(KEPT).predict(windows, None, None)
    assert np.isfinite(predicted).all() and predicted.std(axis=0).min() > 0


@pytest.mark.shared_data
@pytest.mark.slow
def test_what_is_kept_says_of_real_promoters_what_its_teachers_say(shared_data, tmp_path):
    dataset = prepare(out=tmp_path / "set", fasta=shared_data / "human" / "tss_windows.fa.gz", tss_at=10_000)
    windows = np.ascontiguousarray(dataset.dna(np.arange(0, 847, 6), 7_000, 3_500))
    networks = [shared_data / "xpresso" / f"{species}_median.h5" for species in pretrain.SPECIES]
    taught = pretrain.XpressoTeacher(networks, tmp_path / "towers.safetensors")(windows)
    student = load_model(KEPT)
    own = np.concatenate([student.predict(part, None, None) for part in np.array_split(windows, 10)])
    for column in range(2):
        assert np.corrcoef(own[:, column], taught[:, column])[0, 1] ** 2 > 0.95
