"""Pictures: sources, packed arrays, batch streams."""
