"""The door of ``python -m fastener.datasets``; the work is in commands/data_sets.py."""

from fastener.commands import cli, data_sets

if __name__ == "__main__":
    cli.run(data_sets.main)
