"""The history store: its tables, who reads and writes them and how, and what persons may ask of it."""
