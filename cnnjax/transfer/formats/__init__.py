"""One format of weight files a module, found by name; `cnnjax.transfer.read` says what it holds."""
