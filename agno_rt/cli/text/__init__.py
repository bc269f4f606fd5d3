"""Text for a terminal: Markdown, code and tables rendered in styles, and lines wrapped at words."""
