"""What the server does on its own: loops, each of which wakes, calls one use case, and waits."""
