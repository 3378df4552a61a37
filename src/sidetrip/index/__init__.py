"""The page over all variants, reports/README.md, and its pictures."""
