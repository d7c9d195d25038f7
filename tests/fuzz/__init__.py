"""Hostile bytes for every parser: one table, used by hypothesis, by a coverage-guided fuzzer, and to replay a corpus."""
