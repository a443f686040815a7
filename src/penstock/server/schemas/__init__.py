"""Names that people coming from Prefect import from here."""
