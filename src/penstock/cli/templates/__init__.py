"""What ``penstock init`` writes: each file is a flow that runs as it is."""
