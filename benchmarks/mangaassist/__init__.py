"""MangaAssist on its whole mix: what application and gateway save together, at what quality and in what time."""
