"""Hostile bytes for every parser: one table, for hypothesis, a coverage-guided fuzzer, and a corpus to replay."""
