"""Studies as they are executed: the runner, which calls papermill, and runs in processes or on Ray."""
