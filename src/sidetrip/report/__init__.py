"""Tables, figures and verdicts made into the pages that people read."""
