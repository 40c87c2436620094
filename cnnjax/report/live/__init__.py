"""Pages that a server makes while studies run: an index, each study as it stands, comparisons."""
