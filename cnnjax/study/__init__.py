"""Studies: runs as values, plans, execution, results, statistics."""
