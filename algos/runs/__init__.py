"""Run folders: their files, how they are written so that a kill loses nothing, and how they are read back."""
