"""From a study's files to its report, its answer and the block in the README."""
