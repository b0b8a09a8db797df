"""The command line: commands, batches of cases, progress, the demo."""
