"""Pictures of runnables and of stored runs: a `Drawing` becomes SVG, Mermaid text, or rows of a timeline. Pure."""
