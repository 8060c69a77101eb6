"""Two techniques on one request, over a whole gateway: faults live between rooms."""
