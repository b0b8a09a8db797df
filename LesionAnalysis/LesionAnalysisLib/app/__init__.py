"""The command line: commands, batches of cases, case folders, progress, the demo."""
