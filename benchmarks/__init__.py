"""One benchmark a module: `python -m benchmarks.NAME --data DIR --json`."""
