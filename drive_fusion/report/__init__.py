"""The study's page for people: what was run, what came out, and what the figures support."""
