process SEQEXPR_MERGE {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"

    input:
    tuple val(meta), path(parts, stageAs: 'shards/*'), path(json, stageAs: 'shards/*')

    output:
    tuple val(meta), path("*.{vcf,vcf.gz,tsv,tsv.gz,csv,csv.gz,jsonl,jsonl.gz,parquet}"), emit: merged
    tuple val("${task.process}"), val('seqexpr'), eval("seqexpr --version | sed 's/^seqexpr //'"), emit: versions_seqexpr, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def prefix = task.ext.prefix ?: "${meta.id}"
    // The format is that of the shards.
    def suffix = ([parts].flatten().first().name =~ /(vcf|tsv|csv|jsonl|parquet)(\.gz)?$/)[0][0]
    """
    seqexpr \\
        merge \\
        ${args} \\
        --out ${prefix}.${suffix} \\
        shards/
    """

    stub:
    def prefix = task.ext.prefix ?: "${meta.id}"
    def suffix = ([parts].flatten().first().name =~ /(vcf|tsv|csv|jsonl|parquet)(\.gz)?$/)[0][0]
    def create = suffix.endsWith('.gz') ? "echo '' | gzip > ${prefix}.${suffix}" : "touch ${prefix}.${suffix}"
    """
    ${create}
    """
}
