"""Names that people coming from Prefect 2 import from here: its server was called Orion."""
