"""One module a figure: tables to a matplotlib figure, without torch."""
