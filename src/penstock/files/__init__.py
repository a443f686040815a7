"""Bytes in folders: put in place whole, and found again by what they are."""
