"""The command line of Regulars."""
