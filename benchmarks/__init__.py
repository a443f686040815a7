"""Budgets, as ratios against a baseline of the same run: `make bench`. They are no tests: a miss fails nothing."""
