"""Studies as they are executed: what a notebook opens, the runner, papermill processes and Ray."""
