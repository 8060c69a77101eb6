"""MangaAssist: a manga shop's assistant, the reference application of hapenny. It uses hapenny's public API alone."""
