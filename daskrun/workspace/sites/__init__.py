"""Where a workspace is kept: in a folder, or behind a URL."""
