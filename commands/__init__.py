"""What several scripts share: flags, exit codes, and the jobs on categories and clusters."""
