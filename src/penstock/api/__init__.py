"""The HTTP API: a route for each operation of `core.operations`, and a few for bytes, streams and machines.

It holds no rule: who asks is found out, what is asked is put together, a use case answers.
"""
