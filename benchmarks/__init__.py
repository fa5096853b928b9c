"""Every speed or accuracy claim of the documentation, one command each."""
