"""Markets written as stories: one aligned line per event, the expected outcome at its end."""
