"""What is measured or learnt of a collection: quality, index shape, chunk size, floor, noise words, ranker."""
