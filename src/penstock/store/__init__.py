"""All SQL: a file of queries per noun, a group of methods over each, and the databases that run them.

No decision is taken here. A use case in `orchestration` opens a transaction and asks its groups.
"""
