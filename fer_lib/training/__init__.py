"""Training into run folders: batches on the device, the recipe, the loop, and what a run leaves on disk."""
