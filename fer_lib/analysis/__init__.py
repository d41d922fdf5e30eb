"""From run folders to tables: metrics, inference, attention, complexity, and the claims of the paper."""
