"""What the cache promises, replayed over real request streams (issue 3)."""
