"""Do the work that several scripts share: flags, exit codes, data sets, training, inspection and clusters."""
