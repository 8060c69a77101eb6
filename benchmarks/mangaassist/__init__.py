"""MangaAssist on its whole mix: what the application and the gateway save together, at what quality and in what time."""
