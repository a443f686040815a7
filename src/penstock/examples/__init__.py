"""Flows to read and to run. They lie in the package so that an installed Penstock has them too."""
