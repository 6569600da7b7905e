"""Inspection console: a web page, a REST service, and a database that records every inspection."""
