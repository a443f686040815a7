"""Values and decisions. Nothing here reads a clock, a file or the environment."""
