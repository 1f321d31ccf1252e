"""An application with a model, and tests that start processes."""
