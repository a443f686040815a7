"""What users import: flows, tasks, and what they may ask of a run. Composes the layers below."""
