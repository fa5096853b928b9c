process SEQEXPR_VARIANTS {
    tag "${meta.id}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"

    input:
    tuple val(meta), path(vcf), val(shard)
    tuple val(meta2), path(genome), path(fai), path(tss), path(half_life)

    output:
    tuple val(meta), path("*.{vcf,vcf.gz,tsv,tsv.gz,csv,csv.gz,jsonl,jsonl.gz,parquet}"), emit: effects
    tuple val(meta), path("*.shard.json"), emit: shard, optional: true
    tuple val("${task.process}"), val('seqexpr'), eval("seqexpr --version | sed 's/^seqexpr //'"), emit: versions_seqexpr, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def prefix = task.ext.prefix ?: "${meta.id}"
    def suffix = task.ext.suffix ?: 'vcf.gz'
    def out = shard ? "${prefix}.${shard.replace('/', '-of-')}.${suffix}" : "${prefix}.${suffix}"
    def half_life_option = half_life ? "--half-life ${half_life}" : ''
    def shard_option = shard ? "--shard ${shard}" : ''
    if ("${vcf}" == out) {
        error("Input and output names are the same, set ext.prefix in the module configuration to disambiguate!")
    }
    """
    seqexpr \\
        variants \\
        ${args} \\
        --vcf ${vcf} \\
        --genome ${genome} \\
        --tss ${tss} \\
        ${half_life_option} \\
        ${shard_option} \\
        --threads ${task.cpus} \\
        --quiet \\
        --out ${out}
    """

    stub:
    def prefix = task.ext.prefix ?: "${meta.id}"
    def suffix = task.ext.suffix ?: 'vcf.gz'
    def out = shard ? "${prefix}.${shard.replace('/', '-of-')}.${suffix}" : "${prefix}.${suffix}"
    def create = suffix.endsWith('.gz') ? "echo '' | gzip > ${out}" : "touch ${out}"
    def create_json = shard ? "touch ${out}.shard.json" : ''
    if ("${vcf}" == out) {
        error("Input and output names are the same, set ext.prefix in the module configuration to disambiguate!")
    }
    """
    ${create}
    ${create_json}
    """
}
