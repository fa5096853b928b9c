"""The genome, its annotation and the TSSs that the options name: each opened and read once, for all who need it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from seqexpr.inputs.options import GeneOptions
from seqexpr.inputs.windows import MOST_MISSING, CutWindows, FastaWindows
from seqexpr.sequences.annotation import read_annotation, read_tss
from seqexpr.sequences.contigs import common_name, read_contig_aliases
from seqexpr.sequences.fasta import FastaRecord
from seqexpr.sequences.gene_names import pick_genes
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.transcripts import AnnotatedFeatures, Transcript
from seqexpr.sequences.windows import Tss

if TYPE_CHECKING:
    from seqexpr.sequences.genbank import GenbankFile, GenbankSequences

logger = logging.getLogger(__name__)


class Reference:
    """Where genes lie, what their transcripts are, and the letters there.

    Args:
        options: they are checked.
        window: length of the window around a TSS, bp: a BED file of such windows is refused. 0 checks nothing.
        translating: whether the transcripts of `options.tss` are needed where there is no `options.annotation`.

    Raises:
        InputError: a file is not as it should be, or genes are not in it.
    """

    def __init__(self, options: GeneOptions, *, window: int = 0, translating: bool = False) -> None:
        self._options = options
        self.genome: Genome | None = None
        self.genbank: GenbankFile | None = None
        self.transcripts: Sequence[Transcript] | None = None
        """The chosen transcript of each gene; None where no annotation is given or needed."""
        self.sites: Sequence[Tss] = ()
        """TSSs of the genes that were asked for; none where no file gives them."""
        if options.genome is not None:
            aliases = read_contig_aliases(options.contig_aliases) if options.contig_aliases else ()
            self.genome = Genome(options.genome, aliases)
        if options.genbank is not None:
            from seqexpr.sequences.genbank import read_genbank

            self.genbank = read_genbank(options.genbank, options.genes, allow_unknown=options.allow_unknown_genes)
            self.transcripts, self.sites = tuple(self.genbank.transcripts.values()), self.genbank.sites
        annotation = options.annotation or (options.tss if translating else None)
        self._measured = options.tss is not None and annotation != options.tss and not options.one_annotation
        if annotation is not None:
            gives_tss = options.tss is not None and not self._measured
            self.transcripts = read_annotation(annotation, gives_tss=gives_tss)  # millions of lines in GENCODE
        if options.tss is not None:
            if self._measured:
                sites = read_tss(options.tss, window=window)
            else:
                sites = [transcript.tss for transcript in self.transcripts or ()]
            if options.genes is not None:
                sites = pick_genes(options.tss, sites, options.genes, allow_unknown=options.allow_unknown_genes)
            self.sites = sites

    @property
    def sequences(self) -> Genome | GenbankSequences | None:
        """What gives letters: the genome, or the records of the GenBank file."""
        return self.genbank.sequences if self.genbank is not None else self.genome

    def windows(
        self, upstream: int | None, downstream: int | None, records: Iterable[FastaRecord] | None = None
    ) -> FastaWindows | CutWindows:
        """Open the windows that the options describe.

        Args:
            upstream, downstream: the window, as `FastaWindows` and `CutWindows` take it.
            records: those of `options.fasta`, where they are in memory or begun already.

        Raises:
            InputError: contigs that the genome lacks, a TSS outside its contig, or a bad first record.
        """
        options = self._options
        if options.has_fasta:
            named = options.fasta or "the sequences given"
            return FastaWindows(named, options.tss_at, upstream, downstream, records=records)
        assert self.sequences is not None
        return CutWindows(self.sequences, self.sites, upstream, downstream, skip_missing=options.skip_missing_contigs)

    def features(self, transcripts: Mapping[str, Transcript], sites: Mapping[str, Tss]) -> AnnotatedFeatures:
        """Half-life features by gene, each computed when it is asked for.

        Args:
            transcripts: those of this reference, by the names that the caller gives genes.
            sites: TSSs by the same names: where they come from another file than the transcripts, they were measured,
                and the 5'UTR of their genes begins there.
        """
        sequences = self.sequences
        if sequences is None:
            logger.warning("without --genome the GC contents among the half-life features are missing")
        else:
            asked = [transcripts[gene] for gene in sites if gene in transcripts]
            _check_contigs(sequences, asked or list(transcripts.values()))
        measured = {}
        if self._measured:
            pairs = ((gene, site, transcripts[gene]) for gene, site in sites.items() if gene in transcripts)
            measured = {gene: self._on_contig_of(one, site) for gene, site, one in pairs}
        return AnnotatedFeatures(transcripts, sequences, measured)

    def _on_contig_of(self, transcript: Transcript, site: Tss) -> Tss:
        """The TSS with its contig named as the transcript's, where both names stand for one contig."""
        if site.chrom == transcript.chrom:
            return site
        name = common_name if self.sequences is None else self.sequences.find
        found = name(site.chrom)
        one_contig = found is not None and found == name(transcript.chrom)
        return replace(site, chrom=transcript.chrom) if one_contig else site

    def close(self) -> None:
        """Close the genome."""
        if self.genome is not None:
            self.genome.close()


def _check_contigs(sequences: Genome | GenbankSequences, transcripts: Sequence[Transcript]) -> None:
    """Warn where most of these genes lie on contigs without letters: names or assemblies differ."""
    found = {name: sequences.find(name) is not None for name in {one.chrom for one in transcripts}}
    lost = [one for one in transcripts if not found[one.chrom]]
    if len(lost) > MOST_MISSING * len(transcripts):
        logger.warning(
            "%s: no sequence for %s of %s annotated genes, such as %s on contig %r, so their GC contents are missing; "
            "--contig-aliases gives other names of contigs",
            *(sequences.path, f"{len(lost):,}", f"{len(transcripts):,}", lost[0].gene_id, lost[0].chrom),
        )
