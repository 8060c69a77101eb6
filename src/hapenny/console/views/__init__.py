"""What each page shows: one file a page, a function that turns a place into figures for its template."""
