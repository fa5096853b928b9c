process SEQEXPR_PREDICT {
    tag "${meta.id}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"

    input:
    tuple val(meta), path(fasta), path(half_life), val(shard)
    tuple val(meta2), path(genome), path(fai), path(tss)

    output:
    tuple val(meta), path("*.{tsv,tsv.gz,csv,csv.gz,jsonl,jsonl.gz,parquet}"), emit: levels
    tuple val(meta), path("*.shard.json"), emit: shard, optional: true
    tuple val("${task.process}"), val('seqexpr'), eval("seqexpr --version | sed 's/^seqexpr //'"), emit: versions_seqexpr, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def prefix = task.ext.prefix ?: "${meta.id}"
    def suffix = task.ext.suffix ?: 'tsv'
    def out = shard ? "${prefix}.${shard.replace('/', '-of-')}.${suffix}" : "${prefix}.${suffix}"
    def input = fasta ? "${fasta}" : "--genome ${genome} --tss ${tss}"
    def half_life_option = half_life ? "--half-life ${half_life}" : ''
    def shard_option = shard ? "--shard ${shard}" : ''
    """
    seqexpr \\
        predict \\
        ${args} \\
        ${input} \\
        ${half_life_option} \\
        ${shard_option} \\
        --threads ${task.cpus} \\
        --quiet \\
        --out ${out}
    """

    stub:
    def prefix = task.ext.prefix ?: "${meta.id}"
    def suffix = task.ext.suffix ?: 'tsv'
    def out = shard ? "${prefix}.${shard.replace('/', '-of-')}.${suffix}" : "${prefix}.${suffix}"
    def create = suffix.endsWith('.gz') ? "echo '' | gzip > ${out}" : "touch ${out}"
    def create_json = shard ? "touch ${out}.shard.json" : ''
    """
    ${create}
    ${create_json}
    """
}
