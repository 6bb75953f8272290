"""Questions that take many predictions: which deployment to choose, how time grows with size."""
