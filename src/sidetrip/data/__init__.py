"""Pictures and text: where they come from, and how they are packed into arrays."""
