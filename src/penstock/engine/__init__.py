"""Runs user code: the life of a flow run and of a task run, each written once.

The engine appends to a journal and asks nobody. It does not know whether a database, a server or
nobody at all is listening.
"""
