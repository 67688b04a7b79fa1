// A GWAS in parts as a Nextflow module (DSL 2):
//
//     include { GWAS } from './genassoc.nf'
//     workflow { GWAS(file(params.toml), file(params.work), params.parts) }
//
// `toml` names its store and phenotypes by absolute paths; `work` is a folder on a disk that all nodes share, since the parts
// are kept there: a part that was killed carries on, and -resume does only what is missing.

process PLAN {
    cache false          // quick; takes up a folder that is there
    executor 'local'

    input:
    path toml
    val work
    val parts

    output:
    stdout

    script:
    """
    genassoc plan '${toml}' '${work}' --parts ${parts} >&2
    seq 0 \$((${parts} - 1))
    """
}

process PART {
    tag "part ${part}"
    cpus 4
    memory '4 GB'
    errorStrategy 'retry'
    maxRetries 3

    input:
    val part
    val work

    output:
    val part

    script:
    """
    genassoc part '${work}' ${part} --threads ${task.cpus} --memory ${task.memory.toBytes()}
    """
}

process MERGE {
    memory '2 GB'
    publishDir params.outdir ?: '.', mode: 'move'

    input:
    val done             // all parts: what makes this wait for them
    val work
    val name

    output:
    path "${name}*"

    script:
    """
    genassoc merge '${work}' '${name}'
    """
}

workflow GWAS {
    take:
    toml
    work
    parts

    main:
    numbers = PLAN(toml, work, parts).splitText().map { it.trim() as int }
    done = PART(numbers, work)
    MERGE(done.collect(), work, params.out ?: 'results.parquet')

    emit:
    MERGE.out
}
