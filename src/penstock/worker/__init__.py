"""Workers: claim runs, execute each in a process of its own, watch over it, and tell the server about it.

Three kinds of processes: the worker, which never runs code of a flow; its `fork_server`, a child that has everything
imported; and for each run a process that was forked from that (or executed), where `entrypoint` runs the flow.
"""
