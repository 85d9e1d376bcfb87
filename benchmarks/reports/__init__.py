"""Figures for people and files: percentiles, tables, machine facts, comparability of rounds."""
