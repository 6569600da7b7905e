"""Experiments: data sets x methods x numbers of photos x seeds, run, kept, tabled and drawn."""
