"""A page about a model, as one HTML file that needs no network."""
