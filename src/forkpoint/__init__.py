"""forkpoint: find where two runs of one model part ways, and prove it."""
