"""What Keras reads when it is imported."""

import os
import tempfile

# It writes a file into its home: never the user's.
_home = tempfile.TemporaryDirectory(prefix="cnnjax-keras-", ignore_cleanup_errors=True)
os.environ["KERAS_HOME"] = _home.name
os.environ["KERAS_BACKEND"] = "jax"
