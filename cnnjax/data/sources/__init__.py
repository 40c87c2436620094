"""One kind of dataset a file, found by name; `cnnjax.data.source` says what such a file holds."""
