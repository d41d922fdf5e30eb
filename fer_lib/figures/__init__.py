"""Figures: each function takes tables or arrays and returns a matplotlib `Figure`; none reads a file or trains."""
