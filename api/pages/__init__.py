"""The page for people: its form, its charts, and what it is made of. It needs Jinja2 alone."""
